# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The fourth step of a look: say what it did not see, each kind in a sentence of its own. None of it is a pass. Pure.

Prometheus does not answer       PrometheusError says so, and the look has no counts
Prometheus takes no samples      no attempt to scrape anything for a while: it was stopped, restarted or is overloaded
a host is not scraped            its newest sample is old, or it has none
a series is missing              on one host, or everywhere: a counter that is not there is not a counter at 0
a series is no number            its newest sample is NaN
the A/A stage was not seen       what the arms differed by before is not known
"""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import time_of_day
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.align import Aligned
from ansible_collections.gradual.rollout.plugins.module_utils.gate.counts import Counts
from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import host_of
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import ANSWERS, ERROR, FAST, OK, Metric
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Arms, Stage, named
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Target

# Gaps that are told one by one.
MOST_NOTES = 5


def diagnose(aligned: Aligned, counts: Counts) -> Counts:
    """The same counts with what is missing: in `problems` where it concerns every metric, in a metric's `problem`
    else, and in `notes` what is over or does no harm."""
    stage, growth, fetched = aligned.stage, aligned.growth, aligned.fetched
    must = hosts(fetched.now, fetched.up, named(stage))
    problems = of_hosts(fetched.now, fetched.up, named(stage), stage.since, stage.until, aligned.patience)
    told = [of_series(metric, fetched.now, must, stage.arms, stage, aligned.patience) for metric in stage.wanted]
    found = []
    for metric, counted, problem in zip(stage.wanted, counts["metrics"], told):
        unknown = None
        if growth is not None and stage.aa_arms:
            unknown = of_aa(metric, fetched.before, stage, bool(counted["aa"]))
        # Without the whole of the A/A stage it is not used at all.
        found.append({**counted, "problem": problem or unknown, **({"aa": []} if unknown else {})})
    result = {**counts, "problems": problems, "metrics": found}
    if growth is not None:
        result["notes"] = [*notes(aligned), *_hosts_before(stage)]
    return result


def hosts(targets: t.Sequence[Target], up: t.Sequence[Series], named: t.Sequence[str]) -> t.List[str]:
    """Hosts that must have every series: those that are named, that have any, or that are scraped with success."""
    alive = {host_of(series) for series in up if series.values and series.values[-1] == 1}
    return sorted({target.host for target in targets} | alive | set(named))


def of_hosts(
    targets: t.Sequence[Target],
    up: t.Sequence[Series],
    named: t.Sequence[str],
    since: float,
    until: float,
    patient: float,
) -> t.List[str]:
    """One sentence for each host whose figures are missing or old, or a single one where Prometheus itself takes none.

    A single scrape that failed is neither.
    """
    attempts = [series.times[-1] for series in up if series.times]
    if attempts and until - max(attempts) > patient:
        return [
            (
                f"Prometheus has taken no samples for {until - max(attempts):.0f} s: it was stopped or restarted, or"
                " cannot keep up"
            )
        ]
    latest = dict.fromkeys(named, 0.0)
    for target in targets:
        if target.times:
            latest[target.host] = max(latest.get(target.host, 0.0), target.times[-1])
    told = {}
    for host, at in latest.items():
        if until - max(at, since) > patient:
            told[host] = (
                f"{host} has not been scraped for {until - at:.0f} s" if at else f"there are no figures from {host}"
            )
    for series in up:
        host = host_of(series)
        if series.values and series.values[-1] != 1 and not latest.get(host):
            told.setdefault(host, f"Prometheus cannot scrape {host}")
    return [told[host] for host in sorted(told)]


def of_series(
    metric: Metric, targets: t.Sequence[Target], wanted: t.Sequence[str], arms: Arms, stage: Stage, patient: float
) -> t.Optional[str]:
    """What is missing for a metric on these hosts, or is no number; None when all is there."""
    for part in _needed(metric, stage):
        for value in arms:
            having: t.Set[str] = set()
            broken: t.Dict[str, float] = {}
            for target in targets:
                for series in target.table.get((metric.feature, part, value), ()):
                    newest = series.newest
                    if newest is None or newest < max(target.times[-1:], default=newest) - patient:
                        continue
                    having.add(target.host)
                    if newest in series.unusable[-1:]:
                        broken[target.host] = newest
            missing = [host for host in ([value] if stage.by_host else wanted) if host not in having]
            if missing or not wanted:
                return f"no series {_shown(metric, part, value, stage)}{_on(missing)}"
            if broken:
                return (
                    f"{_shown(metric, part, value, stage)} is no number{_on(sorted(broken))} at"
                    f" {time_of_day(max(broken.values()))} UTC"
                )
    return None


def of_aa(metric: Metric, before: t.Sequence[Target], stage: Stage, counted: bool) -> t.Optional[str]:
    """Why it is not known what the arms of this metric differed by before anybody had the feature; None when it is."""
    since, until = stage.aa or (0.0, 0.0)
    told = of_series(metric, before, sorted({target.host for target in before}), stage.aa_arms, stage, until - since)
    if told is None and not counted:
        told = "nothing was seen"
    if told is None:
        return None
    period = f"from {time_of_day(since)} UTC to {time_of_day(until)} UTC"
    return f"{told} in the A/A stage {period}, so what the arms differed by before is not known"


def notes(aligned: Aligned) -> t.List[str]:
    """What was missing and is over, or does no harm: restarts that were counted across, and intervals without any
    sample."""
    told = [
        f"the counters of {host} were reset at {time_of_day(at)} UTC and count from 0" for at, host in all_anew(aligned)
    ]
    interval, since = aligned.interval or 0.0, aligned.stage.since
    for first, last, tried in all_gaps(aligned):
        begin, end = (since + index * interval for index in (first, last + 1))
        why = "no host could be scraped" if tried else "Prometheus took no samples"
        told.append(f"{why} from {time_of_day(begin)} UTC to {time_of_day(end)} UTC; what happened then is not counted")
    return told if len(told) <= MOST_NOTES else [*told[:MOST_NOTES], f"and {len(told) - MOST_NOTES} more of the kind"]


def all_anew(aligned: Aligned) -> t.List[t.Tuple[float, str]]:
    """(time, host) of each restart since the stage began."""
    growth, past = aligned.growth, aligned.past
    found = [
        (at, target.host)
        for target in (growth.targets if growth else ())
        for at in target.anew
        if growth and at >= growth.grid.start(0)
    ]
    return sorted([*((at, host) for at, host in (past.anew if past else ())), *found])


def all_gaps(aligned: Aligned) -> t.List[t.Tuple[int, int, bool]]:
    """(first, last, tried) of each row of intervals since the stage began in which no host was seen; whether Prometheus
    tried to scrape one."""
    growth, past = aligned.growth, aligned.past
    gaps = [(gap[0], gap[1], gap[2]) for gap in (past.gaps if past else ())]
    if growth is None:
        return gaps
    grid = growth.grid
    for begin, end in _runs(sorted(set(range(aligned.closed)) - growth.seen())):
        times = (at for series in aligned.fetched.up for at in series.times)
        tried = any(grid.start(begin) <= at < grid.start(end + 1) for at in times)
        gap = (grid.first + begin, grid.first + end, tried)
        if gaps and gaps[-1][1] == gap[0] - 1:
            sooner = gaps.pop()
            gap = (sooner[0], gap[1], sooner[2] or tried)
        gaps.append(gap)
    return gaps


def _hosts_before(stage: Stage) -> t.List[str]:
    """How far back hosts are compared, which is not told by the time that was asked for."""
    if not stage.by_host:
        return []
    if stage.aa is None:
        return ["the hosts were not compared before: no time has data of all of them, or their counters were reset"]
    return [f"the hosts were compared before from {time_of_day(stage.aa[0])} UTC to {time_of_day(stage.aa[1])} UTC"]


def _runs(numbers: t.Sequence[int]) -> t.List[t.Tuple[int, int]]:
    """The first and the last of each row of numbers without a gap."""
    runs: t.List[t.Tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _needed(metric: Metric, stage: Stage) -> t.Sequence[str]:
    """Parts that must be there. That a host has answered nothing with 5xx yet is no gap in what is known of it."""
    if metric.kind == "errors":
        return (OK,) if stage.by_host else (OK, ERROR)
    return (ANSWERS, FAST) if metric.kind == "slow" else (metric.own_part,)


def _shown(metric: Metric, part: str, value: str, stage: Stage) -> str:
    """A series as one would ask Prometheus for it."""
    requests, duration = metrics.sources(stage.by_host)
    name = {OK: requests, ERROR: requests, ANSWERS: f"{duration}_count", FAST: f"{duration}_bucket"}.get(
        part, metric.counter
    )
    labels = {} if stage.by_host else {"feature": metric.feature, "variant": value}
    if name == requests and not stage.by_host:
        labels["outcome"] = part
    if part == FAST:
        labels["le"] = f"{stage.slow_seconds:g}"
    labels.update(metric.labels)
    return name + ("{" + ",".join(f'{label}="{text}"' for label, text in labels.items()) + "}" if labels else "")


def _on(hosts_told: t.Sequence[str]) -> str:
    return f" on {', '.join(hosts_told)}" if hosts_told else ""
