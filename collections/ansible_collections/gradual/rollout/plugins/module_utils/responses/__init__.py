# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Responses to alerts: the table, what follows from it, and the programs that carry it out without a controller."""
