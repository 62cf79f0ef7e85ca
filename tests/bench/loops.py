"""What the decision loops of Argo and Flagger, and our gate, do with one recorded stage that nobody has stopped.

The counts are those that the gate recorded in its last look: of each scrape interval the answers to users with the
features, and the bad ones among them. Each loop gets them in periods of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict

from tests.bench.baselines import argo, flagger

Json = dict[str, Any]
OURS = "Gradual"
# The largest share of bad answers with which a release passes: a success rate of 99 %, and a 99 % quantile of the
# durations that is not slow.
MOST = 0.01
# Failed checks until Flagger rolls back, as in its examples.
CHECKS = 5

Decide = Callable[[Mapping[str, Any], float], Mapping[str, Any]]


def _argo(period: float, failure_limit: int) -> Decide:
    return functools.partial(argo.decide, threshold=MOST, failure_limit=failure_limit, period=period)


def _flagger(period: float) -> Decide:
    return functools.partial(flagger.decide, least_success=100 * (1 - MOST), threshold=CHECKS, period=period)


LOOPS: dict[str, Decide] = {
    "Argo, every 60 s, failureLimit 0": _argo(60.0, 0),
    "Argo, every 60 s, failureLimit 3": _argo(60.0, 3),
    "Argo, every 10 s, failureLimit 0": _argo(10.0, 0),
    "Argo, every 10 s, failureLimit 3": _argo(10.0, 3),
    f"Flagger, every 60 s, {CHECKS} failed checks": _flagger(60.0),
    f"Flagger, every 10 s, {CHECKS} failed checks": _flagger(10.0),
}


def trace_of(look: Mapping[str, Any], metric: str) -> Json:
    """The stage as the baselines read it: all features together, each interval that is over (None: not seen)."""
    counts = look["counts"]
    heads = [head["rows"] for head in counts["metrics"] if head["metric"] == metric]
    over = len(heads[0]) - counts.get("open", 0)
    return {
        "interval": counts["interval"],
        "stages": [{"percent": counts["percent"], "looks": [_together(rows) for rows in zip(*heads)][:over]}],
    }


def _together(rows: tuple[Any, ...]) -> Json | None:
    if any(row is None for row in rows):
        return None
    events, bad, control_events, control_bad = (sum(row[column] for row in rows) for column in range(1, 5))
    return {"treatment": {"events": events, "bad": bad}, "control": {"events": control_events, "bad": control_bad}}


def decisions(look: Mapping[str, Any], metric: str) -> list[Json]:
    """[{loop, seconds, bad}] of each loop: seconds from the beginning of the stage to its decision to abort, and the
    bad answers by then; None for both if it does not abort within the stage."""
    trace = trace_of(look, metric)
    told = [_told(name, decide(trace, trace["interval"]), trace["interval"]) for name, decide in LOOPS.items()]
    looks = trace["stages"][0]["looks"]
    number = stopped_at(look, len(looks))
    seen = [one for one in looks[:number] if one is not None]
    ours = {
        "loop": OURS,
        "seconds": number and number * trace["interval"],
        "bad": number and sum(one["treatment"]["bad"] for one in seen),
    }
    return [ours, *told]


def _told(name: str, decision: Mapping[str, Any], interval: float) -> Json:
    if decision["verdict"] != "abort":
        return {"loop": name, "seconds": None, "bad": None}
    return {"loop": name, "seconds": decision["look"] * interval, "bad": decision["bad_served"]}


def stopped_at(look: Mapping[str, Any], intervals: int) -> int | None:
    """The number of intervals after which our gate aborts, with all metrics as guardrails; None if it never does."""
    counts, settings = look["counts"], gate_verdict.Settings(**look["settings"])
    for number in range(1, intervals + 1):
        heads = [{**head, "role": "guardrail", "rows": head["rows"][:number]} for head in counts["metrics"]]
        made = {**counts, "until": counts["since"] + number * counts["interval"], "problems": [], "metrics": heads}
        if gate_verdict.judge(made, settings)["verdict"] == "abort":
            return number
    return None
