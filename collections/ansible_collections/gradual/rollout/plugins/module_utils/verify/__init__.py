# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Proving a backup: restored apart from everything else, migrated, and served by the release that runs."""
