"""The prediction that the failure stories hold their own time against: by then, nearly all simulated ramps are
stopped."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict

from tests.support import prediction

SETTINGS = gate_verdict.settings_from({"slow_seconds": 1.0}, {"min": 10, "max": 90, "look": 5})
INTERVAL = 2.0


def look(treatment: float, control: float) -> dict[str, Any]:
    """A look of a stage of 25 %, after 20 seconds of A/A at these requests an interval."""
    head = {
        "feature": "search",
        "metric": "errors",
        "kind": "errors",
        "harm": "more",
        "role": "guardrail",
        "weight": 1.0,
        "problem": None,
    }
    aa = [[INTERVAL * number, round(treatment), 0, round(control), 0] for number in range(10)]
    counts = {
        "percent": 25,
        "stage": 0,
        "stages": [25, 50, 100],
        "cohorts": "users",
        "holdback": 0,
        "since": 0.0,
        "until": 20.0,
        "interval": INTERVAL,
        "problems": [],
        "notes": [],
        "metrics": [{**head, "rows": [], "aa": aa}],
    }
    return {"counts": counts, "settings": dataclasses.asdict(SETTINGS)}


# The tenth part of each distribution, from tables of it.
@pytest.mark.parametrize(
    ("mean", "wanted"), [(0.0, 0), (0.1, 0), (1.0, 0), (4.0, 2), (10.0, 6), (100.0, 87), (2000.0, 1943)]
)
def test_what_nine_of_ten_counts_reach(mean: float, wanted: int) -> None:
    assert prediction.lower_quantile(mean, 0.1) == wanted


@pytest.mark.parametrize(("treatment", "share"), [(4.0, 1.0), (6.0, 0.375), (6.0, 0.1), (40.0, 0.02)])
def test_nearly_all_ramps_are_stopped_by_then(treatment: float, share: float) -> None:
    dice, seen, runs = np.random.default_rng(3), look(treatment, 3 * treatment), 100
    number = int(prediction.seconds_to_stop(seen, "search", "errors", share) / INTERVAL)
    stopped = 0
    for _run in range(runs):
        events = dice.poisson(treatment, number)
        rows = [
            [INTERVAL * at, int(count), int(dice.binomial(count, share)), round(3 * treatment), 0]
            for at, count in enumerate(events)
        ]
        counts = {
            **seen["counts"],
            "until": number * INTERVAL,
            "metrics": [{**seen["counts"]["metrics"][0], "rows": rows}],
        }
        stopped += gate_verdict.judge(counts, SETTINGS)["verdict"] == "abort"
    # One in a thousand is expected to take longer, so two in a hundred are a wrong prediction.
    assert stopped >= runs - 1


def test_more_harm_and_more_traffic_are_stopped_sooner() -> None:
    def seconds(treatment: float, share: float) -> float:
        return prediction.seconds_to_stop(look(treatment, 3 * treatment), "search", "errors", share)

    assert seconds(6, 0.375) < seconds(6, 0.1) < seconds(6, 0.03)
    assert seconds(60, 0.1) < seconds(6, 0.1)


def test_what_is_no_harm_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "LONGEST", 40.0)
    with pytest.raises(AssertionError, match="cannot stop search"):
        prediction.seconds_to_stop(look(6, 18), "search", "errors", 0.0)
