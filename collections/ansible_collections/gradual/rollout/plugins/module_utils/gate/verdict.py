# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The gate: counts of a stage in, verdict out. A pure function, so that a verdict can be recomputed from the record.

The counts of one look are as counts.py makes and describes them. What one metric says is in metric_verdict.py; here all
of them come together.
"""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate import sentences
from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import is_folded
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metric_verdict import NO_DATA, MetricGate
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import is_number
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import (
    GateError,
    Settings,
    settings_from,
    spent_in,
)

__all__ = ["VERDICTS", "GateError", "Settings", "alphas", "judge", "judge_again", "settings_from"]

VERDICTS = ("abort", "hold", "continue", "promote")
# Intervals that a stage may go on without a single full one before that is "no data".
GRACE = 3
# No metric's alpha is so small that it is 0.
LEAST_WEIGHT = 1e-6

Json = t.Dict[str, t.Any]


def judge(counts: t.Mapping[str, t.Any], settings: Settings, past: t.Sequence[Json] = ()) -> Json:
    """The verdict on one look with a sentence, each metric with its own, and since when the treatment has had a bad
    event.

    Whatever the counts hold, no data is "hold": "promote" needs intervals that were seen, enough requests and a test
    that excludes harm, for every metric. `deadline_passed` says that a hold has lasted until the policy `on_no_data`
    applies. `past` is Past.metrics, for counts that do not have all rows; raises GateError where it is of other rows.
    """
    since = _number(counts.get("since"))
    elapsed = max(0.0, _number(counts.get("until")) - since)
    heads = [metric for metric in _list(counts.get("metrics")) if isinstance(metric, dict)]
    young = elapsed < max(GRACE * _number(counts.get("interval")), settings.look)
    judged = [
        _judge_metric(head, alpha, counts, settings, young, _earlier(head, past[number : number + 1]))
        for number, (head, alpha) in enumerate(zip(heads, alphas(heads, counts, settings)))
    ]
    problems = [str(problem) for problem in _list(counts.get("problems"))]
    if not heads:
        problems.append("there is no metric to judge")
    down, away = _traffic(counts.get("serving"))
    verdict, reason = _together(judged, [*away, *problems], settings, elapsed)
    if down:
        verdict, reason = "abort", "; ".join([*down, *([reason] if verdict == "abort" else [])])
    for each in judged:
        first = each.pop("first_bad")
        del each["why"], each["distance"], each["fewer"]
        each["first_bad_at"] = None if first is None else round(since + first, 3)
    return {
        "verdict": verdict,
        "reason": reason,
        "elapsed": round(elapsed, 3),
        "deadline_passed": verdict == "hold" and elapsed >= settings.deadline,
        "first_bad_at": min(
            (each["first_bad_at"] for each in judged if each["first_bad_at"] is not None), default=None
        ),
        "metrics": judged,
    }


def _traffic(serving: t.Any) -> t.Tuple[t.List[str], t.List[str]]:
    """What the balancers say of the host that is looked at: where its checks fail, and where it gets no users for
    another reason.

    `serving` is {host, seen: [{balancer, state, status, check, up}]}, or nothing where the look is not at a host."""
    if not isinstance(serving, dict):
        return [], []
    host, seen = serving.get("host"), [each for each in _list(serving.get("seen")) if isinstance(each, dict)]
    down: t.List[str] = []
    away = [] if seen else [f"no balancer was asked whether {host} gets users"]
    for each in seen:
        if each.get("up") is not True:
            check = f", its check says {each['check']}" if each.get("check") not in (None, "", "none") else ""
            (down if each.get("state") == "down" else away).append(
                f"{host} gets no users from {each.get('balancer')}: it is {each.get('status')}{check}"
            )
    return down, away


def judge_again(look: t.Mapping[str, t.Any], past: t.Sequence[Json] = ()) -> Json:
    """The verdict that a recorded look must have, from its counts and settings; raises GateError when it does not hold
    all of them. `past` is as judge takes it."""
    if is_folded(look) and not past:
        raise GateError(f"look {look.get('look')} needs the look before it: read it with gate.folded.unfolded")
    try:
        settings = Settings(**look["settings"])
        return judge(look["counts"], settings, past)
    except (KeyError, TypeError) as error:
        raise GateError(f"the look holds no counts and settings to judge again: {error!r}") from error


def compared(stages: t.Sequence[float], holdback: float = 0) -> int:
    """How many of the stages have somebody without the feature to compare with."""
    return sum(1 for percent in stages if percent < 100 or holdback)


def alphas(heads: t.Sequence[Json], counts: t.Mapping[str, t.Any], settings: Settings) -> t.List[float]:
    """Each metric's chance of a false stop in this stage: its weight's part of alpha among metrics of its role, and the
    stage's part of that."""
    stages = [percent for percent in _list(counts.get("stages")) if is_number(percent)]
    stage = settings.alpha * spent_in(
        int(_number(counts.get("stage"))), compared(stages, _number(counts.get("holdback")))
    )
    weights = [
        max(weight, LEAST_WEIGHT) if weight > 0 else 1.0 for weight in (_number(head.get("weight")) for head in heads)
    ]
    roles = [head.get("role") == "signal" for head in heads]
    return [
        stage * weight / sum(other for other, same in zip(weights, roles) if same == role)
        for weight, role in zip(weights, roles)
    ]


def _earlier(head: Json, past: t.Sequence[Json]) -> t.Optional[Json]:
    """The summary of the rows that are not in the counts of a metric."""
    kept = head.get("rows_kept")
    if not kept:
        return None
    known = [metric["seen"] for metric in past if metric["seen"]["length"] == kept]
    if not known:
        raise GateError(
            f"the counts of {head.get('metric')} are without their first {kept} rows, expected a past of them"
        )
    return dict(known[0])


def _judge_metric(
    head: Json,
    alpha: float,
    counts: t.Mapping[str, t.Any],
    settings: Settings,
    young: bool,
    earlier: t.Optional[Json],
) -> Json:
    percent, hosts = _number(counts.get("percent")), counts.get("cohorts") == "hosts"
    holdback = _number(counts.get("holdback")) if percent >= 100 else 0.0
    alone = not hosts and percent - holdback >= 100
    gate = MetricGate(head, settings, alpha, percent - holdback, alone, earlier)
    gate.seen.add_all(head.get("rows"))
    return gate.judge(young)


def _together(
    judged: t.Sequence[Json], problems: t.Sequence[str], settings: Settings, elapsed: float
) -> t.Tuple[str, str]:
    """Verdict and sentence of the whole look: the worst metric decides, and the one that has farthest to go
    explains."""
    by_verdict = {name: [each for each in judged if each["verdict"] == name] for name in VERDICTS}
    if by_verdict["abort"]:
        return "abort", "; ".join(each["reason"] for each in by_verdict["abort"])
    if problems or by_verdict["hold"]:
        # Where a problem of all is told, that a metric has no data is no news.
        telling = [each for each in by_verdict["hold"] if not (problems and each["why"] == NO_DATA)]
        return "hold", "; ".join([*problems, *sentences.grouped(telling)])
    waiting, seen = by_verdict["continue"], sentences.summary(judged)
    farthest = max(waiting or judged, key=lambda each: float(each["distance"]))
    named = f"{sentences.name(farthest)}: {farthest['why']}" if len(judged) > 1 else farthest["why"]
    if not waiting and elapsed >= settings.min:
        return "promote", f"{seen}: harm is excluded, {named}"
    if elapsed >= settings.max:
        return "hold", f"no decision after {settings.max:g} s; {seen}: {named}"
    if not waiting:
        return (
            "continue",
            f"{seen}: passing; the minimum bake ends in {settings.min - elapsed:.0f} s",
        )
    return "continue", f"{seen}: {named}"


def _list(value: t.Any) -> t.Sequence[t.Any]:
    return value if isinstance(value, (list, tuple)) else []


def _number(value: t.Any) -> float:
    return float(value) if is_number(value) else 0.0
