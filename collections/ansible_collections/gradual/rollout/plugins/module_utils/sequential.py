# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Tests that may be looked at whenever one likes: each yields an e-value, which exceeds 1/alpha with a chance of at most alpha when its
null hypothesis holds, over all looks together (Ville's inequality). Counts in, logarithms of e-values out; only the standard library.

Two arms: within an interval with n_c requests in the treatment, n_b in the control and e bad ones in both, the bad ones in the
treatment follow Fisher's non-central hypergeometric distribution with the odds ratio psi, whatever the base rate of that interval is.
Sources: Turner and Grunwald, Safe Sequential Testing and Effect Estimation in Stratified Count Data (2023); Lindon and Malek,
Anytime-Valid Inference for Multinomial Count Data (2022). One arm: a mixture of Bernoulli likelihood ratios below the limit.
"""

from __future__ import annotations

import math
import typing as t

POINTS = 60
NEAREST, FARTHEST = 1.05, 20.0
# Whoever asks whether a release is less than twice as bad expects it to be about as bad, not twenty times better.
FARTHEST_HARMLESS = 5.0
NODES = 20
# Terms this many standard deviations from the mode are below 1e-30 of the sum.
REACH = 12.0
SHORT = 60

Stratum = t.Tuple[int, int, int, int]
"""(requests of the treatment, requests of the control, bad ones in both, bad ones in the treatment)"""


def grid(edge: float, harmful: bool, farthest: t.Optional[float] = None) -> t.List[float]:
    """Alternatives to a ratio, evenly spaced on a logarithmic scale: 1.05 to 20 times above it (harmful) or 1.05 to 5 times below it."""
    far = farthest or (FARTHEST if harmful else FARTHEST_HARMLESS)
    low, high = math.log(NEAREST), math.log(far)
    steps = [math.exp(low + (high - low) * k / (POINTS - 1)) for k in range(POINTS)]
    return [edge * step if harmful else edge / step for step in steps]


def log_odds_e_value(strata: t.Sequence[Stratum], edge: float, harmful: bool) -> float:
    """log of the e-value against `psi <= edge` (harmful) or against `psi >= edge`.

    The mixture over the grid of likelihood ratios L(psi_k) / L(edge); an interval without a bad request, or with one arm only, adds
    nothing. The composite null follows from the monotone likelihood ratio of the distribution.

    log L is computed at NODES points of log psi and interpolated to the grid. It is analytic there: A has only negative real roots in
    psi, so log A as a function of log psi has no singularity nearer than i pi, and the error shrinks by 4.4 with each point.
    """
    sign = 1.0 if harmful else -1.0
    offsets, to_grid = _INTERPOLATION[harmful]
    nodes = [math.log(edge) + sign * offset for offset in offsets]
    at_nodes = log_likelihoods(strata, [math.exp(node) for node in nodes])
    at_edge, *on_grid = (sum(weight * value for weight, value in zip(row, at_nodes)) for row in to_grid)
    return log_mean([each - at_edge for each in on_grid])


def _interpolation(farthest: float) -> t.Tuple[t.List[float], t.List[t.List[float]]]:
    """(Chebyshev points between 0 and log farthest, the weights of their values at 0 and at each point of the grid)."""
    half = math.log(farthest) / 2
    points = [half - half * math.cos(math.pi * (2 * k + 1) / (2 * NODES)) for k in range(NODES)]
    barycentric = [(-1) ** k * math.sin(math.pi * (2 * k + 1) / (2 * NODES)) for k in range(NODES)]
    rows = []
    for wanted in [0.0, *(math.log(ratio) for ratio in grid(1.0, True, farthest))]:
        parts = [weight / (wanted - point) for weight, point in zip(barycentric, points)]
        rows.append([part / sum(parts) for part in parts])
    return points, rows


_INTERPOLATION = {True: _interpolation(FARTHEST), False: _interpolation(FARTHEST_HARMLESS)}


def log_likelihoods(strata: t.Sequence[Stratum], ratios: t.Sequence[float]) -> t.List[float]:
    """log L(psi) = sum over strata of e_c log psi - log A(psi), for each psi."""
    logs = [math.log(ratio) for ratio in ratios]
    totals = [0.0] * len(logs)
    for n_c, n_b, bad, bad_c in strata:
        if bad <= 0 or n_c <= 0 or n_b <= 0:
            continue
        normal = log_generating(n_c, n_b, bad, ratios, logs)
        for k, log_ratio in enumerate(logs):
            totals[k] += bad_c * log_ratio - normal[k]
    return totals


def log_generating(n_c: int, n_b: int, bad: int, ratios: t.Sequence[float], logs: t.Sequence[float]) -> t.List[float]:
    """log A(psi) = log sum_j Hypergeometric(j; n_c + n_b, n_c, bad) psi^j, for each psi."""
    low, high = max(0, bad - n_b), min(bad, n_c)
    first = _log_choose(n_c, low) + _log_choose(n_b, bad - low) - _log_choose(n_c + n_b, bad)
    terms = [first]
    for j in range(low, high):
        terms.append(terms[-1] + math.log((n_c - j) * (bad - j) / ((j + 1.0) * (n_b - bad + j + 1.0))))
    if len(terms) <= SHORT:
        return _by_horner(terms, low, ratios, logs)
    return [_by_window(terms, low, log_ratio, (n_c, n_b, bad)) for log_ratio in logs]


def _by_horner(terms: t.Sequence[float], low: int, ratios: t.Sequence[float], logs: t.Sequence[float]) -> t.List[float]:
    top = max(terms)
    weights = [math.exp(term - top) for term in reversed(terms)]
    sums = [0.0] * len(ratios)
    for weight in weights:
        sums = [total * ratio + weight for total, ratio in zip(sums, ratios)]
    return [top + low * log_ratio + math.log(total) for log_ratio, total in zip(logs, sums)]


def _by_window(terms: t.Sequence[float], low: int, log_ratio: float, counts: t.Tuple[int, int, int]) -> float:
    n_c, n_b, bad = counts
    mode = _mode(n_c, n_b, bad, math.exp(log_ratio)) - low
    mode = min(max(mode, 0), len(terms) - 1)
    j = mode + low
    spread = 1.0 / sum(1.0 / (part + 1.0) for part in (j, bad - j, n_c - j, n_b - bad + j))
    reach = int(REACH * math.sqrt(spread)) + 24
    start = max(0, mode - reach)
    window = terms[start : mode + reach + 1]
    centre = terms[mode]
    total = sum(math.exp(term - centre + (start + k - mode) * log_ratio) for k, term in enumerate(window))
    return centre + (mode + low) * log_ratio + math.log(total)


def _mode(n_c: int, n_b: int, bad: int, ratio: float) -> int:
    """The most likely number of bad requests in the treatment: where neighbouring terms are equal, a root of a quadratic."""
    a = ratio - 1.0
    b = -((n_c + bad + 2.0) * ratio + n_b - bad)
    c = (n_c + 1.0) * (bad + 1.0) * ratio
    if abs(a) < 1e-12:
        return int(-c / b)
    root = math.sqrt(max(0.0, b * b - 4.0 * a * c))
    return int(2.0 * c / (root - b))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


def log_share_e_value(events: int, bad: int, limit: float) -> float:
    """log of the e-value against "the share of bad events is `limit` or more", 0 < limit < 1: half the weight on no bad event at all."""
    below = grid(limit, harmful=False, farthest=FARTHEST)
    good = events - bad
    null = bad * math.log(limit) + good * math.log1p(-limit)
    parts = [bad * math.log(share) + good * math.log1p(-share) - null - math.log(2 * len(below)) for share in below]
    if bad == 0:
        parts.append(-null - math.log(2))
    return log_sum(parts)


def share_at_most(events: int, bad: int, alpha: float) -> float:
    """The upper confidence bound of the share of bad events, valid at every look; 1.0 without events."""
    if events <= 0 or bad >= events:
        return 1.0
    low, high, wanted = bad / events, 1.0, math.log(1 / alpha)
    for _step in range(40):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if log_share_e_value(events, bad, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high


def ratio_at_least(strata: t.Sequence[Stratum], alpha: float, start: float) -> float:
    """The largest odds ratio from `start` on that is still rejected as too small: the treatment is at least so many times worse."""
    wanted = math.log(1 / alpha)
    low, high = math.log(start), math.log(start) + math.log(1000.0)
    for _step in range(14):
        middle = (low + high) / 2
        if log_odds_e_value(strata, math.exp(middle), harmful=True) >= wanted:
            low = middle
        else:
            high = middle
    return math.exp(low)


def log_sum(values: t.Sequence[float]) -> float:
    """log of the sum of exponentials."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def log_mean(values: t.Sequence[float]) -> float:
    """log of the mean of exponentials."""
    return log_sum(values) - math.log(len(values))
