# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a look leaves to the next one, so that a look costs the same however long the stage has lasted. Pure.

Intervals that no late sample changes any more are summed up. The next look fetches what came after them, and has the
verdict of a look that fetches everything since the stage began: that is what a look without a past does.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError

# If the scrape interval is so many times longer or shorter, the intervals are counted again from the beginning.
CHANGED = 1.5

Json = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Past:
    """The first `length` intervals of a stage; JSON when it goes from look to look.

    since, interval   the beginning of the stage in seconds since the epoch, and the seconds of an interval
    begin             from when on the next look fetches samples, in seconds since the epoch
    metrics           of each metric {seen, intervals, before}: the summary of its rows (seen.Seen), how many intervals
                      had data, and what counts.py calls `before`, or None
    unseen, unseen_by_host
                      as in the counts of a look, with hosts that were always seen
    anew, gaps        [time, host] where counters began anew; [first, last, tried]: intervals that no host was seen in,
                      and whether Prometheus tried to
    old               {selector: [labels, samples]} of series that were not sampled for a while: [time, value] of their
                      newest samples before `begin`, None as the value where it was no number
    """

    since: float
    interval: float
    length: int
    begin: float
    metrics: t.Sequence[Json]
    unseen: int
    unseen_by_host: t.Mapping[str, int]
    anew: t.Sequence[t.Sequence[t.Any]]
    gaps: t.Sequence[t.Sequence[t.Any]]
    old: t.Mapping[str, t.Sequence[t.Sequence[t.Any]]]

    def fits(self, interval: t.Optional[float]) -> bool:
        """Whether Prometheus still scrapes as often as it did."""
        return interval is None or 1 / CHANGED < interval / self.interval < CHANGED


def past_of(given: t.Optional[t.Mapping[str, t.Any]], since: float) -> t.Optional[Past]:
    """What the look before returned of the stage that began at `since`; None without one, or if it was another stage.
    Raises GateError."""
    if not given:
        return None
    try:
        past = Past(**given)
    except TypeError as error:
        raise GateError(
            f"past is {dict(given)!r:.60}; give what the look before returned as past, or omit it"
        ) from error
    return past if past.since == since else None
