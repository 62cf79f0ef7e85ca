"""Wald's tests keep their promises: what they call a limit is one."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest

from tests.bench import wald
from tests.bench.traffic import SCENARIOS, Batch, Scenario, Shape, simulate
from tests.bench.traffic.scenarios import Effect

LONG = Shape(interval=10.0, aa_looks=0, looks=300)
# An error share of exactly 5 % is seen as up to 7 % in 1,000 traces, three standard deviations.
SLACK = 1.4


@functools.cache
def batch(scenario: str | Scenario, rate: float = 100.0, traces: int = 1000) -> Batch:
    return simulate(SCENARIOS[scenario] if isinstance(scenario, str) else scenario, rate, traces, seed=3, shape=LONG)


@pytest.mark.parametrize("decide", [wald.one_arm, wald.two_arms])
def test_stops_at_the_tolerated_ratio_as_rarely_as_stated(decide: wald.Decide) -> None:
    """Told that the ratio is 2 where it is 1.25, over 600 looks."""
    assert 0.005 < float(np.mean(decide(batch("tolerated")).verdict == "abort")) <= wald.ALPHA * SLACK


@pytest.mark.parametrize("decide", [wald.one_arm, wald.two_arms])
def test_certifies_at_the_margin_as_rarely_as_stated(decide: wald.Decide) -> None:
    assert float(np.mean(decide(batch("errors-2", 10.0)).verdict == "promote")) <= wald.CERTIFY_ALPHA * SLACK


@pytest.mark.parametrize(("ratio", "rate"), [(1.5, 400.0), (2.0, 100.0), (3.0, 30.0)])
def test_the_mean_sample_is_near_walds_formula(ratio: float, rate: float) -> None:
    """Looks until stopped = log(1/alpha) / mean gain of a look, and less than 40 % more for what it ends above the
    boundary."""
    # The gains alone: nothing is certified in between, so that only one boundary counts.
    stage = batch(Scenario("wald", "", False, effect=Effect(ratio)), rate, 1000).stages[0]
    gains = wald.one_arm_gain(stage, wald.TOLERATED, np.full_like(stage.true, ratio))
    reached = np.cumsum(gains, axis=1) >= math.log(1 / wald.ALPHA)
    assert reached.any(axis=1).mean() > 0.97
    base = float(stage.base.mean())
    requests = float(stage.counts[:, :, 0].mean())
    gain = requests * base * (ratio * math.log(ratio / wald.TOLERATED) - (ratio - wald.TOLERATED))
    looks = (reached.argmax(axis=1) + 1)[reached.any(axis=1)]
    assert 0.9 < float(looks.mean()) * gain / math.log(1 / wald.ALPHA) < 1.4


def test_harm_is_stopped_and_no_harm_is_certified() -> None:
    assert float(np.mean(wald.one_arm(batch("errors-10", traces=200)).verdict == "abort")) > 0.99
    assert float(np.mean(wald.one_arm(batch("no-change", traces=200)).verdict == "promote")) > 0.9


def test_nothing_is_learned_where_nothing_was_seen() -> None:
    unseen = copy.deepcopy(batch("errors-10", traces=50))
    for phase in unseen.stages:
        phase.seen[:] = False
    for decide in (wald.one_arm, wald.two_arms):
        decisions = decide(unseen)
        assert set(decisions.verdict) == {"hold"}
        assert decisions.looks[0].tolist() == [LONG.looks, 0]


def test_harm_that_begins_late_is_not_stopped_before() -> None:
    late = batch("errors-10-second", traces=200)
    decisions = wald.one_arm(late)
    assert not np.any((decisions.verdict == "abort") & (decisions.looks[:, 1] == 0))
