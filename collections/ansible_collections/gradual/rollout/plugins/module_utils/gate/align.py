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
    closed: so many intervals of `growth` are over, on every host. With users as arms more may follow, which are open:
        only those hosts are in them that were scraped since.
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
    closed: int = 0
    aa: t.Optional[Growth] = None
    earlier: t.Optional[Growth] = None
    past: t.Optional[Past] = None


def align(fetched: Fetched, stage: Stage, past: t.Optional[Past] = None) -> Aligned:
    """Intervals as long as the time between two scrapes, from the begin of the stage or from the end of its past on."""
    now, before = fetched.now, fetched.before
    interval = past.interval if past else scrape_interval(target.times for target in [*now, *before])
    stage, patience = stage.settled(before, interval), _patience(interval)
    if interval is None:
        return Aligned(stage, fetched, None, patience)
    longest = LONGEST_STEP * interval
    first = past.length if past else 0
    closed, length = (max(0, number - first) for number in _begun(now, stage, interval, patience))
    growth = Growth(now, Grid(stage.since, interval, length, longest, first))
    aa = Growth(before, _aa_grid(stage, interval)) if stage.aa and before else None
    earlier = None
    if stage.alone and not past:
        earlier = Growth(now, Grid(stage.since - stage.lookback, max(stage.lookback, 1.0), 1, longest))
    return Aligned(stage, fetched, interval, patience, growth, closed, aa, earlier, past)


def _patience(interval: t.Optional[float]) -> float:
    """Seconds that a host may go without a sample."""
    return max(STALE_SECONDS, STALE_SCRAPES * (interval or 0.0))


def _aa_grid(stage: Stage, interval: float) -> Grid:
    since, until = stage.aa or (0.0, 0.0)
    return Grid(since, interval, int((until - since) // interval), LONGEST_STEP * interval)


def _begun(targets: t.Sequence[Target], stage: Stage, interval: float, patience: float) -> t.Tuple[int, int]:
    """(how many intervals since the stage began are over, how many are counted).

    Those are over that every host has passed which is still scraped, or all when none is. With users as arms the open
    ones are counted too: a scrape has both arms of its host, so they are compared over the same time. Hosts are scraped
    one after another, so of hosts as arms only what is over can be compared.
    """
    latest = [target.times[-1] for target in targets if target.times]
    fresh = [at for at in latest if stage.until - at <= patience]
    closed = max(0, int(((min(fresh) if fresh else stage.until) - stage.since) // interval))
    if stage.by_host or not fresh or max(fresh) < stage.since:
        return closed, closed
    return closed, int((max(fresh) - stage.since) // interval) + 1
