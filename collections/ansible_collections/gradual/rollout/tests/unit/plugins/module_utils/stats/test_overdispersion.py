"""How much more counts vary than chance alone would have them."""

from __future__ import annotations

import math
import random

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.stats import overdispersion
from hypothesis import given, settings
from hypothesis import strategies as st

Table = list[tuple[int, int, int, int]]


def drawn(dice: random.Random, share: float, events: int, times: int = 1) -> int:
    """Bad events among so many, each coming `times` at once."""
    return times * sum(dice.random() < share / times for _event in range(events))


def table(seed: int, times: int = 1, intervals: int = 120) -> Table:
    dice = random.Random(seed)
    return [(100, drawn(dice, 0.03, 100, times), 300, drawn(dice, 0.03, 300, times)) for _interval in range(intervals)]


def test_independent_events_have_hardly_any_spread() -> None:
    found = [(overdispersion.of_ratio(table(seed)), overdispersion.of_level(table(seed))) for seed in range(40)]
    assert all(1.0 <= ratio < 2.2 and 1.0 <= level < 2.2 for ratio, level in found)
    assert sum(ratio == 1.0 for ratio, _level in found) >= 20


@pytest.mark.parametrize("times", [3, 8])
def test_events_that_come_several_at_once_spread_about_as_much(times: int) -> None:
    assert 0.6 * times < overdispersion.of_ratio(table(3, times)) < 2.5 * times
    assert 0.6 * times < overdispersion.of_level(table(3, times)) < 2.5 * times


def test_a_wave_of_both_arms_is_a_spread_of_the_level_alone() -> None:
    wave = [(1000, round(30 + 25 * math.sin(k / 10)), 3000, round(90 + 75 * math.sin(k / 10))) for k in range(120)]
    assert overdispersion.of_ratio(wave) == 1.0
    assert overdispersion.of_level(wave) > 50


def test_what_lasts_longer_than_an_interval_shows_in_blocks() -> None:
    """Thirty intervals of 3 bad events in the treatment, thirty of 1: little an interval, much in blocks."""
    lasting = ([(100, 3, 300, 6)] * 30 + [(100, 1, 300, 6)] * 30) * 2
    mixed = [(100, 3, 300, 6), (100, 1, 300, 6)] * 60
    assert overdispersion.of_ratio(mixed) == 1.0
    assert overdispersion.of_ratio(lasting) > 2


@pytest.mark.parametrize(
    "rows",
    [
        [],
        table(1)[: overdispersion.FEWEST_BLOCKS - 1],
        [(100, 0, 300, 0)] * 50,
        [(0, 0, 0, 0)] * 50,
        [(5, 5, 5, 5)] * 50,
    ],
)
def test_too_little_to_tell_is_no_spread(rows: Table) -> None:
    assert overdispersion.of_ratio(rows) == overdispersion.of_level(rows) == 1.0


def test_a_thousand_intervals_are_judged_in_blocks() -> None:
    assert overdispersion.of_ratio(table(3, 8, 1000)) > 4


arm = st.tuples(st.integers(0, 2**53 - 1) | st.integers(0, 5), st.sampled_from([0.0, 1.0]) | st.floats(0, 1)).map(
    lambda pair: (pair[0], min(pair[0], int(pair[0] * pair[1])))
)


@given(st.lists(st.tuples(arm, arm).map(lambda arms: (*arms[0], *arms[1])), max_size=14))
@settings(max_examples=120, deadline=None)
def test_any_counts_have_a_spread(rows: Table) -> None:
    assert 1.0 <= overdispersion.of_ratio(rows) < math.inf
    assert 1.0 <= overdispersion.of_level(rows) < math.inf


def test_an_interval_that_is_all_but_empty_in_one_arm_divides_by_nothing() -> None:
    assert 1.0 <= overdispersion.of_ratio([(2**52, 2**52, 1, 0)] * 8 + [(10**9, 10**9, 10**9, 1)]) < math.inf
    assert (
        1.0 <= overdispersion.of_level([(2**53 - 1, 2**53 - 1, 0, 0)] * 80 + [(2**53 - 1, 2**53 - 2, 0, 0)]) < math.inf
    )
