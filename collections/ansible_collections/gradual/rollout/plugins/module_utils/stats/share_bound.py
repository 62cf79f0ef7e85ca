# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The share of bad events of one arm alone, as a confidence bound that holds at every look: a mixture of Bernoulli
likelihood ratios below a limit (Robbins, Statistical Methods Related to the Law of the Iterated Logarithm, 1970). Only
the standard library.
"""

from __future__ import annotations

import math

from ansible_collections.gradual.rollout.plugins.module_utils.stats.sequential_test import log_sum

# Shares below the limit that are weighed against it: 1.05 to 20 times below, evenly on a logarithmic scale.
POINTS, NEAREST, FARTHEST = 60, 1.05, 20.0
BELOW = tuple(math.exp(math.log(NEAREST) + math.log(FARTHEST / NEAREST) * k / (POINTS - 1)) for k in range(POINTS))


def log_share_e_value(events: int, bad: int, limit: float) -> float:
    """log of the e-value against "the share of bad events is `limit` or more", 0 < limit < 1: half the weight on no bad
    event at all."""
    below = [limit / times for times in BELOW]
    good = events - bad
    null = bad * math.log(limit) + good * math.log1p(-limit)
    parts = [bad * math.log(share) + good * math.log1p(-share) - null - math.log(2 * len(below)) for share in below]
    if bad == 0:
        parts.append(-null - math.log(2))
    return log_sum(parts)


def share_at_most(events: int, bad: int, alpha: float) -> float:
    """The upper confidence bound of the share of bad events, valid at every look; 1.0 without events."""
    if events <= 0 or bad >= events:
        return 1.0
    low, high, wanted = bad / events, 1.0, math.log(1 / alpha)
    for _step in range(40):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if log_share_e_value(events, bad, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high
