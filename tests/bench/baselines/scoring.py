"""Kayenta's score: from the labels of metrics to one number in percent, and its class.

After `WeightedSumScorer.scala`, `ScoringHelper.scala` and `ThresholdScoreClassifier.scala` of spinnaker/spinnaker
(kayenta/kayenta-judge).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum

NODATA_SHARE = 50.0  # percent of the metrics


class Label(Enum):
    """What the judge says of a metric."""

    PASS = "Pass"
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL = "NodataFailMetric"
    ERROR = "Error"


class Class(Enum):
    """What the judge says of a canary."""

    PASS = "Pass"
    MARGINAL = "Marginal"
    FAIL = "Fail"


@dataclass(frozen=True)
class Labelled:
    """A metric and its label; `critical`: a label other than Pass fails the canary."""

    name: str
    label: Label
    groups: tuple[str, ...] = ("all",)
    critical: bool = False
    muted: bool = False


COUNTED = (Label.PASS, Label.HIGH, Label.LOW, Label.NODATA_FAIL)


def group_score(labels: Sequence[Label]) -> float:
    """The percentage of passing metrics of a group; one in which nothing counts (Nodata, Error) is taken as 100."""
    counted = [label for label in labels if label in COUNTED]
    return 100.0 * counted.count(Label.PASS) / len(counted) if counted else 100.0


def score(metrics: Sequence[Labelled], weights: Mapping[str, float] | None = None) -> float:
    """The score of a canary. `weights`: group to percent; groups without one share what is left to 100 in equal
    parts."""
    weights = weights or {}
    counted = [metric for metric in metrics if not metric.muted]
    if any(metric.critical and metric.label is not Label.PASS for metric in counted):
        return 0.0
    absent = sum(metric.label is Label.NODATA for metric in counted)
    if counted and 100.0 * absent / len(counted) >= NODATA_SHARE:
        return 0.0
    groups: dict[str, list[Label]] = {}
    for metric in counted:
        for group in metric.groups:
            groups.setdefault(group, []).append(metric.label)
    unweighted = [group for group in groups if group not in weights]
    equal = (100.0 - sum(weights.values())) / len(unweighted) if unweighted else 0.0
    total = sum(group_score(labels) * weights.get(group, equal) / 100.0 for group, labels in groups.items())
    return float(Decimal(repr(float(total))).quantize(Decimal("0.01"), ROUND_HALF_UP))


def classify(value: float, passing: float, marginal: float) -> Class:
    """The class of a score: at least `passing`, at least `marginal`, or less."""
    if value >= passing:
        return Class.PASS
    return Class.MARGINAL if value >= marginal else Class.FAIL
