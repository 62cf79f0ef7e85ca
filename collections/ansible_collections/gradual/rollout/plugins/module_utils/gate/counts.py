# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The third step of a look: count what treatment and control did, per feature, metric and interval. Pure.

The arms are users with and without a feature (`cohorts: users`, told apart by the label `variant`), or hosts on the new
code and on the old (`cohorts: hosts`, told apart by the label `host`). What may still change is counted again from the
raw samples at each look, and the A/A stage too; what came before is in the past (past.py).
The counts of a look, which are all that its verdict depends on:

  percent, stage, stages    the stage, its number from 0, and all of them
  cohorts, holdback         as above; percentage of users who are kept without the feature while 100 % bakes
  since, until, interval    start of the stage and time of the look in seconds since the epoch; seconds of an interval,
                            0 if unknown
  open                      so many rows at the end are not over: they have the hosts that were scraped since they
                            began, and may grow; 0 with hosts as arms
  problems                  sentences, each a reason to hold: Prometheus does not answer, takes no samples, or has none
                            of a host
  notes                     sentences that are none: a restart that was counted across, a gap that is over
  unseen, unseen_by_host    intervals in which no host was seen; {host: such intervals}, what its users did is missing
                            from both arms
  metrics                   for each feature: {feature, metric, kind: errors | slow | counter, harm: more | fewer, role,
                            weight,
    problem   sentence or None: a series is missing or no number, or the A/A stage was not seen
    rows      one an interval from the first on: [seconds after since, events and bad ones of the treatment, of the
              control], or None where an
              arm was not seen on any host. While nobody sees anything the last ones are None
    rows_kept so many rows are not in `rows`, since the look has a past (past.py); only there
    aa        rows of the same arms in the A/A stage, in seconds after it began, only intervals that were seen; []
              without one
    before}   {events, bad} of all users in the time before a stage that has no control, only there
"""

from __future__ import annotations

import operator
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.align import Aligned
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import Metric
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import CONTROL, TREATMENT, Arms, Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Growth

Counts = t.Dict[str, t.Any]


def count(aligned: Aligned) -> Counts:
    """The counts of a look before anybody has asked what is missing in them: no problems and no notes yet."""
    stage, growth, past = aligned.stage, aligned.growth, aligned.past
    counts = nothing(stage)
    if growth is None:
        return counts
    return {
        **counts,
        "interval": aligned.interval,
        "open": growth.grid.length - aligned.closed,
        "unseen": (past.unseen if past else 0) + len(set(range(aligned.closed)) - growth.seen()),
        "unseen_by_host": {
            host: number for host, number in sorted(unseen_by_host(aligned, aligned.closed).items()) if number
        },
        "metrics": [_count_metric(number, metric, growth, aligned) for number, metric in enumerate(stage.wanted)],
    }


def unseen_by_host(aligned: Aligned, length: int) -> t.Dict[str, int]:
    """{host: intervals in which it was not seen}, in the past and in the first `length` intervals after it."""
    past = aligned.past
    found = aligned.growth.unseen_by_host(length) if aligned.growth else {}
    return {
        host: number + (past.unseen_by_host.get(host, past.length) if past else 0) for host, number in found.items()
    }


def nothing(stage: Stage) -> Counts:
    """The counts of a look that has seen nothing."""
    return {**_document(stage), "metrics": [metric.as_dict() for metric in stage.wanted]}


def _count_metric(number: int, metric: Metric, growth: Growth, aligned: Aligned) -> Counts:
    stage, past = aligned.stage, aligned.past
    counted = {**metric.as_dict(), "rows": rows(growth, metric, stage.arms)}
    if past:
        counted["rows_kept"] = past.length
        if past.metrics[number]["before"]:
            counted["before"] = past.metrics[number]["before"]
    if stage.aa_arms and aligned.aa:
        counted["aa"] = [row for row in rows(aligned.aa, metric, stage.aa_arms) if row is not None]
    if aligned.earlier is not None:
        events, bad = columns(aligned.earlier, metric, dict.fromkeys(stage.arms, TREATMENT))[:2]
        counted["before"] = {"events": sum(events), "bad": sum(bad)}
    return counted


def _document(stage: Stage) -> Counts:
    return {
        "percent": stage.percent,
        "stage": stage.index,
        "stages": list(stage.stages),
        "cohorts": stage.cohorts,
        "holdback": stage.holdback,
        "since": stage.since,
        "until": stage.until,
        "interval": 0.0,
        "open": 0,
        "problems": [],
        "notes": [],
        "unseen": 0,
        "unseen_by_host": {},
    }


def rows(growth: Growth, metric: Metric, arms: Arms) -> t.List[t.Optional[t.List[float]]]:
    """One row an interval: [seconds since the window began, events and bad ones of the treatment, events and bad ones
    of the control].

    None where either arm was not seen on any host.
    """
    treatment, control = (
        [(metric.feature, part, value) for part in metric.parts[0] for value, arm in arms.items() if arm == which]
        for which in (0, 1)
    )
    growth = _readable(growth, metric, arms)
    seen = growth.seen(treatment) & growth.seen(control)
    grid = growth.grid
    starts = [round(index * grid.seconds, 3) for index in range(grid.first, grid.first + grid.length)]
    found: t.List[t.Optional[t.List[float]]] = list(map(list, zip(starts, *columns(growth, metric, arms))))
    for index in set(range(grid.length)) - seen:
        found[index] = None
    return found


def columns(growth: Growth, metric: Metric, arms: Arms) -> t.List[t.List[int]]:
    """Events and bad ones of the treatment, then of the control, interval by interval; no more bad ones than events,
    none below 0."""
    result = []
    for which in (TREATMENT, CONTROL):
        values = [value for value, arm in arms.items() if arm == which]
        events, bad, less = (
            growth.total(tuple((metric.feature, part, value) for part in parts for value in values))
            for parts in metric.parts
        )
        if metric.parts[2]:
            bad = list(map(operator.sub, bad, less))
        whole, worse = list(map(round, events)), list(map(round, bad))
        if any(map(operator.gt, worse, whole)) or min(whole + worse, default=0) < 0:
            whole = [max(number, 0) for number in whole]
            worse = [min(max(number, 0), most) for number, most in zip(worse, whole)]
        result += [whole, worse]
    return result


def _readable(growth: Growth, metric: Metric, arms: Arms) -> Growth:
    """The same growth without scrapes in which a counter of this metric was no number."""
    keys = [(metric.feature, part, value) for parts in metric.parts for part in parts for value in arms]
    targets = [target.readable(keys) for target in growth.targets]
    return growth if targets == list(growth.targets) else Growth(targets, growth.grid)
