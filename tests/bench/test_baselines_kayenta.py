"""Kayenta's judge, here, says what it is known to say."""

from __future__ import annotations

import math
import random
import statistics
import time
from typing import Any

import numpy as np
import pytest

from tests.bench.baselines import kayenta, mann_whitney, scoring
from tests.bench.baselines.scoring import Label, Labelled
from tests.bench.recorded import look, told, trace


def shares(decisive: int) -> tuple[list[float], list[float]]:
    return [100.0] * decisive + [1.0] * (10 - decisive), [1.0] * 10


def labelled(experiment: list[float], control: list[float], **settings: Any) -> Label:
    return kayenta.classify(kayenta.Metric("m", **settings), experiment, control).label


def test_the_interval_of_spinnaker_6278() -> None:
    shift = mann_whitney.confidence(*shares(7))
    assert shift.lower == pytest.approx(6.825022991538781e-05, rel=1e-12)
    assert shift.upper == 99.0
    assert shift.estimate == pytest.approx(98.99992904170193, rel=1e-15)
    experiment, control = (np.asarray(arm) for arm in shares(7))
    assert kayenta.mean_ratio(experiment, control) == pytest.approx(70.3)


@pytest.mark.parametrize(
    ("decisive", "label"),
    [(5, Label.PASS), (6, Label.PASS), (7, Label.PASS), (8, Label.HIGH), (9, Label.HIGH), (10, Label.HIGH)],
)
def test_the_labels_of_spinnaker_6278(decisive: int, label: Label) -> None:
    experiment, control = shares(decisive)
    assert labelled(experiment, control, allowed_increase=1.05, critical_increase=1.1) is label
    assert labelled(experiment, control, direction=kayenta.Direction.DECREASE) is Label.PASS


def test_passes_the_sparse_errors_of_kayenta_426() -> None:
    assert labelled([0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [0.0] * 6) is Label.PASS


def test_passes_the_first_case_of_kayenta_780() -> None:
    experiment = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7]
    control = [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0, 106.0, 17.0]
    assert labelled(experiment, control) is Label.PASS


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_is_the_median_difference(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(3, 1, 21), np.sort(draw.normal(0, 1, 17))
    differences = np.sort(np.subtract.outer(x, y).ravel())
    shift = mann_whitney.confidence(x, y, 0.95)
    middle = len(differences) // 2
    assert differences[middle - 1] - 1e-3 <= shift.estimate <= differences[middle + 1] + 1e-3
    assert shift.lower < shift.estimate < shift.upper
    assert mann_whitney.pairs_above(x, y) == np.count_nonzero(differences > 0)


def test_ranks_ties_in_the_middle() -> None:
    x, y = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])
    assert mann_whitney.pairs_above(x, y) == 1.0
    assert kayenta.cles(x, y) == pytest.approx(1 / 6)
    # Ranks 1, 3, 3, 3, 5: W = (7 - 6 - 3 + 0.5) / sqrt(0.5 (6 - 24 / 20))
    assert mann_whitney.standardised(0.0, x, y) == pytest.approx(-1.5 / math.sqrt(0.5 * 4.8))
    with pytest.raises(mann_whitney.AllTied):
        mann_whitney.standardised(0.0, np.ones(3), np.ones(2))


NAN = math.nan
LOW, HIGH = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]


@pytest.mark.parametrize(
    ("experiment", "control", "settings", "label"),
    [
        (HIGH, LOW, {}, "HIGH"),
        (LOW, HIGH, {}, "LOW"),
        (LOW, HIGH, {"direction": kayenta.Direction.INCREASE}, "PASS"),
        (HIGH, LOW, {"allowed_increase": 100.0}, "PASS"),
        (LOW, HIGH, {"allowed_decrease": 0.01}, "PASS"),
        (HIGH, LOW, {"effect": kayenta.Effect.CLES, "allowed_increase": 0.9}, "HIGH"),
        (HIGH, [0.0] * 6, {"allowed_increase": 100.0}, "HIGH"),  # no ratio to a mean of 0: it is ignored
        ([3.0, 1.0, 2.0], [1.0, 2.0, 3.0], {}, "PASS"),
        ([1.0] * 3, [1.0] * 2, {}, "PASS"),
        ([2.0] * 9, [1.0] * 9, {}, "HIGH"),  # single values, told apart by noise
        ([NAN, 3.0, NAN, 1.0, 2.0], [1.0, 2.0, 3.0], {}, "PASS"),
        ([NAN], [1.0, 2.0], {}, "NODATA"),
        ([], [1.0, 2.0], {}, "NODATA"),
        ([], [1.0, 2.0], {"must_have_data": True}, "NODATA_FAIL"),
        ([], [1.0, 2.0], {"must_have_data": True, "critical": True}, "NODATA"),
        ([], [1.0, 2.0], {"missing": kayenta.Missing.REPLACE}, "PASS"),
        ([0.0, 0.0], [0.0, NAN], {"missing": kayenta.Missing.REPLACE}, "PASS"),
        ([1.0], [2.0], {}, "ERROR"),  # one point an arm: shifted onto each other, everything is tied
    ],
)
def test_labels(experiment: list[float], control: list[float], settings: dict[str, Any], label: str) -> None:
    assert labelled(experiment, control, **settings).name == label


@pytest.mark.parametrize(
    ("settings", "critical"),
    [({"critical": True}, True), ({"critical": True, "critical_increase": 100.0}, False), ({}, False)],
)
def test_critical_metrics(settings: dict[str, Any], critical: bool) -> None:
    assert kayenta.classify(kayenta.Metric("m", **settings), HIGH, LOW).critical is critical


def test_outliers() -> None:
    metric = kayenta.Metric("m", remove_outliers=True)
    values = [1.0, 2.0, 3.0, 4.0] * 50 + [1000.0]
    assert kayenta.prepared(metric, values).max() == 4.0
    # Among three values an outlier is half of the upper quartile, and so within its own fence.
    assert list(kayenta.prepared(metric, [1.0, 2.0, 1000.0])) == [1.0, 2.0, 1000.0]
    assert kayenta.prepared(kayenta.Metric("m"), values).max() == 1000.0


def metrics(text: str) -> list[Labelled]:
    """Written as "Pass@a High@b": a label in a group."""
    return [Labelled(word, Label(word.split("@")[0]), (word.split("@")[1],)) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "weights", "score"),
    [
        ("Pass@a Pass@a High@a", None, 66.67),
        ("Pass@a Low@a NodataFailMetric@a Nodata@a", None, 33.33),
        ("Pass@a Nodata@a", None, 0.0),  # half without data
        ("Pass@a Pass@a Nodata@b", None, 100.0),  # a group of only Nodata counts 100
        ("Pass@a High@b", {"a": 80.0}, 80.0),
        ("Pass@a High@b Pass@c", {"a": 50.0}, 75.0),  # b and c share the other half
        ("Error@a", None, 100.0),
        ("High@a", None, 0.0),
    ],
)
def test_scores(text: str, weights: dict[str, float] | None, score: float) -> None:
    assert scoring.score(metrics(text), weights) == score


def test_critical_and_muted_metrics_in_the_score() -> None:
    good = Labelled("good", Label.PASS)
    assert scoring.score([good, good, Labelled("m", Label.HIGH, critical=True)]) == 0.0
    assert scoring.score([good, good, Labelled("m", Label.HIGH, critical=True, muted=True)]) == 100.0
    assert scoring.score([]) == 0.0


def test_at_the_marginal_score_the_classifier_and_the_runner_disagree() -> None:
    assert [scoring.classify(value, 95, 75).value for value in (95, 94.99, 75, 74.99)] == [
        "Pass",
        "Marginal",
        "Marginal",
        "Fail",
    ]
    scores = [80.0, 75.0, 100.0]
    assert kayenta.analyse(lambda number: scores[number - 1], 180, 60) == kayenta.Analysis(False, 2, [80.0, 75.0])


@pytest.mark.parametrize(
    ("scores", "lifetime", "interval", "passed", "judgements"),
    [
        ([100.0], 180, 0, True, 1),
        ([100.0], 180, 600, True, 1),
        ([80, 80, 95], 185, 60, True, 3),
        ([100, 100, 94], 180, 60, False, 3),
    ],
)
def test_the_runner(scores: list[float], lifetime: float, interval: float, passed: bool, judgements: int) -> None:
    outcome = kayenta.analyse(lambda number: scores[number - 1], lifetime, interval)
    assert (outcome.passed, outcome.judgements) == (passed, judgements)


def test_on_a_trace() -> None:
    draw = random.Random(7)
    calm = [look(draw.randint(0, 3), control=draw.randint(0, 3)) for _ in range(60)]
    bad = [look(draw.randint(10, 20), control=draw.randint(0, 3)) for _ in range(60)]
    harm = sum(entry["treatment"]["bad"] for entry in bad[:50])
    assert told(kayenta.decide(trace((25, bad), (50, bad)), 60)) == ("abort", 25, 50, harm)
    assert kayenta.decide(trace((25, calm), (50, calm)), 60)["verdict"] == "promote"
    assert told(kayenta.decide(trace((25, calm), (50, bad)), 60))[:3] == ("abort", 50, 50)
    assert told(kayenta.decide(trace((25, bad[:49])), 60))[:3] == ("hold", 25, 49)
    assert told(kayenta.decide(trace((25, bad)), 60, points=20, judgements=3))[:3] == ("abort", 25, 20)
    assert told(kayenta.decide(trace((25, calm)), 60, points=30, judgements=3))[:3] == ("hold", 25, 60)
    assert told(kayenta.decide(trace((25, [None] * 60)), 60)) == ("abort", 25, 50, 0)  # no data at all fails


def test_a_judgement_is_quick() -> None:
    draw = np.random.default_rng(1)
    arms = [draw.binomial(250, 0.004, 100) / 250 for _ in range(2)]
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        kayenta.classify(kayenta.Metric("errors"), arms[0], arms[1])
        taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.02
