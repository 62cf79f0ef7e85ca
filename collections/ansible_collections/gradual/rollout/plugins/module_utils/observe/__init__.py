# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a site says of itself while a rollout goes on: its traffic, and whether its monitoring works."""
