"""The evidence of the arms alone: against exact enumeration on small tables, and with fractions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test
from ansible_collections.gradual.rollout.plugins.module_utils.stats.sequential_test import (
    Calibration,
    Comparison,
    Tally,
)
from ansible_collections.gradual.rollout.tests.unit.splits import Strata, Table, splits
from hypothesis import given, settings
from hypothesis import strategies as st

NOTHING_BEFORE = Calibration()
TOLERATED, MARGIN = 1.25, 2.0

STRATA: list[Strata] = [
    [(6, 9, 5)],
    [(1, 1, 1)],
    [(3, 900, 7)],
    [(5, 5, 2), (20, 3, 4)],
    [(5, 5, 1), (1, 70, 2), (0, 4, 3), (8, 8, 0), (40, 2, 3)],
]


def e_value(table: list[Table], edge: float, harmful: bool) -> float:
    comparison = Comparison(Tally(table), NOTHING_BEFORE)
    return math.exp((comparison.harm(edge) if harmful else comparison.harmless(edge)).log_e)


def expected(strata: Strata, ratio: float, edge: float, harmful: bool) -> float:
    return math.fsum(chance * e_value(table, edge, harmful) for table, chance in splits(strata, ratio) if chance)


@pytest.mark.parametrize(("edge", "harmful"), [(TOLERATED, True), (1.0, True), (MARGIN, False)])
@pytest.mark.parametrize("strata", STRATA)
def test_the_expected_e_value_is_one_at_the_edge(strata: Strata, edge: float, harmful: bool) -> None:
    assert expected(strata, edge, edge, harmful) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("ratio", "edge", "harmful"),
    [
        (1.2, TOLERATED, True),
        (1.0, TOLERATED, True),
        (0.1, TOLERATED, True),
        (2.2, MARGIN, False),
        (9.0, MARGIN, False),
    ],
)
@pytest.mark.parametrize("strata", STRATA)
def test_the_expected_e_value_is_less_within_the_null(strata: Strata, ratio: float, edge: float, harmful: bool) -> None:
    assert expected(strata, ratio, edge, harmful) < 1 - 1e-4


def binomial(events: int, share: float) -> list[float]:
    return [math.comb(events, bad) * share**bad * (1 - share) ** (events - bad) for bad in range(events + 1)]


@pytest.mark.parametrize(("edge", "harmful"), [(TOLERATED, True), (MARGIN, False)])
@pytest.mark.parametrize("base", [0.001, 0.02, 0.2, 0.45])
@pytest.mark.parametrize(("events", "control"), [(8, 12), (15, 15), (4, 30)])
def test_the_expected_e_value_of_harm_is_at_most_one_for_requests_that_fail_or_not(
    events: int, control: int, base: float, edge: float, harmful: bool
) -> None:
    """Bad events are shares of requests, not Poisson. All outcomes of both arms: a stop is no likelier than said, and
    little is given away."""
    chances = itertools.product(enumerate(binomial(events, edge * base)), enumerate(binomial(control, base)))
    found = math.fsum(
        p * q * e_value([(events, bad, control, control_bad)], edge, harmful) for (bad, p), (control_bad, q) in chances
    )
    assert found <= 1 + 1e-12
    assert found > 0.999 or base > 0.001


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05])
@pytest.mark.parametrize(
    ("ratio", "edge", "harmful"), [(TOLERATED, TOLERATED, True), (0.9, TOLERATED, True), (MARGIN, MARGIN, False)]
)
def test_who_looks_after_each_interval_is_wrong_no_oftener_than_stated(
    ratio: float, edge: float, harmful: bool, alpha: float
) -> None:
    """All paths of six intervals with two bad events each: the chance that any look of them says so."""
    strata = [(5, 9, 2), (9, 5, 2), (2, 9, 2), (7, 7, 2), (30, 4, 2), (1, 1, 2)]
    wrong = sum(
        chance
        for table, chance in splits(strata, ratio)
        if any(e_value(table[:looks], edge, harmful) >= 1 / alpha for looks in range(1, len(table) + 1))
    )
    assert 0 < wrong <= alpha


def test_late_starts_share_the_same_chance_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential_test, "FROM_THE_START", 0.9)
    monkeypatch.setattr(sequential_test, "LATE_STARTS", ((1, 0.05), (3, 0.05)))
    monkeypatch.setattr(sequential_test.Comparison, "may_be_harm", lambda *_: True)
    strata = [(5, 9, 2), (9, 5, 2), (2, 9, 2), (7, 7, 2), (30, 4, 2)]
    paths = list(splits(strata, TOLERATED))
    late = [
        (math.exp(sequential_test.harm(Tally(table), NOTHING_BEFORE, TOLERATED)), chance) for table, chance in paths
    ]
    assert math.fsum(value * chance for value, chance in late) == pytest.approx(1.0, abs=1e-9)
    assert (
        sequential_test.FROM_THE_START + math.fsum(weight for _start, weight in sequential_test.LATE_STARTS)
        <= 1 + 1e-12
    )


def test_all_weights_sum_up_to_one_or_less() -> None:
    for weighed in (
        *[
            ratios
            for alternative in (sequential_test.HARMFUL, sequential_test.HARMLESS)
            for ratios in (alternative.ratios, alternative.ratios_alone)
        ],
        [(0, weight) for weight, _most in sequential_test.BASE_RATES],
    ):
        assert math.fsum(weight for _value, weight in weighed) == pytest.approx(1.0)
    assert sequential_test.FROM_THE_START + math.fsum(weight for _start, weight in sequential_test.LATE_STARTS) <= 1


@pytest.mark.parametrize(("edge", "harmful"), [("1.25", True), ("2", False)])
@pytest.mark.parametrize(
    "table",
    [
        [(6, 2, 9, 3)],
        [(5, 1, 5, 0), (20, 4, 3, 0)],
        [(100, 3, 300, 1), (100, 0, 300, 2), (50, 5, 350, 0)],
        [(7, 0, 5, 4)],
    ],
)
def test_the_likelihood_agrees_with_fractions(table: list[Table], edge: str, harmful: bool) -> None:
    alternative = sequential_test.HARMFUL if harmful else sequential_test.HARMLESS

    def likelihood(ratio: Fraction) -> Fraction:
        found = Fraction(1)
        for events, bad, control, control_bad in table:
            share = ratio * events / (ratio * events + control)
            found *= share**bad * (1 - share) ** control_bad
        return found

    null = Fraction(edge)
    exact = sum(
        (Fraction(str(weight)) * likelihood(null * Fraction(str(multiple))) for multiple, weight in alternative.ratios),
        Fraction(0),
    ) / likelihood(null)
    assert e_value(table, float(edge), harmful) == pytest.approx(float(exact), rel=1e-10)


def test_intervals_without_a_bad_event_add_nothing_however_long_the_stage() -> None:
    told = [(100, 3, 300, 1)]
    alone = Comparison(Tally(told), NOTHING_BEFORE).harm(TOLERATED).log_e
    assert Comparison(
        Tally([(0, 0, 50, 0), *told, *[(90, 0, 10, 0)] * (sequential_test.STRATA - 2)]), NOTHING_BEFORE
    ).harm(TOLERATED).log_e == pytest.approx(alone)


def test_a_part_of_the_traffic_that_changes_with_the_base_rate_is_no_harm() -> None:
    """Without an A/A stage each part in time is compared by itself, the decision as well as what is told of it."""
    calm, storm = [(100, 0, 900, 9)] * 40, [(600, 60, 400, 40)] * 40
    pooled = Comparison(Tally([(28000, 2400, 52000, 1960)]), NOTHING_BEFORE)
    assert pooled.harm(TOLERATED).log_e > math.log(100)
    apart = Comparison(Tally(calm + storm), NOTHING_BEFORE).harm(TOLERATED)
    assert apart.with_history == apart.alone < 0


def test_harm_that_begins_late_is_seen_sooner_than_from_the_start_alone() -> None:
    """Two hours without harm, then three times the errors: the first look that says so."""

    def first(log_e: Callable[[Tally], float]) -> int:
        tally = Tally([(250, 1, 750, 3)] * 512)
        for looks in range(1, 200):
            tally.append((250, 3, 750, 3))
            if log_e(tally) >= math.log(20):
                return looks
        return 999

    sooner = first(lambda tally: sequential_test.harm(tally, NOTHING_BEFORE, TOLERATED))
    assert sooner < 0.7 * first(lambda tally: Comparison(tally, NOTHING_BEFORE).harm(TOLERATED).log_e)


@st.composite
def steady_traffic(draw: st.DrawFn) -> tuple[list[Table], list[Table]]:
    """Intervals of a stage and of its A/A stage in which the arms have the same parts of the traffic all the time."""
    events, control = draw(st.integers(1, 10**5)), draw(st.integers(1, 10**5))
    share = st.floats(0, 1).map(lambda value: value**4)
    row = st.tuples(share, share).map(lambda pair: (events, int(events * pair[0]), control, int(control * pair[1])))
    return draw(st.lists(row, max_size=40)), draw(st.lists(row, max_size=12))


@given(steady_traffic(), st.floats(1, 4))
@settings(max_examples=150, deadline=None)
def test_what_is_left_out_because_it_cannot_decide_would_not_have_decided(
    seen: tuple[list[Table], list[Table]], edge: float
) -> None:
    tally, calibration = Tally(seen[0]), Calibration(seen[1])
    if sequential_test.harm(tally, calibration, edge) >= math.log(20):
        assert sequential_test.may_be_harm(tally, calibration, edge)
    comparison = Comparison(tally, NOTHING_BEFORE)
    if comparison.harmless(edge).log_e >= math.log(10):
        assert comparison.may_be_harmless(edge, math.log(10))


huge = st.integers(0, 2**53 - 1)
any_row = st.tuples(huge, huge, huge, huge).map(
    lambda r: (max(r[0], r[1]), min(r[0], r[1]), max(r[2], r[3]), min(r[2], r[3]))
)
uneven = st.tuples(st.sampled_from([0, 1, 2, 50, 2**30, 2**53 - 1]), st.sampled_from([0, 1, 2**53 - 1])).map(
    lambda pair: (pair[0], min(pair))
)
uneven_row = st.tuples(uneven, uneven).map(lambda pair: (*pair[0], *pair[1]))


@given(
    st.lists(any_row | uneven_row, max_size=9),
    st.lists(any_row | uneven_row, max_size=9),
    st.sampled_from([1.0, 1.25, 2.0, 1e6]),
)
@settings(max_examples=150, deadline=None)
def test_any_counts_give_numbers(now: list[Table], aa: list[Table], edge: float) -> None:
    tally, calibration = Tally(now), Calibration(aa)
    comparison = Comparison(tally, calibration)
    found = [
        sequential_test.harm(tally, calibration, edge),
        comparison.harmless(edge).log_e,
        calibration.offset,
        calibration.history,
        calibration.spread,
    ]
    assert all(map(math.isfinite, found))
    assert {comparison.may_be_harm(edge), comparison.may_be_harmless(edge, math.log(10))} <= {True, False}
