"""The evidence that knows the A/A stage: against direct numerical integration of the same priors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test
from ansible_collections.gradual.rollout.plugins.module_utils.stats.sequential_test import (
    Calibration,
    Comparison,
    Tally,
)
from ansible_collections.gradual.rollout.tests.unit.splits import Table, splits

TOLERATED, MARGIN = 1.25, 2.0
AA: list[Table] = [(20, 2, 40, 3), (25, 1, 50, 1)]
UNLIKE: list[Table] = [(200, 40, 600, 30)]


def offset_grid(aa: Table, points: int = 2001) -> list[tuple[float, float]]:
    """[(chance, offset)] after the A/A stage, on a fine grid: alike with ALIKE, else log-normal, by the binomial split
    of its bad events."""
    events, bad, control, control_bad = aa

    def likelihood(offset: float) -> float:
        share = offset * events / (offset * events + control)
        return share**bad * (1 - share) ** control_bad

    width = 8 * sequential_test.OFFSET_SPREAD / (points - 1)
    found = [(sequential_test.ALIKE * likelihood(1.0), 1.0)]
    for k in range(points):
        at = k * width - 4 * sequential_test.OFFSET_SPREAD
        density = math.exp(-(at**2) / (2 * sequential_test.OFFSET_SPREAD**2)) / (
            sequential_test.OFFSET_SPREAD * math.sqrt(2 * math.pi)
        )
        found.append(((1 - sequential_test.ALIKE) * width * density * likelihood(math.exp(at)), math.exp(at)))
    whole = math.fsum(weight for weight, _offset in found)
    return [(weight / whole, offset) for weight, offset in found]


def over_rates(shape: float, mean: float, value: Callable[[float], float], points: int = 120) -> float:
    """The mean of value(rate) over a gamma distribution, on a fine logarithmic grid of the rate."""
    low, high = math.log(mean) - 12, math.log(mean) + 6
    width = (high - low) / points
    total = []
    for k in range(points):
        rate = math.exp(low + (k + 0.5) * width)
        log_density = shape * math.log(shape / mean) - math.lgamma(shape) + shape * math.log(rate) - shape * rate / mean
        total.append(math.exp(log_density) * width * value(rate))
    return math.fsum(total)


def marginal(now: Table, aa: Table, ratio: float, offsets: list[tuple[float, float]]) -> float:
    """The likelihood of the stage at a ratio, integrated over the rate and summed over the offset; common factors are
    left out."""
    events, bad, control, control_bad = now
    found = []
    for chance, offset in offsets:
        multiple, mean = ratio * offset, (aa[1] + aa[3] + 0.5) / (aa[2] + offset * aa[0])

        def poisson(rate: float, multiple: float = multiple) -> float:
            return math.exp(
                -rate * (multiple * events + control) + (bad + control_bad) * math.log(rate) + bad * math.log(multiple)
            )

        shapes = [(weight, min(aa[1] + aa[3] + 0.5, most)) for weight, most in sequential_test.BASE_RATES]
        found.append(chance * math.fsum(weight * over_rates(shape, mean, poisson) for weight, shape in shapes))
    return math.fsum(found)


@pytest.mark.parametrize(
    ("edge", "alternative"), [(TOLERATED, sequential_test.HARMFUL), (MARGIN, sequential_test.HARMLESS)]
)
@pytest.mark.parametrize("now", [(30, 4, 90, 3), (30, 0, 90, 5), (60, 12, 60, 1)])
@pytest.mark.parametrize("aa", [AA, UNLIKE])
def test_the_e_value_agrees_with_direct_integration(
    aa: list[Table], now: Table, edge: float, alternative: sequential_test.Alternative
) -> None:
    events, bad, control, control_bad = (sum(column) for column in zip(*aa, strict=True))
    before = (events, bad, control, control_bad)
    offsets = offset_grid(before, 61)
    integrated = math.log(
        math.fsum(weight * marginal(now, before, edge * multiple, offsets) for multiple, weight in alternative.ratios)
        / marginal(now, before, edge, offsets)
    )
    comparison = Comparison(Tally([now]), Calibration(aa))
    found = comparison.harm(edge) if alternative is sequential_test.HARMFUL else comparison.harmless(edge)
    assert found.with_history == pytest.approx(integrated, abs=0.02)


@pytest.mark.parametrize("before", [(45, 3, 90, 4), (200, 40, 600, 30), (200, 0, 600, 0), (5000, 90, 15000, 75)])
def test_the_offset_agrees_with_a_fine_grid(before: Table) -> None:
    mean = math.exp(math.fsum(chance * math.log(offset) for chance, offset in offset_grid(before)))
    assert Calibration([before]).offset == pytest.approx(mean, rel=0.01)


@pytest.mark.parametrize("longer", [1, 10, 30])
def test_few_offsets_are_enough_for_a_stage_much_longer_than_its_aa(
    longer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven offsets or three hundred, as long as the stage has up to 30 times the bad events of the A/A stage."""
    aa, now = [(2500, 45, 7500, 75)], Tally([(2500 * longer, 45 * longer, 7500 * longer, 75 * longer)])
    coarse = Comparison(now, Calibration(aa)).harm(TOLERATED).with_history
    monkeypatch.setattr(sequential_test, "NODES", 301)
    assert coarse == pytest.approx(Comparison(now, Calibration(aa)).harm(TOLERATED).with_history, abs=1.0)


@pytest.mark.parametrize(("edge", "harmful"), [(TOLERATED, True), (MARGIN, False)])
def test_the_expected_e_value_is_one_when_the_null_is_drawn_from_the_prior(edge: float, harmful: bool) -> None:
    """All counts of a stage of few events, their chances by the prior: negative binomial in all, binomial in their
    split."""
    calibration, events, control = Calibration(AA), 2.0, 4.0
    before, total = calibration.totals, []
    for bad, control_bad in itertools.product(range(50), range(40)):
        chance = 0.0
        for weight, log_offset in calibration.offsets:
            multiple = edge * math.exp(log_offset)
            scale = (before.control_events + math.exp(log_offset) * before.events) / (before.all_bad + 0.5)
            exposure, seen = control + multiple * events, bad + control_bad
            split = math.comb(seen, bad) * (multiple * events / exposure) ** bad * (control / exposure) ** control_bad
            for part, most in sequential_test.BASE_RATES:
                shape = min(calibration.history + 0.5, most)
                known = shape * scale / (shape * scale + exposure)
                level = (
                    math.exp(math.lgamma(shape + seen) - math.lgamma(shape) - math.lgamma(seen + 1))
                    * known**shape
                    * (1 - known) ** seen
                )
                chance += weight * part * level * split
        comparison = Comparison(Tally([(events, bad, control, control_bad)]), calibration)
        found = comparison.harm(edge) if harmful else comparison.harmless(edge)
        total.append((chance, chance * math.exp(found.with_history)))
    assert math.fsum(chance for chance, _value in total) == pytest.approx(1.0, abs=1e-3)
    assert math.fsum(value for _chance, value in total) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("now", "agreed"),
    [
        ((200, 6, 600, 2), True),
        # 4 to 1 of the few ratios, though less of all of them.
        ((200, 4, 600, 2), True),
        ((200, 4, 600, 3), False),
        ((200, 5, 600, 4), False),
    ],
)
def test_history_speeds_a_verdict_up_and_never_makes_one(now: Table, agreed: bool) -> None:
    """What the A/A stage says of the base rate counts once the stage alone says 4 to 1; before, the lesser counts."""
    found = Comparison(Tally([now]), Calibration([(2500, 5, 7500, 15)] * 4)).harm(TOLERATED)
    assert found.with_history > math.log(20) > found.alone
    assert found.agreed == agreed
    assert found.log_e == (found.with_history if agreed else found.alone)


def test_history_that_misleads_stops_no_oftener_than_the_stage_alone_agrees() -> None:
    """The base rate is seven times that of the A/A stage. All paths of five intervals at the tolerated ratio."""
    aa = Calibration([(25000, 500, 75000, 1500)] * 4)
    strata = [(5, 15, 2), (9, 20, 2), (5, 15, 3), (7, 20, 2), (6, 14, 3)]
    stopped = believed = agreed = 0.0
    for table, chance in splits(strata, TOLERATED):
        looks = [Comparison(Tally(table[:length]), aa).harm(TOLERATED) for length in range(1, len(table) + 1)]
        stopped += chance * any(look.log_e >= math.log(20) for look in looks)
        believed += chance * any(look.with_history >= math.log(20) for look in looks)
        agreed += chance * any(look.agreed for look in looks)
    assert stopped <= agreed < believed
    assert 0.02 < agreed <= math.exp(-sequential_test.HARMFUL.alone)


def test_a_heavy_client_in_the_treatment_of_the_aa_stage_is_no_harm_and_is_without_it() -> None:
    now = Tally([(250, 10, 750, 10)] * 20)
    assert sequential_test.harm(now, Calibration([(250, 10, 750, 10)] * 60), TOLERATED) < 0
    assert sequential_test.harm(now, Calibration(), TOLERATED) > math.log(1000)
    assert sequential_test.harm(now, Calibration([(250, 3, 750, 10)] * 60), TOLERATED) > math.log(1000)


def test_bad_events_that_come_in_clusters_count_for_less() -> None:
    """Those of eight intervals at once, each arm at its own time."""
    clustered = Calibration([(250, 10 * (k % 8 == 0), 750, 30 * (k % 8 == 4)) for k in range(80)])
    smooth = Calibration([(250, 1, 750, 3)] * 80)
    assert smooth.spread == 1.0
    assert clustered.spread > 4
    now = Tally([(250, 6, 750, 3)] * 20)
    assert sequential_test.harm(now, clustered, TOLERATED) < sequential_test.harm(now, smooth, TOLERATED) / 4
    assert clustered.totals.all_bad == pytest.approx(400 / clustered.spread)
