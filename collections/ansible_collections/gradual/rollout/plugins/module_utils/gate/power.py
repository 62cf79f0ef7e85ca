# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How long a stage must bake before the gate can see anything: its power at the traffic of the last hours, before a
ramp begins. Pure.

The gate itself is asked (stats/sequential_test.py, stats/share_bound.py) what it would say of the counts that the
traffic lets expect, moved to where one case in five is worse: along the direction in which the evidence falls fastest,
by so many standard deviations of the Poisson counts (the delta method; Oehlert, A Note on the Delta Method, The
American Statistician 46, 1992). The time is found by bisection.

What is left out: users who are not alike (an A/A stage that finds a spread makes everything take longer by it), and the
hard limits
(which see a catastrophe sooner). In simulation with Poisson counts and an A/A stage of such counts, between 70 and 95 %
of all runs
were decided after the time said here, where 80 % were asked for (and more where the first looks decide, which come only
so often):
looks before it count too, and small counts come in whole numbers. tests/unit/plugins/module_utils/gate/test_power.py
shows it.
"""

from __future__ import annotations

import math
import statistics
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test, share_bound

# Times are found up to this many times bake.max; what takes longer is not worth a number.
FARTHEST = 10.0
STEPS, LATER_STEPS = 9, 7

Seconds = t.Optional[float]
Counts = t.Tuple[float, float, float, float]
"""Bad requests of the treatment and of the control in the stage, and of both in the A/A stage."""


class _Stage:
    """The traffic of one metric in one stage: requests a second of each arm, and requests of each in the A/A stage."""

    def __init__(self, rate: float, share: float, percent: float, aa_seconds: float) -> None:
        part = percent / 100
        self.share, self.treatment, self.control = share, rate * part, rate * (1 - part)
        self.aa_treatment, self.aa_control = aa_seconds * self.treatment, aa_seconds * self.control

    def expected(self, seconds: float, ratio: float) -> Counts:
        worse = min(1.0, self.share * ratio)
        return (
            worse * self.treatment * seconds,
            self.share * self.control * seconds,
            self.share * self.aa_treatment,
            self.share * self.aa_control,
        )

    def arms(self, seconds: float, bad: Counts) -> t.Tuple[sequential_test.Tally, sequential_test.Calibration]:
        """What the gate would be given of these counts."""
        aa = [(self.aa_treatment, bad[2], self.aa_control, bad[3])] if self.aa_treatment else []
        return sequential_test.Tally(
            [(self.treatment * seconds, bad[0], self.control * seconds, bad[1])]
        ), sequential_test.Calibration(aa)


def seconds_needed(
    rate: float,
    share: float,
    percent: float,
    aa_seconds: float,
    ratio: float,
    settings: Settings,
    alpha: float,
    chance: float = 0.8,
) -> Seconds:
    """Seconds of a stage until the gate has stopped, with this chance, a feature that makes it `ratio` times as bad.

    `rate` is requests a second, of all users together; `share` the share of bad ones without the feature; `percent` how
    many users are shown it; `aa_seconds` the length of the A/A stage; `alpha` the metric's chance of a false stop in
    this stage (gate.alphas). None where it takes longer than FARTHEST times bake.max, where no request is bad, and
    where nobody is left to compare with.
    """
    if not 0 < percent < 100 or ratio <= settings.tolerated_ratio or not min(rate, share) > 0:
        return None
    stage = _Stage(rate, share, percent, aa_seconds)

    def log_e(seconds: float, bad: Counts) -> float:
        return sequential_test.harm(*stage.arms(seconds, bad), settings.tolerated_ratio)

    return _decided(
        log_e, lambda seconds: stage.expected(seconds, ratio), -math.log(alpha), (-1, 1, 1, -1), settings, chance
    )


def seconds_to_certify(
    rate: float, share: float, percent: float, aa_seconds: float, settings: Settings, chance: float = 0.8
) -> Seconds:
    """Seconds until a harmless feature is shown, with this chance, to be less than `gate.margin` times as bad;
    arguments as above.

    Where nobody is left to compare with (100 percent), it is compared with all users in the bake.max seconds before the
    stage.
    """
    if not 0 < percent <= 100 or not min(rate, share) > 0:
        return None
    stage = _Stage(rate, share, percent, aa_seconds)
    earlier = rate * settings.max

    def log_e(seconds: float, bad: Counts) -> float:
        if percent >= 100:
            tally = sequential_test.Tally([(stage.treatment * seconds, bad[0], earlier, bad[1])])
            return sequential_test.Comparison(tally, sequential_test.Calibration()).harmless(settings.margin).alone
        return sequential_test.Comparison(*stage.arms(seconds, bad)).harmless(settings.margin).log_e

    def expected(seconds: float) -> Counts:
        return (share * rate * seconds, share * earlier, 0.0, 0.0) if percent >= 100 else stage.expected(seconds, 1.0)

    found = _decided(log_e, expected, -math.log(settings.certify_each), (1, -1, -1, 1), settings, chance)
    return found and max(
        found, _until(settings.min_requests, min(stage.treatment, stage.control or stage.treatment), settings)
    )


def seconds_to_harmless_share(
    rate: float, share: float, percent: float, settings: Settings, chance: float = 0.8
) -> Seconds:
    """Seconds until the share of bad requests is shown, with this chance, to be under the declared gate.harmless_share;
    None without one."""
    limit = settings.harmless_share
    if not 0 < percent <= 100 or not 0 <= share < limit or not rate > 0:
        return None

    def certified(seconds: float) -> bool:
        events = int(rate * percent / 100 * seconds)
        expected = share * events
        bad = round(expected + _deviate(chance) * math.sqrt(expected))
        if events < settings.min_requests or bad >= limit * events:
            return False
        return share_bound.log_share_e_value(events, bad, limit) >= -math.log(settings.certify_each)

    return _first(certified, settings.look / 2, settings, STEPS)


def _decided(
    log_e: t.Callable[[float, Counts], float],
    expected: t.Callable[[float], Counts],
    wanted: float,
    unlucky: t.Sequence[int],
    settings: Settings,
    chance: float,
) -> Seconds:
    """When log_e(seconds, counts) reaches `wanted` at counts that are better with this chance; `unlucky` is the sign of
    what is worse in each.

    How far each count moves is measured once, by one standard deviation of it, at the time at which the expected counts
    suffice.
    """
    first = _first(lambda seconds: log_e(seconds, expected(seconds)) >= wanted, settings.look / 2, settings, STEPS)
    if first is None:
        return None
    usual = expected(first)
    here = log_e(first, usual)
    losses = []
    for place, (count, sign) in enumerate(zip(usual, unlucky)):
        moved = [*usual[:place], _moved(count, sign), *usual[place + 1 :]]
        losses.append(max(0.0, here - log_e(first, moved)) if count else 0.0)  # type: ignore[arg-type]
    whole = math.hypot(*losses) or 1.0
    steps = [_deviate(chance) * sign * loss / whole for sign, loss in zip(unlucky, losses)]

    def suffices(seconds: float) -> bool:
        counts = [_moved(count, step) for count, step in zip(expected(seconds), steps)]
        return log_e(seconds, counts) >= wanted  # type: ignore[arg-type]

    return _first(suffices, first / 2, settings, LATER_STEPS)


def _moved(count: float, deviations: float) -> float:
    """A Poisson count so many standard deviations from this expected one."""
    return max(0.0, count + deviations * math.sqrt(count))


def _deviate(chance: float) -> float:
    return statistics.NormalDist().inv_cdf(chance)


def _until(requests: float, rate: float, settings: Settings) -> float:
    """The first look at which so many requests are there, in seconds."""
    return settings.look * math.ceil(requests / rate / settings.look)


def _first(decided: t.Callable[[float], bool], low: float, settings: Settings, steps: int) -> Seconds:
    """The first look after `low` seconds at which `decided`, in seconds; None where it is not within FARTHEST times
    bake.max."""
    high = FARTHEST * settings.max
    if not decided(high):
        return None
    for _step in range(steps):
        middle = math.sqrt(low * high)
        if decided(middle):
            high = middle
        else:
            low = middle
    return settings.look * math.ceil(round(high / settings.look, 6))
