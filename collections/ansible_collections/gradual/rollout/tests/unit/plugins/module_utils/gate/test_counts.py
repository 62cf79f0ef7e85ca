"""The counts of a look from raw samples: which users are in which arm, and that no samples raise."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import Fetched
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import CONTROL, TREATMENT, Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Key, Target
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

START = 1_780_000_000.0


def stage(percent: int = 25, **more: Any) -> Stage:
    options: dict[str, Any] = {"features": ["search"], "since": START, "until": START + 60, "slow_seconds": 0.5, **more}
    return Stage(percent=percent, **options)


@pytest.mark.parametrize(
    ("percent", "stages", "holdback", "treatment", "control"),
    [
        (25, [25, 50, 100], 0, ["aa25"], ["aa50", "off"]),
        (50, [25, 50, 100], 0, ["aa25", "aa50"], ["off"]),
        (100, [25, 50, 100], 0, [], []),
        (100, [25, 50, 100], 10, ["aa25", "aa50", "aa90"], ["off"]),
        (25, [25, 50, 100], 10, ["aa25"], ["aa50", "aa90", "off"]),
        (100, [100], 20, ["aa80"], ["off"]),
    ],
)
def test_who_is_compared_before_anybody_has_the_feature(
    percent: int, stages: list[int], holdback: int, treatment: list[str], control: list[str]
) -> None:
    found = stage(percent, stages=stages, holdback=holdback, aa=(START - 60, START)).aa_arms
    assert [name for name, arm in found.items() if arm == TREATMENT] == treatment
    assert [name for name, arm in found.items() if arm == CONTROL] == control
    assert stage(percent, stages=stages, holdback=holdback).aa_arms == {}


@pytest.mark.parametrize(
    ("percent", "stages", "index"),
    [(25, [25, 50, 100], 0), (50, [25, 50, 100], 1), (100, [25, 50, 100], 2), (100, [100], 0)],
)
def test_stages_are_numbered(percent: int, stages: list[int], index: int) -> None:
    counts, _past = gate_look.counted(Fetched([], [], []), stage(percent, stages=stages))
    assert (counts["stage"], counts["stages"], counts["percent"]) == (index, stages, percent)


def test_hosts_are_arms_themselves() -> None:
    hosts = stage(33, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2", "app3"], aa=(START - 60, START))
    assert hosts.arms == hosts.aa_arms == {"app1": TREATMENT, "app2": CONTROL, "app3": CONTROL}
    assert [(metric.feature, metric.name) for metric in hosts.wanted] == [("release", "errors"), ("release", "slow")]


def host(name: str, first: float, anew: float | None = None, until: float = START + 60) -> Target:
    """A host with ten requests a scrape, every 15 s from `first` on; its counters may begin anew at the first scrape
    from `anew` on."""
    times = [first + 15 * place for place in range(int((until - first) // 15) + 1)]
    total, values = 0.0, []
    for at, before in zip(times, [first, *times]):
        total = 0.0 if anew is not None and before < anew <= at else total + 10
        values.append(total)
    parts = {"ok": values, "error": [0.0] * len(values), "answers": values, "fast": values}
    return Target(
        name, {("release", part, name): [Series({"host": name}, times, found)] for part, found in parts.items()}
    )


@pytest.mark.parametrize(
    ("first", "anew", "since"),
    [
        (START - 700, None, START - 300),
        (START - 200, None, START - 200),  # Prometheus knows this host for less time
        (START - 700, START - 100, START - 100),  # before that it may have run other code
        (START - 20, None, None),  # not known before at all
        (START - 700, START - 31, None),  # less than two intervals
    ],
)
def test_hosts_are_compared_before_from_when_all_are_known_and_run_what_they_run(
    first: float, anew: float | None, since: float | None
) -> None:
    asked = (START - 300, START - 20)
    before = [host("app1", START - 700, until=START - 20), host("app2", first, anew, until=START - 20)]
    found, _past = gate_look.counted(
        Fetched([host("app1", START - 40), host("app2", START - 40)], before, []),
        stage(33, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2"], aa=asked),
    )
    settled = stage(33, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2"], aa=asked).settled(
        before, 15.0
    )
    assert [metric["problem"] for metric in found["metrics"]] == [None, None]
    assert found["metrics"][0]["rows"]
    if since is None:
        assert (settled.aa, found["metrics"][0].get("aa", [])) == (None, [])
        assert "the hosts were not compared before" in found["notes"][-1]
    else:
        assert settled.aa is not None
        assert 0 <= settled.aa[0] - since < 15
        assert len(found["metrics"][0]["aa"]) == pytest.approx((START - 20 - since) / 15, abs=2)
        assert all(row[1] <= 20 and row[3] <= 20 for row in found["metrics"][0]["aa"])


def test_users_are_compared_in_all_of_their_own_time_before() -> None:
    asked = stage(25, aa=(START - 300, START - 20))
    assert asked.settled([host("app1", START - 100)], 15.0) is asked


def test_without_any_sample_every_metric_has_a_problem_and_no_rows() -> None:
    counts, _past = gate_look.counted(Fetched([], [], []), stage())
    assert [metric["rows"] for metric in counts["metrics"]] == [[], []]
    assert all(metric["problem"] for metric in counts["metrics"])


def test_the_first_scrape_of_a_stage_is_no_problem() -> None:
    """Samples from before the stage tell that the series exist; they are not counted."""
    counts, _past = gate_look.counted(
        Fetched(targets(1, ["search"], 3, start=START - 40), [], []), stage(until=START + 2)
    )
    assert (
        counts["interval"],
        counts["problems"],
        [(metric["problem"], metric["rows"]) for metric in counts["metrics"]],
    ) == (15.0, [], [(None, [])] * 2)


def targets(
    hosts: int, features: list[str], scrapes: int, start: float = START, variants: tuple[str, ...] = ("on", "off")
) -> list[Target]:
    """Hosts that are scraped every 15 s, each at its time and not quite regularly."""
    dice, found = random.Random(1), []
    for number in range(hosts):
        table: dict[Key, list[Series]] = {}
        times = [
            round(start + 15 * (scrape + number / hosts) + dice.uniform(-0.02, 0.02), 3) for scrape in range(scrapes)
        ]
        for feature in features:
            for variant in variants:
                for part, most in (("ok", 40), ("error", 2), ("answers", 42), ("fast", 40)):
                    total, values = 0.0, []
                    for _scrape in range(scrapes):
                        total += dice.randrange(most)
                        values.append(total)
                    table[feature, part, variant] = [Series({}, list(times), values)]
        found.append(Target(f"app{number}", table))
    return found


def test_every_interval_of_every_metric_has_a_row() -> None:
    features = [f"feature-{number}" for number in range(5)]
    counts, _past = gate_look.counted(
        Fetched(targets(3, features, 102), [], []), stage(features=features, until=START + 15 * 102)
    )
    # Whether the last scrape of a host falls within its interval is a matter of milliseconds.
    assert {len(metric["rows"]) for metric in counts["metrics"]} in ({101}, {102})
    assert counts["open"] in (1, 2)
    assert len(counts["metrics"]) == 10


def scraped(name: str, ends: float, key: str = "search", variants: tuple[str, ...] = ("on", "off")) -> Target:
    """A host with one answer each second to each kind of user, scraped each second until `ends` seconds after the stage
    began."""
    times = [START + ends - back for back in range(19, -1, -1)]
    values = [float(number) for number in range(20)]
    table: dict[Key, list[Series]] = {
        (key, part, variant): [Series({"host": name}, times, values if part != "error" else [0.0] * 20)]
        for variant in variants
        for part in ("ok", "error", "answers", "fast")
    }
    return Target(name, table)


def test_an_answer_counts_as_soon_as_its_own_host_is_scraped() -> None:
    """app1 was scraped 9.1 s after the stage began, app2 not since 8.3 s: the tenth interval has app1 only."""
    hosts = [scraped("app1", 9.1), scraped("app2", 8.3)]
    counts, _past = gate_look.counted(Fetched(hosts, [], []), stage(until=START + 9.2))
    rows = counts["metrics"][0]["rows"]
    assert (len(rows), counts["open"], counts["unseen"], counts["unseen_by_host"]) == (10, 2, 0, {})
    assert [row[1:] for row in rows[7:]] == [[2, 0, 2, 0], [2, 0, 2, 0], [1, 0, 1, 0]]


def test_an_open_interval_is_no_gap_of_a_host_that_is_not_scraped_yet() -> None:
    """app1 was silent for two scrapes in which app2 is due, so nobody was seen yet in intervals that app2 may fill."""
    silent = scraped("app1", 9.1)
    gone = {START + 9.1 - back for back in (1, 2)}
    table = {key: [each.without(gone) for each in found] for key, found in silent.table.items()}
    hosts = [Target("app1", table), scraped("app2", 6.3)]
    counts, _past = gate_look.counted(Fetched(hosts, [], []), stage(until=START + 9.2))
    assert (counts["unseen"], counts["unseen_by_host"], counts["notes"]) == (0, {}, [])


def test_hosts_as_arms_are_compared_in_intervals_that_all_of_them_have_passed() -> None:
    hosts = [scraped("app1", 9.1, "release", ("app1",)), scraped("app2", 8.3, "release", ("app2",))]
    counts, _past = gate_look.counted(
        Fetched(hosts, [], []),
        stage(33, until=START + 9.2, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2"]),
    )
    assert (len(counts["metrics"][0]["rows"]), counts["open"]) == (8, 0)


value = st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["NaN", "+Inf", "-1", "0", "1e300", "1.7e308", "x"]))
pairs = st.lists(st.tuples(st.floats(-100, 200).map(lambda at: START + at), value), max_size=12).map(sorted)


parts = st.sampled_from(["ok", "error", "answers", "fast", "counter orders"])
keys = st.tuples(st.just("search"), parts, st.sampled_from(["on", "off", "aa25"]))


@given(st.lists(st.dictionaries(keys, pairs, max_size=8), max_size=3), pairs, st.sampled_from([1, 25, 100]))
@hypothesis_settings(deadline=None)
def test_no_samples_raise_and_all_counts_make_sense(tables: list[dict[Key, Any]], up: Any, percent: int) -> None:
    found = [
        Target(f"app{number}", {key: [Series.of({}, samples)] for key, samples in table.items()})
        for number, table in enumerate(tables)
    ]
    looked = stage(
        percent,
        aa=(START - 60, START),
        lookback=60.0,
        metrics=[{"name": "orders", "counter": "orders_total", "harm": "fewer"}],
    )
    counts, _past = gate_look.counted(Fetched(found, found, [Series.of({"host": "app0"}, up)]), looked)
    assert json.loads(json.dumps(counts, allow_nan=False)) == counts
    for metric in counts["metrics"]:
        for row in [*metric["aa"], *(each for each in metric["rows"] if each is not None)]:
            assert 0 <= row[2] <= row[1]
            assert 0 <= row[4] <= row[3]
        assert metric["problem"] or any(table for table in tables)
