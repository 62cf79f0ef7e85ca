# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""HAProxy's runtime API, and taking a server out of traffic and back without harm."""
