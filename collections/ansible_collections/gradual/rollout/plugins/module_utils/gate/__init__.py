# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What decides at each look whether a stage goes on, waits or is taken back; the forecast says beforehand how long that
takes."""
