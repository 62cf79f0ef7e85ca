"""The statistics: against exact enumeration with fractions, and their stated error rates by simulation."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils import sequential
from hypothesis import given, settings
from hypothesis import strategies as st


def exact_generating(n_c: int, n_b: int, bad: int, ratio: float) -> float:
    psi = Fraction(ratio)
    ways = sum(math.comb(n_c, j) * math.comb(n_b, bad - j) * psi**j for j in range(max(0, bad - n_b), min(bad, n_c) + 1))
    exact = Fraction(ways) / math.comb(n_c + n_b, bad)
    return math.log(exact.numerator) - math.log(exact.denominator)


@pytest.mark.parametrize("ratio", [0.1, 0.9, 1.0, 1.05, 1.25, 3.0, 25.0])
@pytest.mark.parametrize(
    ("n_c", "n_b", "bad"),
    [(1, 1, 1), (1, 1, 2), (5, 7, 3), (50, 50, 100), (100, 300, 80), (100, 300, 150), (500, 500, 700), (10, 2000, 90), (2000, 10, 90), (1000, 20, 1000)],
)
def test_generating_function_agrees_with_enumeration(n_c: int, n_b: int, bad: int, ratio: float) -> None:
    seen = sequential.log_generating(n_c, n_b, bad, [ratio], [math.log(ratio)])[0]
    assert seen == pytest.approx(exact_generating(n_c, n_b, bad, ratio), abs=1e-9)


@pytest.mark.parametrize("harmful", [True, False])
def test_expected_e_value_is_one_at_the_edge(harmful: bool) -> None:
    """Over all outcomes of one small interval, at the edge of the null hypothesis: the definition of an e-value, without simulation."""
    n_c, n_b, bad, edge = 6, 9, 5, 1.25
    weights = [math.comb(n_c, j) * math.comb(n_b, bad - j) * edge**j for j in range(bad + 1)]
    values = [math.exp(sequential.log_odds_e_value([(n_c, n_b, bad, j)], edge, harmful)) for j in range(bad + 1)]
    assert sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("inside", [1.0, 0.5, 1.2])
def test_expected_e_value_is_at_most_one_within_the_null(inside: float) -> None:
    n_c, n_b, bad, edge = 6, 9, 5, 1.25
    weights = [math.comb(n_c, j) * math.comb(n_b, bad - j) * inside**j for j in range(bad + 1)]
    values = [math.exp(sequential.log_odds_e_value([(n_c, n_b, bad, j)], edge, harmful=True)) for j in range(bad + 1)]
    assert sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights) < 1.0


def test_expected_share_e_value_is_at_most_one_at_the_limit() -> None:
    events, limit = 40, 0.05
    expected = sum(
        math.comb(events, bad) * limit**bad * (1 - limit) ** (events - bad) * math.exp(sequential.log_share_e_value(events, bad, limit))
        for bad in range(events + 1)
    )
    assert expected == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("harmful", [True, False])
@pytest.mark.parametrize(
    "strata",
    [
        [(6, 9, 5, 5)],
        [(125, 375, 1, 0)] * 50,
        [(100, 300, 400, 100), (100, 300, 1, 1)],
        [(5000, 15000, 3000, 900), (5000, 15000, 2000, 700)],
        [(20, 100_000, 500, 3), (100_000, 20, 500, 498)],
    ],
)
def test_interpolation_is_exact_enough(strata: list[sequential.Stratum], harmful: bool) -> None:
    edge = 1.25 if harmful else 2.0
    ratios = [*sequential.grid(edge, harmful), edge]
    direct = sequential.log_likelihoods(strata, ratios)
    expected = sequential.log_mean([each - direct[-1] for each in direct[:-1]])
    assert sequential.log_odds_e_value(strata, edge, harmful) == pytest.approx(expected, abs=1e-7)


def test_intervals_without_information_add_nothing() -> None:
    told = [(100, 300, 4, 4)]
    assert sequential.log_odds_e_value([*told, (100, 300, 0, 0), (0, 300, 5, 0), (50, 0, 5, 5)], 1.25, harmful=True) == pytest.approx(
        sequential.log_odds_e_value(told, 1.25, harmful=True)
    )


counts = st.integers(0, 3000)


@given(st.lists(st.tuples(counts, counts, st.floats(0, 1), st.floats(0, 1)), max_size=6), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_counts_give_a_number(rows: list[tuple[int, int, float, float]], harmful: bool) -> None:
    strata = [(n_c, n_b, int(n_c * share_c) + int(n_b * share_b), int(n_c * share_c)) for n_c, n_b, share_c, share_b in rows]
    assert math.isfinite(sequential.log_odds_e_value(strata, 1.25 if harmful else 2.0, harmful))


@given(st.integers(0, 10**7), st.floats(0, 1), st.floats(0.001, 0.5))
@settings(max_examples=200, deadline=None)
def test_the_bound_of_a_share_lies_above_the_share(events: int, share: float, alpha: float) -> None:
    bad = int(events * share)
    bound = sequential.share_at_most(events, bad, alpha)
    assert 0 < bound <= 1
    assert bound >= bad / events if events else bound == 1


def test_the_bound_is_found_next_to_one() -> None:
    assert 12288 / 12289 < sequential.share_at_most(12289, 12288, 0.5) <= 1


def test_the_bound_without_a_bad_event_is_near_the_exact_one() -> None:
    exact = 1 - 0.1 ** (1 / 500)
    assert exact < sequential.share_at_most(500, 0, 0.1) < 1.35 * exact


def poisson(chance: random.Random, mean: float) -> int:
    """A Poisson count by inversion; the bad requests of one interval."""
    count, product, least = 0, chance.random(), math.exp(-mean)
    while product > least:
        count, product = count + 1, product * chance.random()
    return count


def ever_rejected(chance: random.Random, n_c: int, n_b: int, rate_of: list[float], ratio: float, alpha: float) -> bool:
    """Whether any of the looks, one an interval, rejects; the likelihoods grow from look to look."""
    ratios = [*sequential.grid(1.25, harmful=True), 1.25]
    totals = [0.0] * len(ratios)
    for rate in rate_of:
        bad_c, bad_b = min(n_c, poisson(chance, n_c * rate * ratio)), min(n_b, poisson(chance, n_b * rate))
        grown = sequential.log_likelihoods([(n_c, n_b, bad_c + bad_b, bad_c)], ratios)
        totals = [a + b for a, b in zip(totals, grown, strict=True)]
        if sequential.log_mean([each - totals[-1] for each in totals[:-1]]) >= math.log(1 / alpha):
            return True
    return False


@pytest.mark.parametrize(("ratio", "least", "most"), [(1.0, 0.0, 0.05), (1.25, 0.0, 0.07), (3.0, 0.9, 1.0)])
def test_false_stops_over_sixty_looks_stay_under_alpha_and_harm_is_found(ratio: float, least: float, most: float) -> None:
    """A base rate that comes in waves, 60 looks: few stops at a tolerated ratio, nearly always one at three times the errors."""
    chance = random.Random(20)
    wave = [0.003 * (1 + 0.8 * math.sin(k / 9)) for k in range(60)]
    stopped = sum(ever_rejected(chance, 150, 450, wave, ratio, 0.05) for _run in range(300)) / 300
    assert least <= stopped <= most
