# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The counts that a gate judges, from the application's counters in Prometheus: treatment and control, per feature, metric and interval."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import (
    Labels,
    Prometheus,
    PrometheusError,
    Series,
    Step,
    binned,
    matching,
    resets,
    scrape_interval,
    steps,
)

REQUESTS = "feature_requests_total"
DURATION = "feature_request_duration_seconds"
VARIANTS = ("on", "off")
# Scrapes that may be missing before a host counts as not seen, and the least time that makes.
STALE_SCRAPES, STALE_SECONDS = 3, 5.0

Counts = t.Dict[str, t.Any]


@dataclasses.dataclass
class Stage:
    """What to look at: the application's job and hosts in Prometheus, the features, when the stage began and when this look is.

    `lookback` is how many seconds before a stage without a control are counted as well, to compare it with.
    """

    features: t.Sequence[str]
    percent: int
    since: float
    until: float
    slow_seconds: float
    job: str = "application"
    hosts: t.Sequence[str] = ()
    stages: int = 1
    lookback: float = 0.0

    @property
    def start(self) -> float:
        """From when on samples are wanted."""
        return self.since - (self.lookback if self.percent >= 100 else 0.0)


def collect(prometheus: Prometheus, stage: Stage) -> Counts:
    """The counts of one look in the form that gate.judge takes. What is missing becomes a sentence, in `problems` when it concerns every
    metric and in the metric's `problem` else; an unreachable Prometheus is such a sentence too."""
    try:
        found = _fetch(prometheus, stage)
    except PrometheusError as error:
        return _document(stage, 0.0, [str(error)], [])
    everything = [series for group in found.values() for series in group]
    interval = scrape_interval(everything)
    problems = _unseen(prometheus, stage, everything, interval)
    metrics: t.List[t.Dict[str, t.Any]]
    if interval is None:
        metrics = [{"feature": feature, "metric": name, "problem": _absent(found, feature, name, stage), "rows": []} for feature, name in _wanted(stage)]
        return _document(stage, 0.0, problems, metrics)
    last = _complete(everything, stage, interval)
    anew = {host: resets(s for s in everything if _host(s.labels) == host) for host in {_host(s.labels) for s in everything}}
    metrics = []
    for feature, name in _wanted(stage):
        sums = {(variant, part): _sum(found, feature, name, variant, part, anew, stage.since, interval) for variant in VARIANTS for part in ("events", "bad")}
        indexes = sorted({index for each in sums.values() for index in each if 0 <= index < last})
        rows = []
        for index in indexes:
            events_on, bad_on, events_off, bad_off = (round(sums[key].get(index, 0.0)) for key in sums)
            rows.append([round(index * interval, 3), events_on, min(max(bad_on, 0), events_on), events_off, min(max(bad_off, 0), events_off)])
        metrics.append({"feature": feature, "metric": name, "problem": _absent(found, feature, name, stage), "rows": rows})
        if stage.start < stage.since:
            metrics[-1]["before"] = {part: _before(sums, part) for part in ("events", "bad")}
    return _document(stage, interval, problems, metrics)


def _before(sums: t.Mapping[t.Tuple[str, str], t.Mapping[int, float]], part: str) -> int:
    """Events or bad ones of both arms before the stage began."""
    return max(0, round(sum(grown for variant in VARIANTS for index, grown in sums[variant, part].items() if index < 0)))


def _document(stage: Stage, interval: float, problems: t.List[str], metrics: t.List[t.Dict[str, t.Any]]) -> Counts:
    return {
        "percent": stage.percent,
        "since": stage.since,
        "until": stage.until,
        "interval": interval,
        "stages": stage.stages,
        "problems": problems,
        "metrics": metrics or [{"feature": feature, "metric": name, "problem": None, "rows": []} for feature, name in _wanted(stage)],
    }


def _wanted(stage: Stage) -> t.List[t.Tuple[str, str]]:
    return [(feature, name) for feature in stage.features for name in ("errors", "slow")]


def _fetch(prometheus: Prometheus, stage: Stage) -> t.Dict[str, t.List[Series]]:
    """{"requests": by outcome, "answers": all timed, "fast": those within slow_seconds}."""
    scope: t.Dict[str, t.Sequence[str]] = {"feature": stage.features, "variant": VARIANTS, "job": [stage.job]}
    if stage.hosts:
        scope["host"] = stage.hosts
    within = {**scope, "le": sorted({f"{stage.slow_seconds:g}", str(float(stage.slow_seconds))})}
    return {
        "requests": prometheus.series(REQUESTS + matching(scope), stage.start, stage.until),
        "answers": prometheus.series(f"{DURATION}_count" + matching(scope), stage.start, stage.until),
        "fast": prometheus.series(f"{DURATION}_bucket" + matching(within), stage.start, stage.until),
    }


def _host(labels: Labels) -> str:
    return labels.get("host") or labels.get("instance", "")


def _unseen(prometheus: Prometheus, stage: Stage, everything: t.Sequence[Series], interval: t.Optional[float]) -> t.List[str]:
    """One sentence for each host whose figures are missing or old. A single scrape that failed is neither."""
    latest = {**dict.fromkeys(stage.hosts, 0.0), **_latest(everything)}
    patience = _patience(interval)
    told = {}
    for host, at in latest.items():
        if stage.until - max(at, stage.since) > patience:
            told[host] = f"{host} has not been scraped for {stage.until - at:.0f} s" if at else f"there are no figures from {host}"
    scope = {"job": [stage.job], **({"host": list(stage.hosts)} if stage.hosts else {})}
    for labels, value in prometheus.values("up" + matching(scope), stage.until):
        host = _host(labels)
        if value != 1 and not latest.get(host):
            told.setdefault(host, f"Prometheus cannot scrape {host}")
    return [told[host] for host in sorted(told)]


def _latest(everything: t.Sequence[Series]) -> t.Dict[str, float]:
    """{host: time of its newest sample}."""
    latest: t.Dict[str, float] = {}
    for series in everything:
        if series.samples:
            latest[_host(series.labels)] = max(latest.get(_host(series.labels), 0.0), series.samples[-1][0])
    return latest


def _patience(interval: t.Optional[float]) -> float:
    """Seconds that a host may go without a sample."""
    return max(STALE_SECONDS, STALE_SCRAPES * (interval or 0.0))


def _complete(everything: t.Sequence[Series], stage: Stage, interval: float) -> int:
    """How many intervals since the stage began are over on every host that is still scraped."""
    latest = list(_latest(everything).values())
    fresh = [at for at in latest if stage.until - at <= _patience(interval)] or latest
    return int((min(fresh) - stage.since) // interval) if fresh else 0


def _select(found: t.Dict[str, t.List[Series]], feature: str, group: str, variant: str, outcome: t.Optional[str] = None) -> t.List[Series]:
    return [
        series
        for series in found[group]
        if series.labels.get("feature") == feature and series.labels.get("variant") == variant and outcome in (None, series.labels.get("outcome"))
    ]


def _absent(found: t.Dict[str, t.List[Series]], feature: str, name: str, stage: Stage) -> t.Optional[str]:
    """What is missing for a metric, host by host: a counter that is not there is not a counter at 0."""
    wanted: t.List[t.Tuple[str, str, t.Optional[str]]] = [(REQUESTS, "requests", "ok"), (REQUESTS, "requests", "error")]
    if name != "errors":
        wanted = [(f"{DURATION}_count", "answers", None), (f"{DURATION}_bucket", "fast", None)]
    hosts = sorted({_host(series.labels) for group in found.values() for series in group} | set(stage.hosts))
    for metric, group, outcome in wanted:
        for variant in VARIANTS:
            having = {_host(series.labels) for series in _select(found, feature, group, variant, outcome)}
            missing = [host for host in hosts if host not in having]
            if missing or not hosts:
                more = f',outcome="{outcome}"' if outcome else f',le="{stage.slow_seconds:g}"' if group == "fast" else ""
                where = f" on {', '.join(missing)}" if missing else ""
                return f'no series {metric}{{feature="{feature}",variant="{variant}"{more}}}{where}'
    return None


def _sum(
    found: t.Dict[str, t.List[Series]], feature: str, name: str, variant: str, part: str, anew: t.Mapping[str, t.Set[float]], since: float, interval: float
) -> t.Dict[int, float]:
    """{interval: events, or bad ones}, over all hosts."""

    def grown(group: str, outcome: t.Optional[str] = None) -> t.Dict[int, float]:
        all_steps: t.List[Step] = []
        for series in _select(found, feature, group, variant, outcome):
            all_steps += steps(series.samples, anew.get(_host(series.labels), set()))
        return binned(all_steps, since, interval)

    if name == "errors":
        return grown("requests", None if part == "events" else "error")
    answers = grown("answers")
    if part == "events":
        return answers
    fast = grown("fast")
    return {index: count - fast.get(index, 0.0) for index, count in answers.items()}
