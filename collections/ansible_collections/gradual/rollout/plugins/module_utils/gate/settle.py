# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The fifth step of a look: sum up what no later look has to fetch again. Pure."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.align import Aligned
from ansible_collections.gradual.rollout.plugins.module_utils.gate.counts import Counts, unseen_by_host
from ansible_collections.gradual.rollout.plugins.module_utils.gate.missing_data import all_anew, all_gaps
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import Seen
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series

# Prometheus has a sample one scrape interval after its time at the latest, and a host may go without one for `patience`
# before it counts as lost. A sample that is later than so many times the patience does not change what was counted.
LATEST = 6


def settle(aligned: Aligned, counts: Counts) -> t.Optional[Past]:
    """The past of the next look; None as long as every interval may still change."""
    stage, growth, past = aligned.stage, aligned.growth, aligned.past
    if growth is None or not aligned.interval:
        return None
    grid = growth.grid
    length = int((stage.until - LATEST * aligned.patience - stage.since) // aligned.interval) - grid.first
    length = min(length, grid.length)
    if length <= 0:
        return past
    end = grid.first + length
    begin = grid.start(length) - aligned.patience
    seen, asked = growth.seen(), aligned.fetched.asked
    anew = {
        id(each): target.anew for target in aligned.fetched.now for found in target.table.values() for each in found
    }
    return Past(
        since=stage.since,
        interval=aligned.interval,
        length=end,
        begin=begin,
        metrics=[
            _metric(counted, length, past.metrics[number] if past else {})
            for number, counted in enumerate(counts["metrics"])
        ],
        unseen=(past.unseen if past else 0) + length - len(seen.intersection(range(length))),
        unseen_by_host=unseen_by_host(aligned, length),
        anew=[[at, host] for at, host in all_anew(aligned) if at < grid.start(length)],
        gaps=[[first, min(last, end - 1), tried] for first, last, tried in all_gaps(aligned) if first < end],
        old={selector: list(_old(found, begin, grid.start(length), anew)) for selector, found in asked.items()},
    )


def _metric(counted: Counts, length: int, past: t.Mapping[str, t.Any]) -> Counts:
    rows = counted["rows"][:length]
    seen = Seen(counted["harm"] == "fewer", past.get("seen"))
    seen.add_all(rows)
    return {
        "seen": seen.summary(),
        "intervals": past.get("intervals", 0) + sum(row is not None for row in rows),
        "before": counted.get("before"),
    }


def _old(
    found: t.Sequence[Series], begin: float, end: float, anew: t.Mapping[int, t.Sequence[float]]
) -> t.Iterator[t.List[t.Any]]:
    """What the next look will not find of each series that has no sample between `begin` and `end`: its newest one
    before, and the newest that is a number. That is 0 if its process restarted later: `anew`, by the id of the
    series."""
    for series in found:
        before, kept = series.between(-math.inf, begin), series.between(begin, end)
        if before.newest is not None and kept.newest is None:
            numbers = [
                [at, 0.0 if any(at < moment < end for moment in anew.get(id(series), ())) else value]
                for at, value in before.samples[-1:]
            ]
            broken = [[at, None] for at in before.unusable[-1:] if at == before.newest]
            yield [series.labels, [*numbers, *broken]]
