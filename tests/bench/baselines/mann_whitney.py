"""The two-sample Mann-Whitney (Wilcoxon rank sum) confidence interval of a shift, as Kayenta computes it.

Kayenta follows `wilcox.test(x, y, conf.int = TRUE, exact = FALSE, correct = TRUE)` of R: both ends, and the
Hodges-Lehmann estimate, are roots in the
shift mu of a standardised rank sum that has steps. Between steps Brent's method stops somewhere, so the numbers depend
on its exact course;
it is the one of R. P. Brent, Algorithms for Minimization without Derivatives (1973), chapter 4, with R's tolerance of
1e-4.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4
ITERATIONS = 1000

Values = NDArray[np.float64]


class AllTied(ValueError):
    """Every observation equals every other, so that ranks say nothing."""


@dataclass(frozen=True)
class Shift:
    """By how much x lies above y: the ends of the confidence interval and the Hodges-Lehmann estimate, in the unit of
    the values."""

    lower: float
    upper: float
    estimate: float


def pairs_above(x: Values, y: Values) -> float:
    """In how many pairs x is above y, an equal pair counting one half: the rank sum of x less m(m+1)/2. y sorted."""
    return 0.5 * float(y.searchsorted(x, "left").sum() + y.searchsorted(x, "right").sum())


def standardised(shift: float, x: Values, y: Values) -> float:
    """W(shift): the rank sum of x - shift among (x - shift, y), centred, corrected for continuity, in standard
    deviations. x and y sorted.

    Raises AllTied where there is no deviation.
    """
    m, n = float(len(x)), float(len(y))
    moved = x - shift
    centred = pairs_above(moved, y) - m * n / 2
    _, counts = np.unique(np.concatenate((moved, y)), return_counts=True)
    tied = counts[counts > 1].astype(np.float64)
    ties = float((tied**3 - tied).sum())
    deviation = math.sqrt(m * n / 12 * ((m + n + 1) - ties / ((m + n) * (m + n - 1))))
    if deviation == 0:
        raise AllTied("all observations are tied")
    return (centred - 0.5 * float(np.sign(centred))) / deviation


def brent(function: Callable[[float], float], low: float, high: float, at_low: float, at_high: float) -> float:
    """A root of `function` between low and high, whose values there are known; the best guess after 1,000
    iterations."""
    best, at_best = high, at_high
    before, at_before = low, at_low
    across, at_across = low, at_low  # the latest point on the other side of the root
    if at_low == 0:
        return low
    if at_high == 0:
        return high
    for _ in range(ITERATIONS + 1):
        last_step = best - before
        if abs(at_across) < abs(at_best):
            before, best, across = best, across, best
            at_before, at_best, at_across = at_best, at_across, at_best
        precision = 2 * sys.float_info.epsilon * abs(best) + TOLERANCE / 2
        step = (across - best) / 2
        if abs(step) <= precision or at_best == 0:
            return best
        if abs(last_step) >= precision and abs(at_before) > abs(at_best):
            numerator, denominator = _interpolate(
                best - before, across - best, at_before, at_best, at_across, before == across
            )
            inside = 0.75 * (across - best) * denominator - abs(precision * denominator) / 2
            if numerator < inside and numerator < abs(last_step * denominator / 2):
                step = numerator / denominator
        if abs(step) < precision:
            step = precision if step > 0 else -precision
        before, at_before = best, at_best
        best += step
        at_best = function(best)
        if (at_best > 0 and at_across > 0) or (at_best < 0 and at_across < 0):
            across, at_across = before, at_before
    return best


def _interpolate(
    behind: float, ahead: float, at_before: float, at_best: float, at_across: float, linear: bool
) -> tuple[float, float]:
    """The step from the best point towards the root, as a fraction with a positive numerator: by a line, or by an
    inverse parabola."""
    ratio = at_best / at_before
    if linear:
        numerator, denominator = ahead * ratio, 1.0 - ratio
    else:
        first, second = at_before / at_across, at_best / at_across
        numerator = ratio * (ahead * first * (first - second) - behind * (second - 1.0))
        denominator = (first - 1.0) * (second - 1.0) * (ratio - 1.0)
    return (numerator, -denominator) if numerator > 0 else (-numerator, denominator)


def confidence(experiment: Sequence[float] | Values, control: Sequence[float] | Values, level: float = 0.98) -> Shift:
    """The shift of the experiment against the control with a two-sided confidence of `level`. Raises AllTied."""
    x, y = np.sort(np.asarray(experiment, dtype=np.float64)), np.sort(np.asarray(control, dtype=np.float64))
    low, high = float(x[0] - y[-1]), float(x[-1] - y[0])
    at_low, at_high = standardised(low, x, y), standardised(high, x, y)

    def crossing(quantile: float) -> float:
        return brent(
            lambda shift: standardised(shift, x, y) - quantile, low, high, at_low - quantile, at_high - quantile
        )

    def end(quantile: float) -> float:
        if at_low - quantile <= 0:
            return low
        if at_high - quantile >= 0:
            return high
        return crossing(quantile)

    quantile = NormalDist().inv_cdf((1.0 - level) / 2)
    return Shift(end(-quantile), end(quantile), crossing(0.0))
