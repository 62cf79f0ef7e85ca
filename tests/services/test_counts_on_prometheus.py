"""The counts of looks at a real Prometheus, known to the unit: arms, intervals, gaps, restarts, the time before a
stage."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest

from .history import START
from .shops import ORDERS, Json, counted, recorded


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with recorded(tmp_path_factory.mktemp("prometheus")) as url:
        yield url


def rows(counts: Json, number: int = 0) -> list[t.Any]:
    """The rows of the intervals that are over."""
    found: list[t.Any] = counts["metrics"][number]["rows"]
    return found[: len(found) - counts["open"]]


def test_every_request_between_the_first_and_the_last_full_interval_is_counted_once(address: str) -> None:
    """One scrape a second on two hosts, 5 + 15 requests on each: the figures of the record are known to the unit."""
    counts = counted(address, "good", 60.9)
    assert (counts["interval"], counts["unseen"], counts["unseen_by_host"], counts["problems"], counts["notes"]) == (
        1.0,
        0,
        {},
        [],
        [],
    )
    assert (counts["percent"], counts["stage"], counts["stages"], counts["cohorts"]) == (25, 0, [25, 50, 100], "users")
    # The first step begins in the stage, so the interval before it has none.
    assert [row[1:] for row in rows(counts)[1:]] == [[10, 0, 30, 0]] * (len(rows(counts)) - 1)
    assert [row[0] for row in rows(counts)] == [float(second) for second in range(len(rows(counts)))]
    assert 53 <= len(rows(counts)) <= 55
    # In an interval that is open, the answers of each host that was scraped since it began are there, of both arms.
    opened = counts["metrics"][0]["rows"][len(rows(counts)) :]
    assert 1 <= len(opened) <= 2
    assert all(tuple(row[1:]) in {(5, 0, 15, 0), (10, 0, 30, 0)} for row in opened)


@pytest.mark.parametrize("job", ["erring", "missed-everywhere", "restarted"])
def test_a_longer_look_only_adds_to_what_a_shorter_one_saw(address: str, job: str) -> None:
    earlier, later = counted(address, job, 50.9), counted(address, job, 80.3)
    for number in range(len(earlier["metrics"])):
        before = rows(earlier, number)
        assert rows(later, number)[: len(before)] == before


def test_a_restart_loses_no_more_than_what_was_not_scraped(address: str) -> None:
    counts = counted(address, "restarted", 100)
    assert all(row[1:] == [10, 0, 30, 0] for row in rows(counts)[1:])
    assert [note.split(" at ")[0] for note in counts["notes"]] == ["the counters of app1 were reset"]


@pytest.mark.parametrize(("job", "lost"), [("gap", 21), ("missed", 21), ("missed-once", 0)])
def test_a_gap_of_one_host_is_missing_from_both_arms_alike(address: str, job: str, lost: int) -> None:
    """What a host counted while more than one scrape failed is left out with the step that ends the gap; one that
    failed is made up for."""
    counts, whole = counted(address, job, 100), rows(counted(address, "good", 100))
    assert max(row[1] for row in rows(counts)) <= 15
    assert all(row[3] == 3 * row[1] for row in rows(counts))
    assert sum(row[1] for row in rows(counts)) == sum(row[1] for row in whole) - 5 * lost
    assert counts["unseen"] == 0
    assert counts["unseen_by_host"] == ({"app1": pytest.approx(lost, abs=2)} if lost else {})


@pytest.mark.parametrize(
    ("job", "why"),
    [("missed-everywhere", "no host could be scraped from"), ("asleep", "Prometheus took no samples from")],
)
def test_intervals_that_nobody_saw_are_none_and_are_told(address: str, job: str, why: str) -> None:
    counts = counted(address, job, 100)
    gone = [index for index, row in enumerate(rows(counts)) if row is None]
    assert counts["unseen"] == len(gone)
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert 33 <= gone[0] <= gone[-1] <= 39
    assert counts["problems"] == []
    assert why in counts["notes"][0]
    assert all(row[1:] == [10, 0, 30, 0] for row in rows(counts)[gone[-1] + 3 :])


def test_while_nobody_sees_anything_the_newest_intervals_are_none(address: str) -> None:
    for job in ("all-stopped", "asleep-for-long"):
        assert [row is None for row in rows(counted(address, job, 90))[-25:]] == [True] * 25


def test_what_is_no_number_is_left_out_of_both_arms_of_its_metric_alone(address: str) -> None:
    counts = counted(address, "no-number", 100)
    errors, slow = rows(counts), rows(counts, 1)
    assert {tuple(row[1:]) for row in errors[37:52]} == {(5, 0, 15, 0)}
    assert {tuple(row[1:]) for row in slow[5:]} == {(10, 0, 30, 0)}


def test_hosts_that_are_named_are_wanted_and_others_do_not_count(address: str) -> None:
    assert "there are no figures from app9" in counted(address, "good", 60, hosts=["app1", "app2", "app9"])["problems"]
    assert counted(address, "stopped", 90, hosts=["app2"])["problems"] == []


def test_at_100_percent_all_users_before_the_stage_are_counted(address: str) -> None:
    """The slow shop's host is slow for a tenth of its requests all the time: no worse at 100 % than before."""
    counts = counted(address, "slow", 110, percent=100, since=60, lookback=50.0)
    assert counts["metrics"][1]["before"] == {
        "events": pytest.approx(49 * 40, abs=40),
        "bad": pytest.approx(49 * 2, abs=4),
    }
    assert len(rows(counts, 1)) == 49
    assert (
        "before" not in counted(address, "slow", 110, percent=100, since=60, lookback=50.0, holdback=10)["metrics"][1]
    )


@pytest.mark.parametrize(("percent", "treatment", "control"), [(25, [10, 2], [32, 0]), (50, [22, 2], [20, 0])])
def test_the_arms_of_each_stage_are_compared_before_anybody_has_the_feature(
    address: str, percent: int, treatment: list[int], control: list[int]
) -> None:
    counts = counted(address, "calibrated", 90, percent, since=55, aa=(START + 10.0, START + 45.0))
    assert counts["metrics"][0]["problem"] is None
    before = counts["metrics"][0]["aa"]
    assert [row[1:] for row in before[1:]] == [[*treatment, *control]] * (len(before) - 1)
    assert len(before) == 35
    assert {tuple(row[1:]) for row in rows(counts)[1:]} == {(10, 2, 32, 0)}
    assert counts["stage"] == {25: 0, 50: 1}[percent]


@pytest.mark.parametrize(
    ("job", "percent", "more", "told"),
    [
        (
            "good",
            25,
            {},
            (
                'no series feature_requests_total{feature="search",variant="aa25",outcome="ok"} on app1, app2 in the'
                " A/A stage from"
            ),
        ),
        (
            "calibrated",
            50,
            {"stages": [25, 50, 75, 100]},
            'variant="aa75",outcome="ok"} on app1, app2 in the A/A stage from',
        ),
        ("calibrated", 100, {"holdback": 10}, 'variant="aa90",outcome="ok"} on app1, app2 in the A/A stage from'),
        ("calibrated", 25, {"aa": (START - 900.0, START - 800.0)}, "so what the arms differed by before is not known"),
        ("calibrated", 100, {}, None),
        ("calibrated", 100, {"holdback": 50}, None),
    ],
)
def test_an_aa_stage_that_was_not_seen_is_told(
    address: str, job: str, percent: int, more: Json, told: str | None
) -> None:
    metric = counted(address, job, 90, percent, since=55, **{"aa": (START + 10.0, START + 45.0), **more})["metrics"][0]
    assert (told or "") in (metric["problem"] or "")
    assert (metric["problem"] is None) == (told is None)
    assert metric["aa"] == [] or told is None


def test_a_business_counter_is_counted_per_exposed_user(address: str) -> None:
    counts = counted(
        address,
        "ordering",
        60,
        metrics=[ORDERS, {"name": "slow", "role": "signal"}, {"name": "tips", "counter": "feature_tips_total"}],
    )
    heads = [{key: metric[key] for key in ("metric", "kind", "harm", "role", "weight")} for metric in counts["metrics"]]
    assert heads[1:3] == [
        {"metric": "slow", "kind": "slow", "harm": "more", "role": "signal", "weight": 1.0},
        {"metric": "orders", "kind": "counter", "harm": "fewer", "role": "signal", "weight": 2.0},
    ]
    # More orders than requests in the control: counted as many as those.
    assert {tuple(row[1:]) for row in rows(counts, 2)[1:]} == {(10, 2, 30, 30)}
    assert counts["metrics"][2]["problem"] is None
    assert (
        counts["metrics"][3]["problem"] == 'no series feature_tips_total{feature="search",variant="on"} on app1, app2'
    )


def test_hosts_on_the_new_code_are_compared_with_hosts_on_the_old(address: str) -> None:
    """The host app4 belongs to neither."""
    counts = counted(
        address,
        "canary",
        90,
        33,
        since=50,
        features=(),
        cohorts="hosts",
        treatment_hosts=["app1"],
        control_hosts=["app2", "app3"],
        aa=(START + 5, START + 28),
    )
    assert (counts["cohorts"], counts["problems"], [metric["problem"] for metric in counts["metrics"]]) == (
        "hosts",
        [],
        [None, None],
    )
    assert [(metric["feature"], metric["metric"]) for metric in counts["metrics"]] == [
        ("release", "errors"),
        ("release", "slow"),
    ]
    assert {tuple(row[1:]) for row in rows(counts)[1:]} == {(9, 1, 16, 0)}
    assert {tuple(row[1:]) for row in rows(counts, 1)[1:]} == {(8, 2, 16, 1)}
    assert {tuple(row[1:]) for row in counts["metrics"][0]["aa"][1:]} == {(8, 0, 16, 0)}
    assert "no series http_requests_total on app9" in str(
        counted(address, "canary", 90, 33, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app9"])[
            "metrics"
        ][0]["problem"]
    )


def test_the_first_failure_of_a_host_counts_though_its_series_was_not_there_before(address: str) -> None:
    counts = counted(
        address,
        "canary",
        60,
        33,
        since=20,
        features=(),
        cohorts="hosts",
        treatment_hosts=["app1"],
        control_hosts=["app2"],
    )
    assert sum(row[2] for row in rows(counts)) == pytest.approx(29, abs=1)
    assert [row[2] for row in rows(counts)[:9]] == [0] * 9
