"""The loops of others on recorded stages with known counts."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import settings_from

from tests.bench import loops

SETTINGS = dataclasses.asdict(settings_from({}, {"min": 390, "max": 390, "look": 5}))


def look(bad: int, seconds: int = 390, opened: int = 0, metric: str = "errors") -> dict[str, Any]:
    """A stage of 25 %: two features with ten and thirty answers a second, of the first one so many of ten are bad."""
    aa: list[list[float]] = [[second, 10, 0, 30, 0] for second in range(20)]
    heads = [
        {
            "feature": feature,
            "metric": name,
            "kind": name,
            "harm": "more",
            "role": "signal",
            "weight": 1.0,
            "problem": None,
            "aa": aa,
            "rows": [
                [second, 10, bad if (feature, name) == ("search", metric) else 0, 30, 0] for second in range(seconds)
            ],
        }
        for feature in ("search", "cart")
        for name in ("errors", "slow")
    ]
    counts = {
        "percent": 25,
        "stage": 0,
        "stages": [25, 50, 100],
        "cohorts": "users",
        "holdback": 0,
        "since": 1000.0,
        "until": 1000.0 + seconds,
        "interval": 1.0,
        "open": opened,
        "problems": [],
        "metrics": heads,
    }
    return {"counts": counts, "settings": SETTINGS, "elapsed": float(seconds)}


def seconds(found: list[dict[str, Any]]) -> dict[str, float | None]:
    return {each["loop"]: each["seconds"] for each in found}


def test_each_loop_aborts_after_its_periods_and_its_limit() -> None:
    found = loops.decisions(look(4), "errors")
    times = seconds(found)
    assert times.pop(loops.OURS) == 2  # found by the gate itself: 8 bad answers, none in the control
    assert times == {
        "Argo, every 60 s, failureLimit 0": 60,
        "Argo, every 60 s, failureLimit 3": 240,
        "Argo, every 10 s, failureLimit 0": 10,
        "Argo, every 10 s, failureLimit 3": 40,
        "Flagger, every 60 s, 5 failed checks": 360,
        "Flagger, every 10 s, 5 failed checks": 60,
    }
    assert [each["bad"] for each in found] == [4 * (each["seconds"] or 0) for each in found]


def test_a_slow_release_is_judged_by_its_slow_answers() -> None:
    assert seconds(loops.decisions(look(4, metric="slow"), "slow"))["Argo, every 60 s, failureLimit 0"] == 60
    assert seconds(loops.decisions(look(4, metric="slow"), "errors"))["Argo, every 60 s, failureLimit 0"] is None


def test_a_loop_that_does_not_abort_within_the_stage_has_no_time() -> None:
    harmless = loops.decisions(look(0), "errors")
    assert {each["seconds"] for each in harmless} == {None}
    assert {each["bad"] for each in harmless} == {None}
    assert seconds(loops.decisions(look(4, seconds=200), "errors"))["Argo, every 60 s, failureLimit 3"] is None


def test_intervals_that_are_open_or_were_not_seen_are_left_out() -> None:
    seen = look(4, seconds=60, opened=1)
    assert seconds(loops.decisions(seen, "errors"))["Argo, every 60 s, failureLimit 0"] is None
    seen = look(4)
    seen["counts"]["metrics"][0]["rows"][2] = None
    first = next(each for each in loops.decisions(seen, "errors") if each["loop"].startswith("Argo, every 10"))
    assert (first["seconds"], first["bad"]) == (10, 36)
