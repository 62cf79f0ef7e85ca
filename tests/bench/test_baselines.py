"""The gates of others decide here as they do where they come from; Kayenta's judge has a file of its own."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.bench.baselines import BASELINES, Decide, argo, flagger, kayenta, traces
from tests.bench.recorded import look, told, trace

LETTERS = {"S": argo.Phase.SUCCESSFUL, "F": argo.Phase.FAILED, "I": argo.Phase.INCONCLUSIVE, "E": argo.Phase.ERROR}


# Argo Rollouts


@pytest.mark.parametrize(
    ("settings", "measured", "phase"),
    [
        ({}, "", "PENDING"),
        ({}, "S", "SUCCESSFUL"),  # neither count nor interval: one measurement
        ({"interval": 60}, "SSSSSSSSSSSS", "RUNNING"),  # only an interval: endless
        ({"count": 3}, "SS", "RUNNING"),
        ({"count": 3}, "SSS", "SUCCESSFUL"),
        ({"count": 3}, "SEES", "RUNNING"),  # errors are not counted towards it
        ({"count": 3}, "SF", "FAILED"),
        ({"count": 3, "failure_limit": 1}, "SFS", "SUCCESSFUL"),
        ({"interval": 60, "failure_limit": 3}, "FSFSFS", "RUNNING"),
        ({"interval": 60, "failure_limit": 3}, "FSFSFSF", "FAILED"),  # failures need not follow each other
        ({"count": 3, "failure_limit": -1}, "FFF", "SUCCESSFUL"),
        ({"count": 3}, "I", "INCONCLUSIVE"),
        ({"count": 3, "inconclusive_limit": 1}, "ISI", "INCONCLUSIVE"),
        ({"interval": 60}, "EEEE", "RUNNING"),
        ({"interval": 60}, "EEEEE", "ERROR"),
        ({"interval": 60}, "EEEESEEEE", "RUNNING"),
        ({"interval": 60, "consecutive_error_limit": 0}, "SE", "ERROR"),
        ({"count": 9, "consecutive_success_limit": 2}, "SFSS", "FAILED"),  # a limit that is passed goes before success
        ({"count": 9, "consecutive_success_limit": 2, "failure_limit": 1}, "SFSS", "SUCCESSFUL"),
        ({"count": 9, "consecutive_success_limit": 2, "failure_limit": 1}, "SES", "RUNNING"),  # an error breaks the row
        (
            {"count": 3, "consecutive_success_limit": 2, "failure_limit": 2},
            "SFS",
            "INCONCLUSIVE",
        ),  # both limits apply, neither is reached
        (
            {"count": 3, "consecutive_success_limit": 2, "failure_limit": -1},
            "SFS",
            "FAILED",
        ),  # only the successes count
    ],
)
def test_argo_metric_phases(settings: dict[str, Any], measured: str, phase: str) -> None:
    metric, result = argo.Metric("m", **settings), argo.Result()
    for letter in measured:
        result.add(LETTERS[letter])
        result.phase = argo.metric_phase(metric, result)
    assert argo.metric_phase(metric, result).name == phase


@pytest.mark.parametrize(
    ("counted", "phase"),
    [
        ({"failed": 1, "inconclusive": 1, "consecutive_errors": 5}, "ERROR"),
        ({"failed": 1, "inconclusive": 1}, "INCONCLUSIVE"),
        ({"failed": 1, "consecutive_errors": 5}, "ERROR"),
        ({"failed": 1}, "FAILED"),
    ],
)
def test_argo_the_last_limit_that_is_passed_counts(counted: dict[str, int], phase: str) -> None:
    result = argo.Result()
    for count, value in counted.items():
        setattr(result, count, value)
    result.measurements.append(argo.Phase.ERROR)
    assert argo.metric_phase(argo.Metric("m", interval=60), result).name == phase


@pytest.mark.parametrize(
    ("success", "failure", "value", "phase"),
    [
        (None, None, 7.0, "SUCCESSFUL"),
        (True, None, 7.0, "SUCCESSFUL"),
        (False, None, 7.0, "FAILED"),
        (None, True, 7.0, "FAILED"),
        (None, False, 7.0, "SUCCESSFUL"),
        (True, True, 7.0, "FAILED"),
        (True, False, 7.0, "SUCCESSFUL"),
        (False, False, 7.0, "INCONCLUSIVE"),
        (True, None, None, "ERROR"),
    ],
)
def test_argo_measurements(success: bool | None, failure: bool | None, value: float | None, phase: str) -> None:
    conditions = {
        name: lambda _, answer=answer: answer
        for name, answer in (("success", success), ("failure", failure))
        if answer is not None
    }
    assert argo.Metric("m", **conditions).judge(value).name == phase  # type: ignore[arg-type]


def test_argo_a_condition_that_cannot_be_evaluated_is_an_error() -> None:
    assert argo.Metric("m", success=lambda value: 1 / (value - 7) > 0).judge(7.0) is argo.Phase.ERROR


def below(limit: float) -> argo.Condition:
    return lambda value: value < limit


def test_argo_a_metric_that_ends_badly_lets_the_others_succeed() -> None:
    run = argo.AnalysisRun([argo.Metric("a", below(1), interval=60), argo.Metric("b", below(1), interval=60)])
    assert run.measure({"a": 0, "b": 0}) is argo.Phase.RUNNING
    assert run.measure({"a": 0, "b": 2}) is argo.Phase.FAILED
    assert run.results["a"].phase is argo.Phase.SUCCESSFUL
    assert argo.consequence(run.phase) == "abort"
    assert run.due(1000) == []


def test_argo_a_dry_run_counts_for_nothing() -> None:
    run = argo.AnalysisRun(
        [argo.Metric("a", below(1), interval=60), argo.Metric("b", below(1), interval=60, dry_run=True)]
    )
    assert run.measure({"a": 0, "b": 2}) is argo.Phase.RUNNING
    assert (run.results["b"].phase, run.terminating) == (argo.Phase.FAILED, False)


def test_argo_a_background_run_that_is_cancelled_has_succeeded_unless_it_ended_before() -> None:
    run = argo.AnalysisRun([argo.Metric("a", below(1), interval=60, failure_limit=3)])
    for value in (2, 2, 2):
        run.measure({"a": value})
    assert run.terminate() is argo.Phase.SUCCESSFUL
    failed = argo.AnalysisRun([argo.Metric("a", below(1), interval=60)])
    failed.measure({"a": 2})
    assert failed.terminate() is argo.Phase.FAILED
    assert argo.AnalysisRun([argo.Metric("a")]).terminate() is argo.Phase.SUCCESSFUL


def test_argo_measures_when_it_is_due_and_keeps_ten() -> None:
    run = argo.AnalysisRun([argo.Metric("slow", below(1), interval=60), argo.Metric("retried", below(1), count=2)])
    run.measure({"slow": 0, "retried": None}, now=100)
    assert (run.due(105), run.due(110), run.due(160)) == ([], ["retried"], ["slow", "retried"])
    for now in range(200, 2000, 60):
        run.measure({"slow": 0}, now)
    assert (len(run.results["slow"].measurements), run.results["slow"].successful) == (argo.MEASUREMENTS_KEPT, 31)


def test_argo_on_a_trace() -> None:
    calm, bad, empty = look(0), look(2), look(0, events=0)
    ramp = trace((25, [calm, bad, empty, bad]), (50, [bad, calm, bad, calm]))
    assert told(argo.decide(ramp, 60)) == ("abort", 25, 2, 2)
    assert told(argo.decide(ramp, 60, failure_limit=3)) == (
        "abort",
        50,
        3,
        8,
    )  # one run in the background: stages share its counters
    assert told(argo.decide(ramp, 60, failure_limit=4)) == ("promote", 50, 4, 8)
    assert told(argo.decide(trace((25, [calm, None, None, None, None, calm, None])), 60)) == ("promote", 25, 7, 0)
    assert told(argo.decide(trace((25, [calm, None, None, None, None, None, calm])), 60)) == ("abort", 25, 6, 0)
    assert told(argo.decide(trace((25, [calm, bad, calm, bad])), 10, period=20)) == ("promote", 25, 4, 4)  # 2 of 200


# Flagger


def ticks(canary: flagger.Canary, *rates: float | None) -> list[tuple[str, int, int]]:
    seen = []
    for rate in rates:
        canary.tick({"request-success-rate": rate})
        seen.append((canary.phase.value, canary.weight, canary.failed_checks))
    return seen


RATE = flagger.Metric("request-success-rate", minimum=99)


def test_flagger_three_checks_and_it_is_promoted() -> None:
    canary = flagger.Canary(flagger.Analysis([RATE], threshold=5, step_weights=[25, 50, 100]))
    assert ticks(canary, None, 100, 100, 100) == [
        ("Progressing", 25, 0),
        ("Progressing", 50, 0),
        ("Progressing", 100, 0),
        ("Promoting", 100, 0),
    ]
    assert canary.checks == 3
    assert ticks(canary, 0, 0, 0) == [
        ("Finalising", 0, 0),
        ("Succeeded", 0, 0),
        ("Succeeded", 0, 0),
    ]  # no check after the last step


def test_flagger_failed_checks_add_up_and_roll_back_a_tick_later() -> None:
    canary = flagger.Canary(flagger.Analysis([RATE], threshold=2, step_weights=[25, 50, 100]))
    assert ticks(canary, None, 98, 100, math.nan) == [
        ("Progressing", 25, 0),
        ("Progressing", 25, 1),
        ("Progressing", 50, 1),
        ("Progressing", 50, 2),
    ]
    assert ticks(canary, 100) == [("Failed", 0, 0)]  # though this one would have passed


def test_flagger_a_new_revision_forgets() -> None:
    canary = flagger.Canary(flagger.Analysis([RATE], step_weights=[25, 50, 100]))
    ticks(canary, None, 98)
    canary.new_revision()
    assert ticks(canary, None, 100) == [("Progressing", 25, 0), ("Progressing", 50, 0)]


@pytest.mark.parametrize(
    ("hooks", "weight", "after"),
    [
        ({"rollback": True}, 25, ("Failed", 0, 0)),
        ({"pre_rollout": False}, 0, ("Progressing", 0, 1)),
        ({"pre_rollout": False}, 25, ("Progressing", 50, 0)),
        ({"rollout": False}, 25, ("Progressing", 25, 1)),
        ({"confirm_traffic_increase": False}, 25, ("Progressing", 25, 0)),
        ({"confirm_promotion": False}, 50, ("Progressing", 100, 0)),
        ({"confirm_promotion": False}, 100, ("WaitingPromotion", 100, 0)),
    ],
)
def test_flagger_hooks(hooks: dict[str, bool], weight: int, after: tuple[str, int, int]) -> None:
    canary = flagger.Canary(flagger.Analysis([RATE], threshold=5, step_weights=[25, 50, 100]), weight=weight)
    canary.tick({"request-success-rate": 100}, flagger.Hooks(**hooks))
    assert (canary.phase.value, canary.weight, canary.failed_checks) == after


def test_flagger_a_passed_deadline_rolls_back() -> None:
    canary = flagger.Canary(flagger.Analysis([RATE], threshold=5, step_weights=[25, 100]), weight=25)
    assert canary.tick({"request-success-rate": 100}, retriable=False) is flagger.Phase.FAILED


@pytest.mark.parametrize(
    ("metric", "value", "passes"),
    [
        (RATE, 99.0, True),
        (RATE, 98.9, False),
        (RATE, None, False),
        (RATE, math.nan, False),
        (flagger.Metric("request-success-rate", threshold=99), 98.9, False),
        (flagger.Metric("request-success-rate", threshold=99), 99.0, True),
        (flagger.Metric("request-duration", threshold=500), 500.1, False),
        (flagger.Metric("request-duration", threshold=500), 500.0, True),
        (flagger.Metric("anything", minimum=1, maximum=2, threshold=9), 0.5, False),
        (flagger.Metric("anything", minimum=1, maximum=2, threshold=9), 2.5, False),
    ],
)
def test_flagger_thresholds(metric: flagger.Metric, value: float | None, passes: bool) -> None:
    assert metric.passes(value) is passes


@pytest.mark.parametrize(
    ("analysis", "weights"),
    [
        (flagger.Analysis(step_weight=20, max_weight=50), [20, 40, 60]),
        (flagger.Analysis(step_weight=40), [40, 80, 100]),
        (flagger.Analysis(step_weights=[10, 60]), [10, 60]),
        (flagger.Analysis(), [0]),
    ],
)
def test_flagger_weights(analysis: flagger.Analysis, weights: list[int]) -> None:
    canary = flagger.Canary(analysis)
    for weight in weights:
        canary.tick({})
        assert canary.weight == weight
    assert canary.tick({}) is (flagger.Phase.PROMOTING if weights[-1] else flagger.Phase.PROGRESSING)


def test_flagger_defaults() -> None:
    analysis = flagger.Analysis(interval=1)
    assert (analysis.failed_checks_allowed, analysis.seconds, flagger.Analysis().seconds) == (1, 10.0, 60.0)


def test_flagger_on_a_trace() -> None:
    calm, bad = look(1), look(2)
    assert told(flagger.decide(trace((25, [calm] * 9), (50, [calm] * 9), (100, [calm] * 9)), 60)) == (
        "promote",
        100,
        1,
        3,
    )
    assert told(flagger.decide(trace((25, [bad] * 9), (50, [calm] * 9)), 60)) == ("abort", 25, 6, 12)
    assert told(flagger.decide(trace((25, [bad, calm, calm]), (50, [None, bad, None, bad, calm, calm])), 60)) == (
        "abort",
        50,
        5,
        8,
    )
    assert told(flagger.decide(trace((25, [bad] * 5), (50, [calm] * 9)), 60)) == ("hold", 25, 5, 10)


# All of them


def test_looks_together() -> None:
    looks = [look(1), None, None, None, look(2), look(3), look(9)]
    assert [(at, counts and counts["treatment"]) for at, counts in traces.measurements(looks, 2)] == [
        (2, {"events": 100, "bad": 1}),
        (4, None),
        (6, {"events": 200, "bad": 5}),
    ]
    assert (
        traces.group_size(10, 60),
        traces.group_size(60, 60),
        traces.group_size(60, 10),
        traces.group_size(10, None),
    ) == (6, 1, 1, 1)


def simulated(draw: np.random.Generator, rate: int, ratio: float) -> dict[str, Any]:
    """Two stages of ten looks of a minute, base error share 0.3 %."""

    def minute(percent: int) -> dict[str, Any]:
        events = {"treatment": rate * 60 * percent // 100, "control": rate * 60 * (100 - percent) // 100}
        return {
            arm: {"events": count, "bad": int(draw.binomial(count, 0.003 * (ratio if arm == "treatment" else 1.0)))}
            for arm, count in events.items()
        }

    return trace(*((percent, [minute(percent) for _ in range(10)]) for percent in (25, 50)))


@pytest.mark.parametrize(
    ("ratio", "stopped"),
    [
        (1, {"argo 0": (0.45, 0.72), "argo 3": (0, 0.05), "flagger": (0, 0.02), "kayenta": (0, 0.05)}),
        (3, {"argo 0": (0.97, 1), "argo 3": (0.75, 1), "flagger": (0, 0.15), "kayenta": (0.3, 0.7)}),
        (10, {"argo 0": (1, 1), "argo 3": (1, 1), "flagger": (0.93, 1), "kayenta": (0.95, 1)}),
    ],
)
def test_what_they_stop_at_ten_requests_a_second(ratio: float, stopped: dict[str, tuple[float, float]]) -> None:
    # An independent simulation of the same ramp gave, in this order: no change .57, 0, 0, 0; three times 1, .83, .04,
    # .52; ten times 1 each.
    draw = np.random.default_rng(2026)
    runs = [simulated(draw, 10, ratio) for _ in range(200)]
    gates: dict[str, Decide] = {
        "argo 0": argo.decide,
        "argo 3": partial(argo.decide, failure_limit=3),
        "flagger": flagger.decide,
        "kayenta": partial(kayenta.decide, points=10),
    }
    for name, decide in gates.items():
        share = statistics.mean(decide(run, 60)["verdict"] == "abort" for run in runs)
        assert stopped[name][0] <= share <= stopped[name][1], f"{name} stopped {share:.0%}"


def test_every_baseline_says_what_the_table_needs() -> None:
    run = trace((25, [look(0)] * 60), (50, [look(0)] * 60))
    for name, decide in BASELINES.items():
        assert decide(run, 60)["verdict"] == "promote", name
        assert set(decide(run, 60)) == {"verdict", "stage", "look", "bad_served"}
