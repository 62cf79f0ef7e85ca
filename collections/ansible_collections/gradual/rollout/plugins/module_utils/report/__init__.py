# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The report of a rollout: a pure function of its ledger, so that anybody can make it again and compare."""
