# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The feature flags: flagd's file, what is wrong with it, and what each process evaluates."""
