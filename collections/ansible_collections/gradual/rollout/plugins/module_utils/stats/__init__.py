# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The statistics, on numbers alone: sequential tests, overdispersion, sample ratio and bounds of a share."""
