"""Looks at a real Prometheus: each way in which data can be missing has its own sentence, and none is a pass."""

from __future__ import annotations

import math
import pathlib
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils import arms, gate
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import Prometheus

from .history import START, Change, History, arm, prometheus

SECONDS = 120
SETTINGS = gate.settings_from({}, {"min": 20, "max": 90, "look": 10})
ORDERS = {"name": "orders", "counter": "feature_orders_total", "labels": {"kind": "gift"}, "harm": "fewer", "role": "signal", "weight": 2}
Json = dict[str, t.Any]


def shop(on: Json | None = None, off: Json | None = None, features: tuple[str, ...] = ("search",)) -> dict[str, float]:
    grown: dict[str, float] = {}
    for feature in features:
        grown |= arm(feature, "on", **{"requests": 5, **(on or {})}) | arm(feature, "off", **{"requests": 15, **(off or {})})
    return grown


def steady(_second: int) -> dict[str, float]:
    return shop()


def without(key: str) -> Change:
    return lambda second: {name: by for name, by in shop().items() if key not in name}


def erring_from(second_from: int) -> Change:
    return lambda second: shop({"errors": 1 if second >= second_from else 0})


def incident(second: int) -> dict[str, float]:
    bad = 40 <= second < 60
    return shop({"errors": 3 if bad else 0}, {"errors": 9 if bad else 0})


def restarted(second: int) -> dict[str, float]:
    return shop() | ({"up": 0.0} if second == 50 else {})


def silent_between(start: int, end: int) -> Change:
    return lambda second: None if start <= second < end else shop()


def marked_between(mark: str, start: int, end: int) -> Change:
    return lambda second: shop() | ({mark: 1.0} if start <= second < end else {})


def no_number_between(start: int, end: int) -> Change:
    """The counter of errors with the feature is NaN."""
    key = next(name for name in shop() if 'variant="on"' in name and "error" in name)
    return lambda second: shop() | ({key: math.nan} if start <= second < end else {})


def calibrated(second: int) -> dict[str, float]:
    """Up to second 50 the features are off and the users of each stage are told apart; those of 25 % have an error a second all the time."""
    off, on = second < 50, second >= 50
    return (
        arm("search", "aa25", requests=5 * off, errors=off)
        | arm("search", "aa50", requests=6 * off)
        | arm("search", "off", requests=10 + 6 * on)
        | arm("search", "on", requests=5 * on, errors=on)
    )


def ordering(_second: int) -> dict[str, float]:
    count = 'feature_orders_total{{feature="search",kind="{kind}",variant="{variant}"}}'
    return shop() | {count.format(kind=kind, variant=variant): by for variant, by in (("on", 1), ("off", 20)) for kind in ("gift", "plain")}


def hosted(failed: float, slow: float, from_second: int = 0) -> Change:
    """All requests of a host; the series of what fails is born with the first failure."""

    def change(second: int) -> dict[str, float]:
        grown = {f'http_requests_total{{method="GET",route="{route}",status="200"}}': 4.0 for route in ("/", "/cart")}
        grown |= {'http_request_duration_seconds_count{route="/"}': 8.0, 'http_request_duration_seconds_bucket{route="/",le="0.5"}': 8.0 - slow}
        for route in ("/readyz", "/metrics"):  # what no user asks for counts for neither arm
            grown |= {f'http_requests_total{{method="GET",route="{route}",status="{status}"}}': 5.0 for status in ("200", "503")}
            grown |= {f'http_request_duration_seconds_{part}': 7.0 for part in (f'count{{route="{route}"}}', f'bucket{{route="{route}",le="0.5"}}')}
        if failed and second >= from_second:
            grown |= {'http_requests_total{method="GET",route="/",status="500"}': failed}
        return grown

    return change


SCENARIOS: dict[str, dict[str, Change]] = {
    "good": {"app1": steady, "app2": steady},
    "erring": {"app1": erring_from(30), "app2": erring_from(30)},
    "slow": {"app1": lambda _second: shop({"slow": 2}), "app2": steady},
    "incident": {"app1": incident, "app2": incident},
    "restarted": {"app1": restarted, "app2": steady},
    "gap": {"app1": silent_between(40, 60), "app2": steady},
    "missed": {"app1": marked_between("missed", 40, 60), "app2": steady},
    "missed-once": {"app1": marked_between("missed", 40, 41), "app2": steady},
    "missed-everywhere": {"app1": marked_between("missed", 40, 44), "app2": marked_between("missed", 40, 44)},
    "asleep": {"app1": marked_between("asleep", 40, 44), "app2": marked_between("asleep", 40, 44)},
    "asleep-for-long": {"app1": marked_between("asleep", 40, SECONDS), "app2": marked_between("asleep", 40, SECONDS)},
    "no-number": {"app1": no_number_between(40, 60), "app2": steady},
    "stopped": {"app1": silent_between(50, SECONDS), "app2": steady},
    "never": {"app1": silent_between(0, SECONDS), "app2": steady},
    "all-stopped": {"app1": silent_between(50, SECONDS), "app2": silent_between(50, SECONDS)},
    "no-error-series": {"app1": without('outcome="error"'), "app2": steady},
    "no-bucket": {"app1": without('le="0.5"'), "app2": without('le="0.5"')},
    "no-control": {"app1": without('variant="off"'), "app2": without('variant="off"')},
    "another-host": {"app1": steady, "app2": lambda _second: {"process_cpu_seconds_total": 1.0}},
    "idle": {"app1": lambda _second: shop({"requests": 0}, {"requests": 0})},
    "everybody": {"app1": lambda _second: shop({"requests": 20}, {"requests": 0}), "app2": lambda _second: shop({"requests": 20}, {"requests": 0})},
    "calibrated": {"app1": calibrated, "app2": calibrated},
    "ordering": {"app1": ordering, "app2": ordering},
    "canary": {"app1": hosted(1, 2, from_second=30), "app2": hosted(0, 1), "app3": hosted(0, 0), "app4": hosted(8, 8)},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    folder: pathlib.Path = tmp_path_factory.mktemp("prometheus")
    history = History()
    for job, hosts in SCENARIOS.items():
        for number, (host, change) in enumerate(hosts.items()):
            history.host(job, host, change, SECONDS, first=shop() if job == "good" else None, shift=0.37 * number)
    history.write(folder)
    with prometheus(folder) as url:
        yield url


def counted(address: str, job: str, at: float, percent: int = 25, since: float = 5.2, **more: t.Any) -> Json:
    options: Json = {"features": ["search"], **more}
    return arms.collect(Prometheus(address, 5), arms.Stage(percent=percent, since=START + since, until=START + at, slow_seconds=0.5, job=job, **options))


def look(address: str, job: str, at: float, percent: int = 25, **more: t.Any) -> Json:
    counts = counted(address, job, at, percent, **more)
    return {**gate.judge(counts, SETTINGS), "counts": counts}


def rows(counts: Json, number: int = 0) -> list[t.Any]:
    found: list[t.Any] = counts["metrics"][number]["rows"]
    return found


@pytest.mark.parametrize(
    ("job", "at", "verdict", "word"),
    [
        ("good", 6, "continue", ""),
        ("good", 20, "continue", ""),
        ("good", 60, "promote", ""),
        ("erring", 29, "continue", ""),
        ("erring", 45, "abort", "search errors with the feature"),
        ("slow", 40, "abort", "search slow answers with the feature"),
        ("incident", 55, "hold", ""),
        ("restarted", 90, "promote", ""),
        ("gap", 50, "hold", "app1 has not been scraped for 11 s"),
        ("gap", 90, "promote", ""),
        ("missed", 90, "promote", ""),
        ("missed-everywhere", 90, "promote", ""),
        ("no-number", 45.9, "hold", 'feature_requests_total{feature="search",variant="on",outcome="error"} is no number on app1 at'),
        ("no-number", 90, "promote", ""),
        ("asleep-for-long", 60, "hold", "Prometheus has taken no samples for 21 s"),
        ("stopped", 52, "promote", ""),
        ("stopped", 56, "hold", "app1 has not been scraped for 7 s"),
        ("never", 60, "hold", "Prometheus cannot scrape app1"),
        ("stopped", 90, "hold", "app1 has not been scraped"),
        ("all-stopped", 90, "hold", "app2 has not been scraped"),
        ("no-error-series", 60, "hold", 'no series feature_requests_total{feature="search",variant="on",outcome="error"} on app1'),
        ("no-bucket", 60, "hold", 'no series feature_request_duration_seconds_bucket{feature="search",variant="on",le="0.5"} on app1, app2'),
        ("no-control", 60, "hold", 'variant="off"'),
        ("another-host", 60, "hold", 'no series feature_requests_total{feature="search",variant="on",outcome="ok"} on app2'),
        ("idle", 60, "continue", ""),
        ("idle", 100, "hold", ""),
        ("nobody", 60, "hold", "no series feature_requests_total"),
    ],
)
def test_verdict_of_a_look(address: str, job: str, at: float, verdict: str, word: str) -> None:
    result = look(address, job, at)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


def test_every_request_between_the_first_and_the_last_full_interval_is_counted_once(address: str) -> None:
    """One scrape a second on two hosts, 5 + 15 requests on each: the figures of the record are known to the unit."""
    counts = counted(address, "good", 60.9)
    assert (counts["interval"], counts["unseen"], counts["unseen_by_host"], counts["problems"], counts["notes"]) == (1.0, 0, {}, [], [])
    assert (counts["percent"], counts["stage"], counts["stages"], counts["cohorts"]) == (25, 0, [25, 50, 100], "users")
    # The first step begins in the stage, so the interval before it has none.
    assert [row[1:] for row in rows(counts)[1:]] == [[10, 0, 30, 0]] * (len(rows(counts)) - 1)
    assert [row[0] for row in rows(counts)] == [float(second) for second in range(len(rows(counts)))]
    assert 53 <= len(rows(counts)) <= 55


@pytest.mark.parametrize("job", ["erring", "missed-everywhere", "restarted"])
def test_a_longer_look_only_adds_to_what_a_shorter_one_saw(address: str, job: str) -> None:
    earlier, later = counted(address, job, 50.9), counted(address, job, 80.3)
    for before, after in zip(earlier["metrics"], later["metrics"], strict=True):
        assert after["rows"][: len(before["rows"])] == before["rows"]


def test_a_restart_loses_no_more_than_what_was_not_scraped(address: str) -> None:
    counts = counted(address, "restarted", 100)
    assert all(row[1:] == [10, 0, 30, 0] for row in rows(counts)[1:])
    assert [note.split(" at ")[0] for note in counts["notes"]] == ["the counters of app1 began anew"]


@pytest.mark.parametrize(("job", "lost"), [("gap", 21), ("missed", 21), ("missed-once", 0)])
def test_a_gap_of_one_host_is_missing_from_both_arms_alike(address: str, job: str, lost: int) -> None:
    """What a host counted while more than one scrape failed is left out with the step that ends the gap; one that failed is made up for."""
    counts, whole = counted(address, job, 100), rows(counted(address, "good", 100))
    assert max(row[1] for row in rows(counts)) <= 15
    assert all(row[3] == 3 * row[1] for row in rows(counts))
    assert sum(row[1] for row in rows(counts)) == sum(row[1] for row in whole) - 5 * lost
    assert counts["unseen"] == 0
    assert counts["unseen_by_host"] == ({"app1": pytest.approx(lost, abs=2)} if lost else {})


@pytest.mark.parametrize(("job", "why"), [("missed-everywhere", "no host could be scraped from"), ("asleep", "Prometheus took no samples from")])
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


def test_the_first_bad_answer_is_found_to_the_second(address: str) -> None:
    assert 29 <= look(address, "erring", 60)["first_bad_at"] - START <= 30.4


def test_hosts_that_are_named_are_wanted_and_others_do_not_count(address: str) -> None:
    assert "there are no figures from app9" in counted(address, "good", 60, hosts=["app1", "app2", "app9"])["problems"]
    assert counted(address, "stopped", 90, hosts=["app2"])["problems"] == []


def test_at_100_percent_only_the_limits_count(address: str) -> None:
    assert look(address, "everybody", 60, percent=100)["verdict"] == "promote"
    assert look(address, "everybody", 60, percent=50)["verdict"] == "continue"


def test_at_100_percent_all_users_before_the_stage_are_counted(address: str) -> None:
    """The slow shop's host is slow for a tenth of its requests all the time: no worse at 100 % than before."""
    counts = counted(address, "slow", 110, percent=100, since=60, lookback=50.0)
    assert counts["metrics"][1]["before"] == {"events": pytest.approx(49 * 40, abs=40), "bad": pytest.approx(49 * 2, abs=4)}
    assert len(rows(counts, 1)) == 49
    assert "before" not in counted(address, "slow", 110, percent=100, since=60, lookback=50.0, holdback=10)["metrics"][1]


@pytest.mark.parametrize(("percent", "treatment", "control"), [(25, [10, 2], [32, 0]), (50, [22, 2], [20, 0])])
def test_the_arms_of_each_stage_are_compared_before_anybody_has_the_feature(address: str, percent: int, treatment: list[int], control: list[int]) -> None:
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
        ("good", 25, {}, 'no series feature_requests_total{feature="search",variant="aa25",outcome="ok"} on app1, app2 in the A/A stage from'),
        ("calibrated", 50, {"stages": [25, 50, 75, 100]}, 'variant="aa75",outcome="ok"} on app1, app2 in the A/A stage from'),
        ("calibrated", 100, {"holdback": 10}, 'variant="aa90",outcome="ok"} on app1, app2 in the A/A stage from'),
        ("calibrated", 25, {"aa": (START - 900.0, START - 800.0)}, "so what the arms differed by before is not known"),
        ("calibrated", 100, {}, None),
        ("calibrated", 100, {"holdback": 50}, None),
    ],
)
def test_an_aa_stage_that_was_not_seen_is_told(address: str, job: str, percent: int, more: Json, told: str | None) -> None:
    metric = counted(address, job, 90, percent, since=55, **{"aa": (START + 10.0, START + 45.0), **more})["metrics"][0]
    assert (told or "") in (metric["problem"] or "")
    assert (metric["problem"] is None) == (told is None)
    assert metric["aa"] == [] or told is None


def test_a_business_counter_is_counted_per_exposed_user(address: str) -> None:
    counts = counted(address, "ordering", 60, metrics=[ORDERS, {"name": "slow", "role": "signal"}, {"name": "tips", "counter": "feature_tips_total"}])
    heads = [{key: metric[key] for key in ("metric", "kind", "harm", "role", "weight")} for metric in counts["metrics"]]
    assert heads[1:3] == [
        {"metric": "slow", "kind": "slow", "harm": "more", "role": "signal", "weight": 1.0},
        {"metric": "orders", "kind": "counter", "harm": "fewer", "role": "signal", "weight": 2.0},
    ]
    # More orders than requests in the control: counted as many as those.
    assert {tuple(row[1:]) for row in rows(counts, 2)[1:]} == {(10, 2, 30, 30)}
    assert counts["metrics"][2]["problem"] is None
    assert counts["metrics"][3]["problem"] == 'no series feature_tips_total{feature="search",variant="on"} on app1, app2'


def test_hosts_on_the_new_code_are_compared_with_hosts_on_the_old(address: str) -> None:
    """The host app4 belongs to neither."""
    counts = counted(
        address, "canary", 90, 33, since=50, features=(), cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2", "app3"], aa=(START + 5, START + 28)
    )
    assert (counts["cohorts"], counts["problems"], [metric["problem"] for metric in counts["metrics"]]) == ("hosts", [], [None, None])
    assert [(metric["feature"], metric["metric"]) for metric in counts["metrics"]] == [("release", "errors"), ("release", "slow")]
    assert {tuple(row[1:]) for row in rows(counts)[1:]} == {(9, 1, 16, 0)}
    assert {tuple(row[1:]) for row in rows(counts, 1)[1:]} == {(8, 2, 16, 1)}
    assert {tuple(row[1:]) for row in counts["metrics"][0]["aa"][1:]} == {(8, 0, 16, 0)}
    assert "no series http_requests_total on app9" in str(
        counted(address, "canary", 90, 33, cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app9"])["metrics"][0]["problem"]
    )


def test_the_first_failure_of_a_host_counts_though_its_series_was_not_there_before(address: str) -> None:
    counts = counted(address, "canary", 60, 33, since=20, features=(), cohorts="hosts", treatment_hosts=["app1"], control_hosts=["app2"])
    assert sum(row[2] for row in rows(counts)) == pytest.approx(29, abs=1)
    assert [row[2] for row in rows(counts)[:9]] == [0] * 9


def test_one_of_two_features_without_series_holds(address: str) -> None:
    result = look(address, "good", 60, features=["search", "cart"])
    assert result["verdict"] == "hold"
    assert "cart" in result["reason"]


def test_a_prometheus_that_does_not_answer_holds_until_the_deadline() -> None:
    early, late = look("http://127.0.0.1:9", "good", 60), look("http://127.0.0.1:9", "good", 5.2 + 135)
    assert (early["verdict"], early["deadline_passed"]) == ("hold", False)
    assert (late["verdict"], late["deadline_passed"]) == ("hold", True)
    assert "Prometheus at http://127.0.0.1:9 does not answer: [Errno 111]" in early["reason"]


def test_a_recorded_look_gives_its_verdict_again(address: str) -> None:
    for job in SCENARIOS:
        result = look(address, job, 80)
        again = gate.judge_again({"counts": result["counts"], "settings": vars(SETTINGS)})
        assert again == {key: value for key, value in result.items() if key != "counts"}
