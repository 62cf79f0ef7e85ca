# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The times that power.py foretells, held against simulated stages that the gate itself judges."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import power
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings, settings_from
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test, share_bound

SETTINGS = settings_from({}, {"min": 30, "max": 3600, "look": 30})
DECLARED = settings_from({"harmless_share": 0.05}, {"min": 30, "max": 3600, "look": 30})
ALPHA = 0.05 * 0.9 / 6
RUNS = 150
Row = tuple[int, int, int, int]


def drawn(
    random: numpy.random.Generator, rate: float, share: float, percent: float, ratio: float, seconds: float
) -> Row:
    """Poisson counts of so many seconds."""
    treatment, control = (int(random.poisson(rate * seconds * part)) for part in (percent / 100, 1 - percent / 100))
    bad, control_bad = (
        int(random.poisson(events * part)) for events, part in ((treatment, share * ratio), (control, share))
    )
    return treatment, min(bad, treatment), control, min(control_bad, control)


def decided(rate: float, share: float, percent: float, aa: float, ratio: float, harm: bool, seconds: float) -> float:
    """The part of simulated stages that the gate has decided at a look no later than `seconds`."""
    random = numpy.random.default_rng(11)
    found = 0
    for _run in range(RUNS):
        draw = functools.partial(drawn, random, rate, share, percent)
        calibration = sequential_test.Calibration([draw(1.0, 30) for _interval in range(int(aa / 30))])
        tally = sequential_test.Tally()
        for _look in range(round(seconds / SETTINGS.look)):
            tally.append(draw(ratio, SETTINGS.look))
            if judged(tally, calibration, harm):
                found += 1
                break
    return found / RUNS


def judged(tally: sequential_test.Tally, calibration: sequential_test.Calibration, harm: bool) -> bool:
    if harm:
        wanted = -math.log(ALPHA)
        return (
            sequential_test.may_be_harm(tally, calibration, SETTINGS.tolerated_ratio)
            and sequential_test.harm(tally, calibration, SETTINGS.tolerated_ratio) >= wanted
        )
    wanted = -math.log(SETTINGS.certify_each)
    comparison = sequential_test.Comparison(tally, calibration)
    enough = min(comparison.now.events, comparison.now.control_events) >= SETTINGS.min_requests
    return (
        enough
        and comparison.may_be_harmless(SETTINGS.margin, wanted)
        and comparison.harmless(SETTINGS.margin).log_e >= wanted
    )


@pytest.mark.parametrize(
    ("rate", "share", "percent", "aa", "ratio"),
    [
        (10, 0.01, 25, 300, 3),
        (20, 0.05, 5, 600, 3),
        (10, 0.01, 25, 0, 3),
        (1, 0.05, 50, 300, 10),
        (100, 0.01, 25, 300, 2),
    ],
)
def test_harm_is_stopped_with_the_chance_that_is_said(
    rate: float, share: float, percent: float, aa: float, ratio: float
) -> None:
    seconds = power.seconds_needed(rate, share, percent, aa, ratio, SETTINGS, ALPHA)
    assert seconds is not None
    assert 0.7 <= decided(rate, share, percent, aa, ratio, True, seconds) <= 0.95


def test_worse_harm_is_never_forecast_later() -> None:
    """Harm between two of the ratios that the gate looks for, in a stage much longer than its A/A stage."""
    ratios = (2.0, 2.1, 2.2, 2.5, 3.0, 5.0, 10.0)
    found = [power.seconds_needed(60, 0.003, 25, 300, ratio, SETTINGS, 0.05 * 0.95) for ratio in ratios]
    seen = [seconds for seconds in found if seconds is not None]
    assert len(seen) == len(ratios)
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("rate", "share", "percent", "aa"),
    [(10, 0.01, 25, 300), (100, 0.001, 50, 300), (20, 0.02, 90, 300), (1, 0.05, 50, 600)],
)
def test_a_harmless_release_is_certified_with_the_chance_that_is_said(
    rate: float, share: float, percent: float, aa: float
) -> None:
    seconds = power.seconds_to_certify(rate, share, percent, aa, SETTINGS)
    assert seconds is not None
    assert 0.7 <= decided(rate, share, percent, aa, 1.0, False, seconds) <= 0.95


def test_at_100_percent_the_time_before_is_what_is_compared_with() -> None:
    seconds = power.seconds_to_certify(2, 0.02, 100, 300, SETTINGS)
    assert seconds is not None
    random = numpy.random.default_rng(12)
    found = 0
    for _run in range(400):
        now, before = random.poisson(2 * 0.02 * seconds), random.poisson(2 * 0.02 * SETTINGS.max)
        tally = sequential_test.Tally([(2 * seconds, int(now), 2 * SETTINGS.max, int(before))])
        found += sequential_test.Comparison(tally, sequential_test.Calibration()).harmless(
            SETTINGS.margin
        ).alone >= math.log(10)
    assert 0.7 <= found / 400 <= 0.95


def is_harmless(events: int, bad: int) -> bool:
    """What share_at_most says, without bisection."""
    limit = DECLARED.harmless_share
    return bad < limit * events and share_bound.log_share_e_value(events, bad, limit) >= -math.log(
        DECLARED.certify_each
    )


@pytest.mark.parametrize(("rate", "share"), [(2, 0.01), (2, 0.02), (20, 0.001), (0.5, 0.03)])
def test_the_declared_share_is_shown_with_the_chance_that_is_said(rate: float, share: float) -> None:
    seconds = power.seconds_to_harmless_share(rate, share, 25, DECLARED)
    assert seconds is not None
    random = numpy.random.default_rng(13)
    found = 0
    for _run in range(200):
        looks = round(seconds / DECLARED.look)
        events = random.poisson(rate * 0.25 * DECLARED.look, looks).cumsum()
        bad = random.poisson(rate * 0.25 * share * DECLARED.look, looks).cumsum()
        found += any(seen >= 50 and is_harmless(int(seen), int(worse)) for seen, worse in zip(events, bad))
    assert 0.7 <= found / 200 <= 0.97


def test_without_a_bad_request_the_requests_alone_take_their_time() -> None:
    """No more than 3.7 / 0.05, as docs/manifest.md says."""
    fewest = next(events for events in range(50, 1000) if is_harmless(events, 0))
    assert fewest <= 3.7 / DECLARED.harmless_share
    for rate in (0.5, 1, 3, 10):
        seconds = power.seconds_to_harmless_share(rate, 0.0, 50, DECLARED)
        assert seconds == DECLARED.look * math.ceil(fewest / (rate / 2) / DECLARED.look)


@pytest.mark.parametrize(
    "changes",
    [{"share": 0.0}, {"rate": 0.0}, {"percent": 0}, {"rate": 1e-4}, {"ratio": 1.25}, {"percent": 100}, {"ratio": 1.0}],
    ids=str,
)
def test_where_nothing_can_be_said_there_is_no_time(changes: dict[str, Any]) -> None:
    given = {"rate": 10.0, "share": 0.01, "percent": 25, "aa_seconds": 300.0, "ratio": 2.0, **changes}
    assert power.seconds_needed(**given, settings=SETTINGS, alpha=ALPHA) is None
    if not {"ratio"} & set(changes) and changes != {"percent": 100}:
        del given["ratio"]
        assert power.seconds_to_certify(**given, settings=SETTINGS) is None


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_share_that_is_not_harmless_is_never_shown_to_be(share: float) -> None:
    assert power.seconds_to_harmless_share(100, share, 50, DECLARED) is None
    assert power.seconds_to_harmless_share(100, 0.0, 50, SETTINGS) is None


def times(settings: Settings = SETTINGS, **changes: Any) -> list[float]:
    given = {"rate": 20.0, "share": 0.02, "percent": 25, "aa_seconds": 900.0, **changes}
    found = [power.seconds_needed(**{"ratio": 3.0, **given}, settings=settings, alpha=ALPHA)]
    given.pop("ratio", None)
    return [
        math.inf if seconds is None else seconds
        for seconds in [*found, power.seconds_to_certify(**given, settings=settings)]
    ]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"rate": 40.0}, {}),
        ({"share": 0.04}, {}),
        ({"percent": 50}, {"percent": 5}),
        ({"aa_seconds": 7200.0}, {"aa_seconds": 60.0}),
        ({}, {"ratio": 2.0}),
    ],
    ids=str,
)
def test_more_to_go_by_takes_no_longer(better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert all(one <= other for one, other in zip(times(**better), times(**worse)))


def test_a_time_is_that_of_a_look() -> None:
    assert all(seconds % SETTINGS.look == 0 for seconds in [*times(), *times(percent=50), *times(percent=90)])


def test_fewest_requests_take_their_time() -> None:
    few = settings_from({"min_requests": 5000}, {"min": 30, "max": 3600, "look": 30})
    assert power.seconds_to_certify(20, 0.2, 25, 300, few) == pytest.approx(5000 / 5, abs=30)
