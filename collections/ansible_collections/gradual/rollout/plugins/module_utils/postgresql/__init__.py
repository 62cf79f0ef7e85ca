# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What PostgreSQL itself does and says: sessions, servers, recovery, standbys and what a database holds."""
