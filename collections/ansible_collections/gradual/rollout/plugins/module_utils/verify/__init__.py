# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Verify a backup: restore it to a throwaway cluster, run the pending migrations there, and smoke-test the release."""
