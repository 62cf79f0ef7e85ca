"""Kayenta's NetflixACAJudge-v1.0: how metrics get their labels, and what the standalone runner does over a ramp.

After `NetflixACAJudge.scala`, `MannWhitneyClassifier.scala` and `SetupAndExecuteCanariesStage.java` of
spinnaker/spinnaker (kayenta/); the order of the
rules is theirs, the lines are ours. Scores and thresholds are in percent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from tests.bench.baselines import mann_whitney, scoring, traces
from tests.bench.baselines.mann_whitney import Values
from tests.bench.baselines.scoring import Label, Labelled

TOLERANCE = 0.25  # of the estimated shift
CONFIDENCE = 0.98
NOISE = 1e-5  # of the value
OUTLIER_FACTOR = 3.0
ADVISED_POINTS = 50


class Direction(Enum):
    """Which way a metric must not go."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Missing(Enum):
    """What becomes of NaN."""

    REMOVE = "remove"
    REPLACE = "replace"


class Effect(Enum):
    """How the size of an effect is measured, and the limit of it where none was configured."""

    MEAN_RATIO = 1.0
    CLES = 0.5


@dataclass(frozen=True)
class Metric:
    """A metric's analysis configuration, with the judge's defaults; limits left at None are those of the effect's
    measure."""

    name: str
    groups: Sequence[str] = ("all",)
    direction: Direction = Direction.EITHER
    missing: Missing = Missing.REMOVE
    remove_outliers: bool = False
    outlier_factor: float = OUTLIER_FACTOR
    critical: bool = False
    must_have_data: bool = False
    muted: bool = False
    effect: Effect = Effect.MEAN_RATIO
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None

    def limit(self, name: str) -> float:
        """The limit of this name (allowed_increase, …)."""
        configured: float | None = getattr(self, name)
        return self.effect.value if configured is None else configured


def prepared(metric: Metric, values: Sequence[float] | Values) -> Values:
    """An arm's values (one a time step, NaN where there is none) as the classifier sees them."""
    array = np.asarray(values, dtype=np.float64)
    absent = np.isnan(array)
    array = array[~absent] if metric.missing is Missing.REMOVE else np.where(absent, 0.0, array)
    if metric.remove_outliers and len(array):
        # NumPy's default percentile is type 7 of R, as theirs.
        first, lower, upper, last = (float(edge) for edge in np.percentile(array, [1, 25, 75, 99]))
        reach = metric.outlier_factor * (upper - lower)
        array = array[(array >= min(first, lower - reach)) & (array <= max(last, upper + reach))]
    return array


def mean_ratio(experiment: Values, control: Values) -> float:
    """The mean of the experiment over that of the control; NaN where either is 0."""
    above, below = float(experiment.mean()), float(control.mean())
    return math.nan if above == 0 or below == 0 else above / below


def cles(experiment: Values, control: Values) -> float:
    """The common language effect size: the share of pairs in which the experiment is higher (Vargha and Delaney
    2000)."""
    return mann_whitney.pairs_above(experiment, np.sort(control)) / (len(experiment) * len(control))


def compare(metric: Metric, experiment: Values, control: Values, noise: random.Random) -> tuple[Label, float]:
    """The label of two arms that both have values and differ, and the size of the effect. Raises
    mann_whitney.AllTied."""
    if len(np.unique(experiment)) == 1 and len(np.unique(control)) == 1:
        experiment, control = (
            arm + [noise.gauss(0.0, NOISE * float(arm[0])) for _ in arm] for arm in (experiment, control)
        )
    shift = mann_whitney.confidence(experiment, control, CONFIDENCE)
    effect = (cles if metric.effect is Effect.CLES else mean_ratio)(experiment, control)
    bound = TOLERANCE * abs(shift.estimate)
    unknown = math.isnan(effect)
    if (
        metric.direction is not Direction.DECREASE
        and shift.lower > bound
        and (unknown or effect >= metric.limit("allowed_increase"))
    ):
        return Label.HIGH, effect
    if (
        metric.direction is not Direction.INCREASE
        and shift.upper < -bound
        and (unknown or effect <= metric.limit("allowed_decrease"))
    ):
        return Label.LOW, effect
    return Label.PASS, effect


def classify(
    metric: Metric,
    experiment: Sequence[float] | Values,
    control: Sequence[float] | Values,
    noise: random.Random | None = None,
) -> Labelled:
    """The label of a metric from the values of both arms, one a time step. `noise` tells single values apart; without
    it, the same each time."""
    canary, baseline = prepared(metric, experiment), prepared(metric, control)

    def labelled(label: Label, critical: bool = False) -> Labelled:
        return Labelled(metric.name, label, tuple(metric.groups), critical, metric.muted)

    if not len(canary) or not len(baseline):
        if metric.missing is Missing.REPLACE:
            return labelled(Label.PASS)
        if metric.must_have_data and not metric.critical:
            return labelled(Label.NODATA_FAIL)
        return labelled(Label.NODATA, metric.critical)
    if np.array_equal(np.sort(canary), np.sort(baseline)) or len(np.unique(np.concatenate((canary, baseline)))) == 1:
        return labelled(Label.PASS)
    try:
        label, effect = compare(metric, canary, baseline, noise or random.Random(0))
    except mann_whitney.AllTied:
        return labelled(Label.ERROR)
    unknown = math.isnan(effect)
    critical = metric.critical and (
        (label is Label.HIGH and (unknown or effect >= metric.limit("critical_increase")))
        or (label is Label.LOW and (unknown or effect <= metric.limit("critical_decrease")))
    )
    return labelled(label, critical)


@dataclass(frozen=True)
class Analysis:
    """What a standalone canary analysis came to: whether the canary passed, after how many judgements, and the score of
    each."""

    passed: bool
    judgements: int
    scores: list[float] = field(default_factory=list)


def analyse(
    score: Callable[[int], float], lifetime: float, interval: float = 0.0, passing: float = 95.0, marginal: float = 75.0
) -> Analysis:
    """The standalone runner: judge after every `interval` of `lifetime` (seconds; 0 or longer than it: once, at its
    end).

    `score(number)` is the score of a judgement, from 1. One that is not above `marginal` ends the analysis at once (the
    classifier calls the very
    same score Marginal); the last one must reach `passing`.
    """
    if interval <= 0 or interval > lifetime:
        interval = lifetime
    scores: list[float] = []
    for number in range(1, int(lifetime // interval) + 1):
        scores.append(score(number))
        if scores[-1] <= marginal:
            return Analysis(False, number, scores)
    return Analysis(scores[-1] >= passing, len(scores), scores)


def decide(
    trace: Mapping[str, Any],
    interval: float,
    *,
    points: int = ADVISED_POINTS,
    judgements: int = 1,
    passing: float = 95.0,
    marginal: float = 75.0,
    period: float | None = None,
) -> dict[str, Any]:
    """What a standalone analysis of each stage decides over a recorded rollout.

    The metric is the share of errors of either arm, direction increase; a time step is one look, or `period` seconds of
    looks. A stage is judged
    every `points` time steps on all of its steps so far, `judgements` times, and then left. One with fewer looks is
    never decided: hold.
    What nobody saw is NaN, which is removed; a stage without any value is Nodata, which fails.
    """
    metric = Metric("errors", direction=Direction.INCREASE)
    size = traces.group_size(interval, period)
    last = points * judgements
    left: list[int] = []
    for stage in trace["stages"]:
        steps = traces.measurements(stage["looks"], size)
        arms = {arm: [traces.share(counts, arm) for _, counts in steps[:last]] for arm in ("treatment", "control")}

        def score(judgement: int, arms: dict[str, list[float]] = arms) -> float:
            seen = judgement * points
            return scoring.score([classify(metric, arms["treatment"][:seen], arms["control"][:seen])])

        # Only as many judgements as the stage has looks for: a bad one decides, good ones leave it open.
        possible = min(judgements, len(steps) // points)
        outcome = analyse(score, possible * points, points, passing, marginal) if possible else Analysis(True, 0)
        if not outcome.passed and (possible == judgements or outcome.scores[-1] <= marginal):
            return traces.decision(trace, "abort", [*left, steps[outcome.judgements * points - 1][0]])
        if possible < judgements:
            return traces.decision(trace, "hold", [*left, len(stage["looks"])])
        left.append(steps[last - 1][0])
    return traces.decision(trace, "promote", left)
