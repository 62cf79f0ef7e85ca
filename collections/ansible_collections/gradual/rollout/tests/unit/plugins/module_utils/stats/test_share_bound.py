"""The bound of one arm's share of bad events: by enumeration, and that any counts have one."""

from __future__ import annotations

import math

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.stats import share_bound
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(("share", "expected"), [(0.05, 1.0), (0.06, None), (0.2, None)])
def test_expected_share_e_value_is_one_at_the_limit_and_less_above(share: float, expected: float | None) -> None:
    events, limit = 40, 0.05
    found = math.fsum(
        math.comb(events, bad)
        * share**bad
        * (1 - share) ** (events - bad)
        * math.exp(share_bound.log_share_e_value(events, bad, limit))
        for bad in range(events + 1)
    )
    assert found == pytest.approx(1.0, abs=1e-9) if expected else found < 1


@given(st.integers(0, 10**7) | st.integers(0, 2**60), st.floats(0, 1), st.floats(0.001, 0.5))
@settings(max_examples=200, deadline=None)
def test_the_bound_of_a_share_lies_above_the_share(events: int, share: float, alpha: float) -> None:
    bad = min(events, int(events * share))
    bound = share_bound.share_at_most(events, bad, alpha)
    assert 0 < bound <= 1
    assert bound >= bad / events if events else bound == 1


def test_the_bound_is_found_next_to_one() -> None:
    assert 12288 / 12289 < share_bound.share_at_most(12289, 12288, 0.5) <= 1


def test_the_bound_without_a_bad_event_is_near_the_exact_one() -> None:
    exact = 1 - 0.1 ** (1 / 500)
    assert exact < share_bound.share_at_most(500, 0, 0.1) < 1.35 * exact
