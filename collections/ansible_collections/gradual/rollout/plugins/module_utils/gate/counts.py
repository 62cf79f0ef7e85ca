# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The counts that a gate judges, from the application's counters in Prometheus: treatment and control, per feature,
metric and interval.

The arms are users with and without a feature (`cohorts: users`, told apart by the label `variant`), or hosts on the new
code and on the
old (`cohorts: hosts`, told apart by the label `host`). Everything is counted anew from the raw samples at each look,
the A/A stage too.
The counts of a look, which are all that its verdict depends on:

  percent, stage, stages    the stage, its number from 0, and all of them
  cohorts, holdback         as above; percentage of users who are kept without the feature while 100 % bakes
  since, until, interval    start of the stage and time of the look in seconds since the epoch; seconds of an interval,
                            0 if unknown
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
              arm was not seen on any host. While nobody sees anything the last ones are None; the interval that is
              going on is not there
    aa        rows of the same arms in the A/A stage, in seconds after it began, only intervals that were seen; []
              without one
    before}   {events, bad} of all users in the time before a stage that has no control, only there
"""

from __future__ import annotations

import operator
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import time_of_day
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics, missing_data
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import ANSWERS, FAST, Metric
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import CONTROL, TREATMENT, Arms, Stage, named
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    PrometheusError,
    Series,
    matching,
    scrape_interval,
)
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import (
    LONGEST_STEP,
    Grid,
    Growth,
    Key,
    Target,
)

# Seconds before a window of which samples are read too: they tell how often a host is scraped and that its series
# exist.
LEAD_IN = 60.0

Counts = t.Dict[str, t.Any]


def collect(prometheus: Prometheus, stage: Stage) -> Counts:
    """The counts of one look in the form that gate.judge takes. What is missing becomes a sentence, in `problems` when
    it concerns every
    metric and in the metric's `problem` else; an unreachable Prometheus is such a sentence too."""
    start = stage.since - (stage.lookback if stage.alone else 0.0)
    try:
        targets = fetch(prometheus, stage, start, stage.until, stage.arms)
        before = fetch(prometheus, stage, *stage.aa, stage.aa_arms) if stage.aa and stage.aa_arms else []
        scope = {"job": [stage.job], **({"host": list(named(stage))} if named(stage) else {})}
        up = prometheus.series("up" + matching(scope), start - LEAD_IN, stage.until)
    except PrometheusError as error:
        return {**_document(stage), "problems": [str(error)], "metrics": [metric.as_dict() for metric in stage.wanted]}
    return count(stage, targets, before, up)


def count(stage: Stage, targets: t.Sequence[Target], before: t.Sequence[Target], up: t.Sequence[Series]) -> Counts:
    """The counts from what was fetched: the hosts since the stage began, in the A/A stage, and when they were scraped
    (`up`). Pure."""
    interval = scrape_interval(target.times for target in [*targets, *before])
    stage = stage.settled(before, interval)
    patience = missing_data.patience(interval)
    problems = missing_data.of_hosts(targets, up, named(stage), stage.since, stage.until, patience)
    document = {**_document(stage), "interval": interval or 0.0, "problems": problems}
    hosts = missing_data.hosts(targets, up, named(stage))
    told = [missing_data.of_series(metric, targets, hosts, stage.arms, stage, patience) for metric in stage.wanted]
    if interval is None:
        return {
            **document,
            "metrics": [{**metric.as_dict(), "problem": problem} for metric, problem in zip(stage.wanted, told)],
        }
    growth = Growth(
        targets, Grid(stage.since, interval, _complete(targets, stage, interval, patience), LONGEST_STEP * interval)
    )
    whole = (
        Growth(targets, Grid(stage.since - stage.lookback, max(stage.lookback, 1.0), 1, LONGEST_STEP * interval))
        if stage.alone
        else None
    )
    aa = Growth(before, _aa_grid(stage, interval)) if stage.aa and before else None
    found = []
    for metric, problem in zip(stage.wanted, told):
        each = {**metric.as_dict(), "problem": problem, "rows": rows(growth, metric, stage.arms)}
        if stage.aa_arms:
            each["aa"] = [row for row in rows(aa, metric, stage.aa_arms) if row is not None] if aa else []
            unknown = missing_data.of_aa(metric, before, stage, bool(each["aa"]))
            if unknown:
                each.update(aa=[], problem=problem or unknown)
        if whole is not None:
            total = [sum(column) for column in columns(whole, metric, dict.fromkeys(stage.arms, TREATMENT))[:2]]
            each["before"] = {"events": total[0], "bad": total[1]}
        found.append(each)
    seen = growth.seen()
    return {
        **document,
        "notes": [*missing_data.notes(growth, seen, up, stage.since), *_hosts_before(stage)],
        "unseen": growth.grid.length - len(seen),
        "unseen_by_host": growth.unseen_by_host(),
        "metrics": found,
    }


def _hosts_before(stage: Stage) -> t.List[str]:
    """How far back hosts are compared, which is not told by the time that was asked for."""
    if not stage.by_host:
        return []
    if stage.aa is None:
        return [
            (
                "the hosts are not known by the time before: none of it was seen on all of them, or their counters"
                " began"
                " anew"
            )
        ]
    return [f"the hosts were compared before from {time_of_day(stage.aa[0])} UTC to {time_of_day(stage.aa[1])} UTC"]


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
        "problems": [],
        "notes": [],
        "unseen": 0,
        "unseen_by_host": {},
    }


def fetch(prometheus: Prometheus, stage: Stage, since: float, until: float, arms: Arms) -> t.List[Target]:
    """The raw counters of every process in a time, told apart by feature, part and arm; raises PrometheusError."""
    scope: t.Dict[str, t.Sequence[str]] = {"job": [stage.job], stage.label: list(arms)}
    if stage.hosts and not stage.by_host:
        scope["host"] = stage.hosts
    features = {} if stage.by_host else {"feature": list(stage.features)}
    within = {"le": sorted({f"{stage.slow_seconds:g}", str(float(stage.slow_seconds))})}
    tables: t.Dict[t.Tuple[str, str], t.Dict[Key, t.List[Series]]] = {}

    def ask(
        name: str,
        labels: t.Mapping[str, t.Sequence[str]],
        part: t.Callable[[t.Mapping[str, str]], str],
        own: bool = False,
    ) -> None:
        selector = matching({**labels, **scope}, {"route": metrics.NOT_USERS} if stage.by_host and not own else None)
        for series in prometheus.series(name + selector, since - LEAD_IN, until):
            host = missing_data.host_of(series)
            key = (
                series.labels.get("feature", "") if features else metrics.RELEASE,
                part(series.labels),
                series.labels.get(stage.label, ""),
            )
            tables.setdefault((host, series.labels.get("instance", "")), {}).setdefault(key, []).append(series)

    requests, duration = metrics.sources(stage.by_host)
    ask(requests, features, metrics.outcome)
    ask(f"{duration}_count", features, lambda _labels: ANSWERS)
    ask(f"{duration}_bucket", {**features, **within}, lambda _labels: FAST)
    for metric in {each.name: each for each in stage.wanted if each.counter}.values():
        part = metric.own_part
        having = {"feature": [each.feature for each in stage.wanted if each.name == metric.name]} if features else {}
        ask(
            metric.counter,
            {**{name: [value] for name, value in metric.labels}, **having},
            lambda _labels, part=part: part,  # type: ignore[misc]
            own=True,
        )
    return [Target(host, table) for (host, _instance), table in sorted(tables.items())]


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
    starts = [round(index * growth.grid.seconds, 3) for index in range(growth.grid.length)]
    found: t.List[t.Optional[t.List[float]]] = list(map(list, zip(starts, *columns(growth, metric, arms))))
    for index in set(range(growth.grid.length)) - seen:
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


def _aa_grid(stage: Stage, interval: float) -> Grid:
    since, until = stage.aa or (0.0, 0.0)
    return Grid(since, interval, int((until - since) // interval), LONGEST_STEP * interval)


def _complete(targets: t.Sequence[Target], stage: Stage, interval: float, patience: float) -> int:
    """How many intervals since the stage began are over: those that every host has passed which is still scraped, or
    all when none is."""
    latest = [target.times[-1] for target in targets if target.times]
    fresh = [at for at in latest if stage.until - at <= patience]
    return max(0, int(((min(fresh) if fresh else stage.until) - stage.since) // interval))
