"""The part of the traffic that has the feature: a mismatch is seen, users who are not alike are none."""

from __future__ import annotations

import math

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.stats.sample_ratio import (
    TOLERATED,
    UNMEASURED,
    SampleRatio,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MISMATCH = math.log(1000)
STEADY = [(250, 0, 750, 0)] * 60


@pytest.mark.parametrize(
    ("aa", "percent", "expected", "tolerated"),
    [
        ([], 25, 0.25, UNMEASURED),
        (STEADY, 50, 0.25, TOLERATED),
        ([(0, 0, 75, 0)], 25, 0.25, UNMEASURED),
        ([(75, 0, 0, 0)], 25, 0.25, UNMEASURED),
    ],
)
def test_the_part_is_that_of_the_aa_stage_or_else_of_the_users(
    aa: list[tuple[int, ...]], percent: float, expected: float, tolerated: float
) -> None:
    found = SampleRatio(aa, percent)
    assert (found.expected, found.tolerated) == (expected, tolerated)


@pytest.mark.parametrize(
    ("aa", "events", "control", "mismatch"),
    [
        (STEADY, 2500, 7500, False),
        (STEADY, 2900, 7500, False),
        (STEADY, 5000, 7500, True),
        (STEADY, 1200, 7500, True),
        (STEADY, 0, 7500, True),
        (STEADY, 2500, 0, True),
        (STEADY, 5, 7, False),
        ([], 4500, 7500, False),
        ([], 7500, 7500, True),
        ([], 800, 7500, True),
        ([], 0, 0, False),
    ],
)
def test_only_a_gross_mismatch_counts_and_a_grosser_one_without_an_aa_stage(
    aa: list[tuple[int, ...]], events: int, control: int, mismatch: bool
) -> None:
    assert (SampleRatio(aa, 25).log_e_value(events, control) >= MISMATCH) == mismatch


def test_traffic_that_comes_in_bursts_needs_more_to_be_a_mismatch() -> None:
    bursts = [(1000 * (k % 4 == 0), 0, 3000 * (k % 4 == 2), 0) for k in range(80)]
    assert SampleRatio(bursts, 25).spread > 100
    assert SampleRatio(bursts, 25).log_e_value(1200, 2000) < MISMATCH <= SampleRatio(STEADY, 25).log_e_value(1200, 2000)


@pytest.mark.parametrize("sign", [+1, -1])
@pytest.mark.parametrize("inside", [1.0, 0.9, 0.5])
def test_the_expected_e_value_is_at_most_one_within_what_is_tolerated(sign: int, inside: float) -> None:
    """All outcomes of thirty requests, at the edge of what is tolerated and within it."""
    ratio, requests = SampleRatio(STEADY, 25), 30
    odds = ratio.expected / (1 - ratio.expected) * ratio.tolerated ** (sign * inside)
    share = odds / (1 + odds)
    chances = [
        math.comb(requests, here) * share**here * (1 - share) ** (requests - here) for here in range(requests + 1)
    ]
    assert (
        math.fsum(chance * math.exp(ratio.log_e_value(here, requests - here)) for here, chance in enumerate(chances))
        <= 1 + 1e-9
    )


@pytest.mark.parametrize("percent", [0, 100, 250, -3])
def test_a_part_that_is_nobody_or_everybody_cannot_be_missed(percent: float) -> None:
    assert SampleRatio([], percent).log_e_value(500, 20) == 0.0


huge = st.integers(0, 2**53 - 1) | st.integers(0, 3)


@given(st.lists(st.tuples(huge, st.just(0), huge, st.just(0)), max_size=9), st.floats(0, 100), huge, huge)
@settings(max_examples=150, deadline=None)
def test_any_counts_give_a_number(aa: list[tuple[int, ...]], percent: float, events: int, control: int) -> None:
    assert math.isfinite(SampleRatio(aa, percent).log_e_value(events, control))
