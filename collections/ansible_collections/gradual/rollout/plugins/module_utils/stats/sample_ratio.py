# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Whether the treatment has the part of the traffic that it should have: where it has not, its users are not those of
the A/A stage, and no comparison means what it says.

The events of the treatment among all events are compared with the A/A stage, or with the percentage of the users where
there was none, by the multinomial e-value of Lindon and Malek (Anytime-Valid Inference for Multinomial Count Data,
2022) for two arms, against all odds within TOLERATED of those expected. Users are not alike, so without an A/A stage
only a gross mismatch counts, and with one the counts are divided by the spread that the traffic had there.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.stats import overdispersion
from ansible_collections.gradual.rollout.plugins.module_utils.stats.overdispersion import Row

# How far the odds may be off, with an A/A stage and without one.
TOLERATED, UNMEASURED = 1.25, 2.0
ALTERNATIVES = (1.3, 2.0, 5.0)


class SampleRatio:
    """What part of the events the treatment should have: its odds, how far they may be off, and the spread of the
    traffic."""

    def __init__(self, aa: t.Sequence[Row], percent: float) -> None:
        treatment, control = sum(row[0] for row in aa), sum(row[2] for row in aa)
        measured = min(treatment, control) > 0
        self.expected = treatment / (treatment + control) if measured else percent / 100
        self.tolerated = TOLERATED if measured else UNMEASURED
        self.spread = overdispersion.of_ratio([(1.0, row[0], 1.0, row[2]) for row in aa])

    def log_e_value(self, events: float, control_events: float) -> float:
        """log of the e-value against "the part is as it should be, within what is tolerated"; 0 without events."""
        if not 0 < self.expected < 1 or not events + control_events:
            return 0.0
        return max(self._one_sided(events, control_events, +1), self._one_sided(events, control_events, -1)) - math.log(
            2
        )

    def _one_sided(self, events: float, control_events: float, sign: int) -> float:
        odds = self.expected / (1 - self.expected) * self.tolerated**sign
        seen = [self._log_likelihood(events, control_events, odds * alternative**sign) for alternative in ALTERNATIVES]
        top = max(seen)
        mean = top + math.log(sum(math.exp(each - top) for each in seen) / len(seen))
        return mean - self._log_likelihood(events, control_events, odds)

    def _log_likelihood(self, events: float, control_events: float, odds: float) -> float:
        return (events * math.log(odds) - (events + control_events) * math.log1p(odds)) / self.spread
