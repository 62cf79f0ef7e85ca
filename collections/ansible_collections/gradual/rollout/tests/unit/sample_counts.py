"""Counts of a look, written down short."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict

BAKE = {"min": 20, "max": 120, "look": 10}
SETTINGS = gate_verdict.settings_from({}, BAKE)
LOW_TRAFFIC = gate_verdict.settings_from({"harmless_share": 0.01}, BAKE)
STAGES = [25, 50, 100]
Json = dict[str, Any]
Rows = list[Any]
Arm = tuple[int, int]


def rows(count: int, treatment: Arm, control: Arm, start: int = 0) -> Rows:
    """As many intervals of 2 s with the same (events, bad) in each arm, from number `start` on."""
    return [[2 * (start + k), *treatment, *control] for k in range(count)]


def metric(seen: Rows, name: str = "errors", **more: Any) -> Json:
    head = {
        "feature": "search",
        "metric": name,
        "kind": name,
        "harm": "more",
        "role": "guardrail",
        "weight": 1.0,
        "problem": None,
        "aa": [],
    }
    return {**head, "rows": seen, **more}


def orders(seen: Rows, **more: Any) -> Json:
    """A counter of which fewer is the harm."""
    return metric(seen, "orders", kind="counter", harm="fewer", **more)


def counts(*metrics: Any, percent: int = 25, elapsed: float = 60, **more: Any) -> Json:
    """One look, `elapsed` seconds after a stage that began at 1000."""
    place = {"percent": percent, "stage": STAGES.index(percent), "stages": STAGES, "cohorts": "users", "holdback": 0}
    return {
        **place,
        "since": 1000.0,
        "until": 1000.0 + elapsed,
        "interval": 2.0,
        "problems": [],
        "metrics": list(metrics),
        **more,
    }


def judge(*metrics: Any, settings: gate_verdict.Settings = SETTINGS, **more: Any) -> Json:
    """The verdict on counts(...)."""
    return gate_verdict.judge(counts(*metrics, **more), settings)
