# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The second step of a look: lay what was fetched into intervals that are the same for all hosts. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import Fetched
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import scrape_interval
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import (
    LONGEST_STEP,
    Grid,
    Growth,
    Target,
)

# Scrapes that may be missing before a host counts as not seen, and the least time that makes.
STALE_SCRAPES, STALE_SECONDS = 3, 5.0


@dataclasses.dataclass(frozen=True)
class Aligned:
    """What was fetched of a stage, in intervals.

    stage: with the part of the A/A stage that can be used.
    interval: seconds between two scrapes; None where nothing was scraped twice, and there is no growth then.
    patience: seconds that a host may go without a sample.
    growth: since the stage began, or after its past.
    aa: in the A/A stage; None without one.
    earlier: in the time before a stage without a control, as one interval; None for a stage that has one, and where the
        past has it.
    past: the intervals before those of `growth`.
    """

    stage: Stage
    fetched: Fetched
    interval: t.Optional[float]
    patience: float
    growth: t.Optional[Growth] = None
    aa: t.Optional[Growth] = None
    earlier: t.Optional[Growth] = None
    past: t.Optional[Past] = None


def align(fetched: Fetched, stage: Stage, past: t.Optional[Past] = None) -> Aligned:
    """Intervals as long as the time between two scrapes, from the begin of the stage or from the end of its past on;
    only those that are over."""
    now, before = fetched.now, fetched.before
    interval = past.interval if past else scrape_interval(target.times for target in [*now, *before])
    stage, patience = stage.settled(before, interval), _patience(interval)
    if interval is None:
        return Aligned(stage, fetched, None, patience)
    longest = LONGEST_STEP * interval
    first = past.length if past else 0
    length = max(0, _complete(now, stage, interval, patience) - first)
    growth = Growth(now, Grid(stage.since, interval, length, longest, first))
    aa = Growth(before, _aa_grid(stage, interval)) if stage.aa and before else None
    earlier = None
    if stage.alone and not past:
        earlier = Growth(now, Grid(stage.since - stage.lookback, max(stage.lookback, 1.0), 1, longest))
    return Aligned(stage, fetched, interval, patience, growth, aa, earlier, past)


def _patience(interval: t.Optional[float]) -> float:
    """Seconds that a host may go without a sample."""
    return max(STALE_SECONDS, STALE_SCRAPES * (interval or 0.0))


def _aa_grid(stage: Stage, interval: float) -> Grid:
    since, until = stage.aa or (0.0, 0.0)
    return Grid(since, interval, int((until - since) // interval), LONGEST_STEP * interval)


def _complete(targets: t.Sequence[Target], stage: Stage, interval: float, patience: float) -> int:
    """How many intervals since the stage began are over: those that every host has passed which is still scraped, or
    all when none is."""
    latest = [target.times[-1] for target in targets if target.times]
    fresh = [at for at in latest if stage.until - at <= patience]
    return max(0, int(((min(fresh) if fresh else stage.until) - stage.since) // interval))
