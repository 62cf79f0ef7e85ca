"""Simulated traces are what their scenario says, in the long run."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.bench.traffic import (
    BASE_SHARE,
    BASE_SLOW_SHARE,
    PERCENTS,
    SCENARIOS,
    Batch,
    Phase,
    Shape,
    __main__,
    document,
    shape_for,
    simulate,
    trace,
)
from tests.bench.traffic.population import populate
from tests.bench.traffic.scraping import caught_up
from tests.bench.traffic.simulate import slower

SHAPE = Shape(interval=10.0, aa_looks=60, looks=60)


def batch(name: str, rate: float = 1000.0, traces: int = 50, **more: object) -> Batch:
    return simulate(SCENARIOS[name], rate, traces, shape=SHAPE, **more)  # type: ignore[arg-type]


def ratio(phase: Phase) -> float:
    """Bad share of the treatment against that of the control."""
    events, bad, events_control, bad_control = phase.counts[phase.seen].sum(axis=0)
    return float(bad / events / (bad_control / events_control))


def test_the_same_arguments_make_the_same_traces_however_they_are_divided() -> None:
    whole = document(batch("heavy-users", traces=100))
    assert whole == document(batch("heavy-users", traces=100))
    assert document(batch("heavy-users", traces=70)).splitlines()[1:70] == whole.splitlines()[1:70]
    assert document(batch("heavy-users", traces=50, first=50)).splitlines()[1:51] == whole.splitlines()[51:101]
    assert whole != document(batch("heavy-users", traces=100, seed=2))


def test_a_part_begins_with_a_block() -> None:
    with pytest.raises(ValueError, match="first is 10; write a multiple of 50"):
        batch("no-change", first=10)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_trace_is_what_replay_reads(name: str) -> None:
    read = json.loads(document(batch(name, 10.0, 2)))
    assert read["interval_seconds"] == SHAPE.interval
    for each in read["traces"]:
        assert [stage["percent"] for stage in each["stages"]] == list(PERCENTS)
        for stage in each["stages"]:
            assert (len(stage["aa"]), len(stage["looks"])) == (SHAPE.aa_looks, SHAPE.looks)
            for arm in (arm for look in stage["aa"] + stage["looks"] if look for arm in look.values()):
                assert 0 <= arm["bad"] <= arm["events"]


def test_the_aa_looks_of_both_stages_are_the_same_requests_divided_otherwise() -> None:
    first, second = trace(batch("no-change"), 0)["stages"]
    for a, b in zip(first["aa"], second["aa"]):
        assert a["treatment"]["events"] + a["control"]["events"] == b["treatment"]["events"] + b["control"]["events"]
        assert a["treatment"]["bad"] <= b["treatment"]["bad"]


@pytest.mark.parametrize(("name", "share"), [("no-change", BASE_SHARE), ("no-change-slow", BASE_SLOW_SHARE)])
def test_requests_split_as_the_stage_says_and_fail_as_often_as_stated(name: str, share: float) -> None:
    for phase, percent in zip(batch(name).stages, PERCENTS):
        events, bad, others, _others_bad = phase.counts.sum(axis=(0, 1))
        assert events / (events + others) == pytest.approx(percent / 100, abs=0.01)
        assert (events + others) / phase.counts[:, :, 0].size == pytest.approx(10_000, rel=0.01)
        assert bad / events == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # aa25, aa50, 25, 50
        ("no-change", (1, 1, 1, 1)),
        ("tolerated", (1, 1, 1.25, 1.25)),
        ("errors-3", (1, 1, 3, 3)),
        ("errors-10-second", (1, 1, 1, 10)),
        ("slow-1.3", (1, 1, 3.15, 3.15)),
        ("slow-2", (1, 1, 12.6, 12.6)),
        ("hosts-differ-under-users", (1, 1, 1, 1)),
        ("incident-plus", (1, 1, 1, 1)),
        # 5 % of the requests, 10 times as bad, among a quarter, a half: (.95 * .25 + .5) / (.95 * .25 + .05), (.95 * .5
        # + .5) / (.95 * .5 + .05)
        ("heavy-client-in-25-steady", (2.565, 1.857, 2.565, 1.857)),
        ("heavy-client-joins-at-50-steady", (0.62, 1.857, 0.62, 1.857)),
    ],
)
def test_the_arms_differ_as_the_cause_says(name: str, expected: tuple[float, ...]) -> None:
    seen = batch(name)
    assert [ratio(phase) for phase in (*seen.aa, *seen.stages)] == pytest.approx(list(expected), rel=0.06)


def test_who_is_slower_has_more_requests_above_the_bound() -> None:
    """Φ(Φ⁻¹(2 %) + ln f / 0.5), from a table of the normal distribution."""
    assert slower(np.array([0.02]), 1.0) == pytest.approx([0.02], rel=1e-3)
    assert slower(np.array([0.02]), 1.3) == pytest.approx([0.0631], rel=5e-3)
    assert slower(np.array([0.02]), 2.0) == pytest.approx([0.2523], rel=5e-3)


def test_the_truth_that_is_told_to_walds_test_is_what_the_counts_follow() -> None:
    for name in ("errors-3-late", "wave-ramp", "counter-resets", "scrape-gaps", "heavy-client-in-25-bursty"):
        for phase in batch(name).stages:
            events, bad = (phase.counts[:, :, column] * phase.seen for column in (0, 1))
            wanted = (events * phase.true).sum()
            assert bad.sum() == pytest.approx(wanted, abs=4 * math.sqrt(wanted))


def test_harm_begins_when_it_is_said_to() -> None:
    first, second = batch("errors-10-late", traces=100).stages
    looks = np.arange(SHAPE.looks)[None, :]
    assert np.allclose(first.true, first.base, rtol=1e-9, atol=0) == bool((first.began == SHAPE.looks).all())
    assert np.array_equal(first.true > first.base * 1.0001, looks >= first.began[:, None])
    assert first.began.min() >= SHAPE.looks // 6
    assert first.began.max() <= SHAPE.looks * 2 // 3
    assert not second.began.any()
    first, second = batch("errors-10-second").stages
    assert (first.began == SHAPE.looks).all()
    assert np.allclose(second.true, second.base * 10)


def test_an_incident_hits_both_arms_at_the_same_time() -> None:
    seen = batch("incident-times")
    for phase in seen.stages:
        hit = phase.base > 3 * phase.base.min(axis=1, keepdims=True)
        assert (hit.sum(axis=1) * SHAPE.interval >= 90).all()
        assert (hit.sum(axis=1) * SHAPE.interval <= 310).all()
        assert np.allclose(phase.control / phase.base, (phase.control / phase.base)[:, :1], rtol=1e-6)
    begun = batch("incident-in-aa")
    assert (begun.aa[0].base[:, -1] > begun.aa[0].base[:, 0]).all()
    assert (begun.stages[0].base[:, 0] > begun.stages[0].base[:, -1]).mean() > 0.9


def test_a_bursty_client_sends_as_much_as_a_steady_one_and_comes_and_goes() -> None:
    bursty, steady = (batch(f"heavy-client-in-25-{how}") for how in ("bursty", "steady"))
    sent, bad = ([each.stages[0].counts[:, :, column].sum() for each in (bursty, steady)] for column in (0, 1))
    assert np.ptp(bursty.stages[0].base, axis=1).mean() > 0.005
    assert np.ptp(steady.stages[0].base, axis=1).mean() < 1e-12
    assert sent[0] == pytest.approx(sent[1], rel=0.1)
    assert bad[0] == pytest.approx(bad[1], rel=0.2)


def test_a_wave_swings_traffic_and_share() -> None:
    # A whole period lasts a third of the ramp.
    wave = batch("wave-fast").stages[0]
    events = wave.counts[:, :, [0, 2]].sum(axis=2)
    for values in (events, wave.base):
        height = np.ptp(values, axis=1) / (values.max(axis=1) + values.min(axis=1))
        assert 0.45 < height.min() < height.max() < 0.85


def test_what_is_not_scraped_is_missing_or_caught_up() -> None:
    missing = batch("missing-scrapes").stages[0].seen
    assert missing.mean() == pytest.approx(0.95, abs=0.01)
    gaps = batch("scrape-gaps")
    stage = gaps.stages[0]
    after = stage.seen[:, 1:] & ~stage.seen[:, :-1]
    caught = [
        trace
        for trace in range(len(gaps))
        if after[trace].any() and stage.counts[trace, 1:, 0][after[trace]].max() > 6000
    ]
    assert 0.3 < len(caught) / len(gaps) < 0.7
    none = json.loads(document(gaps))["traces"][0]["stages"][0]["looks"]
    assert [look is None for look in none] == (~stage.seen[0]).tolist()


def test_counts_are_added_up_where_they_are_attributed_to() -> None:
    counts = np.array([[1, 2, 4, 8], [1, 2, 4, 8]])
    into = np.array([[0, 2, 2, -1], [0, 1, 2, 3]])
    assert caught_up(counts, into).tolist() == [[1, 0, 6, 0], [1, 2, 4, 8]]


def test_restarts_lose_counts_and_nothing_else() -> None:
    whole, less = (batch(name).stages[0].counts.sum() for name in ("no-change", "counter-resets"))
    # 12 restarts an hour are one in 30 looks, and take half a look on average.
    assert less / whole == pytest.approx(1 - 0.5 * (1 - math.exp(-1 / 30)), abs=0.004)
    assert ratio(batch("counter-resets").stages[0]) == pytest.approx(1, abs=0.05)


def test_hosts_as_treatment_are_two_then_four_of_eight() -> None:
    population = populate(SCENARIOS["bad-host"], 200, np.random.default_rng(1))
    assert (population.hosts[:, 0] > 0).sum(axis=1).tolist() == [2] * 200
    assert population.steady.mean(axis=0) == pytest.approx([0.25, 0.25, 0.5], abs=0.01)
    bad, others = population.host_proneness[:, 0].mean(), population.host_proneness[:, 1:].mean()
    assert bad / others == pytest.approx(5, rel=0.1)


def test_the_command_prints_a_replay_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["errors-3", "--rate", "10", "--traces", "3", "--looks", "20", "--aa", "5"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in read["traces"]] == ["errors-3/10/0", "errors-3/10/1", "errors-3/10/2"]
    assert __main__.main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCENARIOS)


def test_where_there_is_little_traffic_a_ramp_lasts_longer() -> None:
    assert shape_for(1.0).interval * shape_for(1.0).looks == 3 * 3600
    assert shape_for(10.0).interval * shape_for(10.0).looks == 3600
    assert shape_for(1000.0) == Shape()
