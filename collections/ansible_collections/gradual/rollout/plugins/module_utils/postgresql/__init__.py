# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Sessions with a PostgreSQL server, its programs, and what a server and its databases contain."""
