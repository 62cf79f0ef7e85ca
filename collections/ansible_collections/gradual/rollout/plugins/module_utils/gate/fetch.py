# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The first step of a look: the raw counters of a stage and of its A/A stage, from Prometheus."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import ANSWERS, FAST
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Arms, Stage, named
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, Series, matching
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Key, Target

# Seconds before a window of which samples are read too: they tell how often a host is scraped and that its series
# exist.
LEAD_IN = 60.0

Ask = t.Callable[[str], t.List[Series]]
"""From a selector to the series that it matches."""


@dataclasses.dataclass(frozen=True)
class Fetched:
    """The application's processes since the stage began (`now`) and in the A/A stage (`before`), and when each host was
    scraped (`up`). With a past, `now` and `up` are only what came after it. `asked` has the series of both by their
    selector."""

    now: t.Sequence[Target]
    before: t.Sequence[Target]
    up: t.Sequence[Series]
    asked: t.Mapping[str, t.Sequence[Series]] = dataclasses.field(default_factory=dict)


def fetch(prometheus: Prometheus, stage: Stage, past: t.Optional[Past] = None) -> Fetched:
    """Everything that a look at the stage needs; raises PrometheusError."""
    begin = past.begin if past else stage.since - (stage.lookback if stage.alone else 0.0) - LEAD_IN
    asked: t.Dict[str, t.List[Series]] = {}

    def ask(selector: str) -> t.List[Series]:
        found = prometheus.series(selector, begin, stage.until)
        asked[selector] = _after(past.old.get(selector, ()), found) if past else found
        return asked[selector]

    def ask_before(selector: str) -> t.List[Series]:
        since, until = stage.aa or (0.0, 0.0)
        return prometheus.series(selector, since - LEAD_IN, until)

    now = _processes(ask, stage, stage.arms)
    before = _processes(ask_before, stage, stage.aa_arms) if stage.aa_arms else []
    scope = {"job": [stage.job], **({"host": list(named(stage))} if named(stage) else {})}
    return Fetched(now, before, ask("up" + matching(scope)), asked)


def _after(old: t.Sequence[t.Sequence[t.Any]], found: t.Sequence[Series]) -> t.List[Series]:
    """The series that were found, each after its samples in `old` (Past.old), and those that have only these."""
    result = {frozenset(series.labels.items()): series for series in found}
    for labels, samples in old:
        key, first = frozenset(labels.items()), Series.of(labels, samples)
        after = result.get(key)
        result[key] = first if after is None else first.before(after)
    return list(result.values())


def host_of(series: Series) -> str:
    """The host that a series is from."""
    return series.labels.get("host") or series.labels.get("instance", "")


def _processes(samples: Ask, stage: Stage, arms: Arms) -> t.List[Target]:
    """The raw counters of every process, told apart by feature, part and arm; raises PrometheusError."""
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
        selector = matching(
            {**labels, **scope},
            {"route": [*stage.platform_routes, metrics.PROBES]} if stage.by_host and not own else None,
        )
        for series in samples(name + selector):
            host = host_of(series)
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
