# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a ramp can see at the traffic of the last hours: for each stage, feature and metric how long harm takes to be
stopped and a harmless release to be certified, and whether gate.low_traffic lets the ramp begin. The statistics are in
power.py.

The forecast, which the plan shows and the ledger keeps:

  since, until, hours   the time looked at, seconds since the epoch
  ratio, policy, max    gate.margin, gate.low_traffic and bake.max; farthest: seconds beyond which no time is told
  traffic               for each feature, metric errors and slow, as baseline_traffic.py has it
  not_measured          sentences: what nothing is known of, so that the ramp is not refused for it
  stages                for each: {percent, control: whether somebody is left to compare with, certify: seconds until
                        all that was measured
                        is certified, None if that takes longer than ten times bake.max or nothing was measured,
    metrics             [{feature, metric, harm: seconds until harm of `ratio` is stopped, by_margin: until a harmless
                        release is certified
                        against gate.margin, by_share: and by gate.harmless_share}]} each with a chance of 80 %, None as
                        above
  problems              [] or a sentence: why the ramp must not begin
  notes                 sentences: what a person should know who begins it
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common import text
from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import labels_of, shown_at
from ansible_collections.gradual.rollout.plugins.module_utils.gate import baseline_traffic, metrics, power, sentences
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError, Settings
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

POLICIES = ("refuse", "slo", "hold")
# Seconds of traffic that a ramp may be refused for; probes and a release that came and went say nothing of what will
# come.
SHORTEST = 600.0

Json = t.Dict[str, t.Any]


@dataclasses.dataclass
class Ramp:
    """What is to be forecast: features, stages, gate and bake of the manifest, and the time to look back at."""

    features: t.Sequence[str]
    stages: t.Sequence[int]
    settings: Settings
    now: float
    hours: float = 3.0
    aa: float = 0.0
    holdback: int = 0
    policy: str = "refuse"
    metrics: t.Sequence[t.Any] = ()
    job: str = "application"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise GateError(f"gate.low_traffic is {self.policy!r}; write refuse, slo or hold")
        if self.policy == "slo" and not self.settings.harmless_share:
            raise GateError(
                "gate.low_traffic is 'slo', but gate.harmless_share is not declared; write the share of bad requests"
                " that is no harm"
            )
        if not 0 < self.hours <= 1000:
            raise GateError(f"hours is {self.hours:g}; write a number above 0")
        self.aa = self.aa if labels_of(self.stages, self.holdback) else 0.0
        self.wanted = metrics.wanted(self.features, self.metrics)

    @property
    def since(self) -> float:
        return self.now - 3600 * self.hours


def forecast(prometheus: Prometheus, ramp: Ramp) -> Json:
    """The forecast of a ramp. A Prometheus that does not answer is nothing measured: the ramp itself shall hold
    then."""
    try:
        window = baseline_traffic.Window(ramp.features, ramp.since, ramp.now, ramp.settings.slow_seconds, ramp.job)
        traffic, missing = baseline_traffic.read(prometheus, window)
    except PrometheusError as error:
        traffic, missing = [], [str(error)]
    return made(ramp, traffic, missing)


def made(ramp: Ramp, traffic: t.Sequence[Json], missing: t.Sequence[str]) -> Json:
    """The forecast from the traffic. Pure."""
    counters = sorted({metric.name for metric in ramp.wanted if metric.kind == "counter"})
    unknown = [f"{', '.join(counters)}: how long business counters take is not forecast"] if counters else []
    stages = [_stage(ramp, number, traffic) for number in range(len(ramp.stages))]
    return {
        "since": round(ramp.since, 3),
        "until": round(ramp.now, 3),
        "hours": ramp.hours,
        "ratio": ramp.settings.margin,
        "policy": ramp.policy,
        "max": ramp.settings.max,
        "farthest": power.FARTHEST * ramp.settings.max,
        "traffic": list(traffic),
        "not_measured": [*missing, *unknown],
        "stages": stages,
        "problems": _problems(ramp, stages, traffic),
        "notes": _notes(ramp, stages, traffic, missing),
    }


def _stage(ramp: Ramp, number: int, traffic: t.Sequence[Json]) -> Json:
    percent, settings = ramp.stages[number], ramp.settings
    shown = shown_at(percent, ramp.holdback)
    counts = {"stage": number, "stages": list(ramp.stages), "holdback": ramp.holdback}
    alphas = gate_verdict.alphas([metric.as_dict() for metric in ramp.wanted], counts, settings)
    by_name = {(metric.feature, metric.name): alpha for metric, alpha in zip(ramp.wanted, alphas)}
    found = []
    for each in traffic:
        name, rate, share = (each["feature"], each["metric"]), each["rate"], each["share"]
        found.append(
            {
                "feature": name[0],
                "metric": name[1],
                "harm": power.seconds_needed(rate, share, shown, ramp.aa, settings.margin, settings, by_name[name]),
                "by_margin": power.seconds_to_certify(rate, share, shown, ramp.aa, settings),
                "by_share": power.seconds_to_harmless_share(rate, share, shown, settings),
            }
        )
    times = [_soonest(each["by_margin"], each["by_share"]) for each in found]
    certify = None if None in times or not times else max(seconds for seconds in times if seconds is not None)
    return {"percent": percent, "control": shown < 100, "certify": certify, "metrics": found}


def _soonest(*times: power.Seconds) -> power.Seconds:
    return min((seconds for seconds in times if seconds is not None), default=None)


def _problems(ramp: Ramp, stages: t.Sequence[Json], traffic: t.Sequence[Json]) -> t.List[str]:
    """[] or one sentence: which stage cannot certify what in bake.max, not even at the traffic of the busiest ten
    minutes; the worst is told.

    Under the policy slo it suffices that the declared share is within reach where no request at all is bad.
    """
    found: t.List[t.Tuple[float, int, str]] = []
    settings, slo = ramp.settings, ramp.policy == "slo"
    for stage in stages:
        shown = shown_at(stage["percent"], ramp.holdback)
        for each, seen in zip(traffic, stage["metrics"]):
            if (
                each["seconds"] < SHORTEST
                or _in_time(seen["by_margin"], ramp)
                or (slo and _in_time(seen["by_share"], ramp))
            ):
                continue
            needed = power.seconds_to_certify(each["busiest"], each["share"], shown, ramp.aa, settings)
            needed = _soonest(
                needed, power.seconds_to_harmless_share(each["busiest"], 0.0, shown, settings) if slo else None
            )
            if not _in_time(needed, ramp):
                far = power.FARTHEST * settings.max + 1 if needed is None else needed
                sentence = (
                    f"{_seen(ramp, each)}. At {stage['percent']} % a harmless release {_takes(ramp, each, needed)}"
                    f" {_advice(ramp, needed)}"
                )
                found.append((far, -len(found), sentence))
    more = f". {len(found) - 1} more of its metrics and stages do not reach it either" if len(found) > 1 else ""
    return [f"The traffic cannot carry this ramp. {max(found)[2]}{more}"] if found and ramp.policy != "hold" else []


def _seen(ramp: Ramp, each: Json) -> str:
    """ "search errors: 0.4 requests a second, 0.6 in the busiest ten minutes of the last 3 h, 1.2 % of them bad"."""
    rate = (
        f"{sentences.name(each)}: {each['rate']:.3g} requests a second, {each['busiest']:.3g} in the busiest ten"
        f" minutes of the last {ramp.hours:g} h"
    )
    return f"{rate}, {text.percent(each['share']) if each['share'] else 'none'} of them bad"


def _takes(ramp: Ramp, each: Json, needed: power.Seconds) -> str:
    margin, most = ramp.settings.margin, ramp.settings.max
    if needed is None and not each["share"]:
        return f"cannot be told from one {margin:g} times as bad, since nothing is bad without it."
    if needed is None:
        return (
            f"would need over {span(power.FARTHEST * most)} to be told from one {margin:g} times as bad; bake.max is"
            f" {span(most)}."
        )
    return f"would need {span(needed)} to be certified; bake.max is {span(most)}."


def _advice(ramp: Ramp, needed: power.Seconds) -> str:
    # A tenth more than it needs, since times are found to within a few percent.
    longer = f"bake.max: {math.ceil(1.1 * needed)} or more, " if needed is not None else ""
    if ramp.policy == "slo":
        return (
            f"Write {longer}a larger gate.harmless_share than {ramp.settings.harmless_share:g}, fewer and larger"
            " stages, or gate.low_traffic: hold"
        )
    share = (
        "" if ramp.settings.harmless_share else "gate.harmless_share (the share of bad requests that is no harm) and "
    )
    return f"Write {longer}{share}gate.low_traffic: slo, fewer and larger stages, or gate.low_traffic: hold"


def _notes(ramp: Ramp, stages: t.Sequence[Json], traffic: t.Sequence[Json], missing: t.Sequence[str]) -> t.List[str]:
    told = []
    brief = [sentences.name(each) for each in traffic if each["seconds"] < SHORTEST]
    if brief:
        told.append(
            f"There was traffic for less than {span(SHORTEST)}, too little to refuse the ramp for: {', '.join(brief)}"
        )
    if missing:
        told.append(
            "Where no traffic was measured it is not known how long a stage takes, or whether it can be certified"
            " at all"
        )
    slow = [f"{stage['percent']} %" for stage in stages if stage["metrics"] and not _in_time(stage["certify"], ramp)]
    if slow:
        told.append(
            f"At {', '.join(slow)} the traffic does not certify a harmless release in bake.max"
            f" ({span(ramp.settings.max)}) with a chance of 80 %: the stage would hold, and end as gate.on_no_data says"
        )
    unseen = [
        f"{stage['percent']} %"
        for stage in stages
        if stage["control"] and any(not _in_time(each["harm"], ramp) for each in stage["metrics"])
    ]
    if unseen:
        told.append(
            f"At {', '.join(unseen)} harm of {ramp.settings.margin:g} times is not stopped for every metric in bake.max"
            " with a chance of 80 %: it takes more traffic, a longer"
            f" bake.max{' or a longer bake.aa' if ramp.aa else ''}"
        )
    if any(not stage["control"] for stage in stages):
        by = (
            f"a share of bad requests under {text.percent(ramp.settings.harmless_share)}, or "
            if ramp.settings.harmless_share
            else ""
        )
        told.append(
            "At 100 % nobody is left without the features (gate.holdback keeps some): harm stops nothing there but"
            f" holds at the hard limits, and what certifies is {by}a comparison with all users in the"
            f" {span(ramp.settings.max)} before"
        )
    return told


def _in_time(seconds: power.Seconds, ramp: Ramp) -> bool:
    return seconds is not None and seconds <= ramp.settings.max
