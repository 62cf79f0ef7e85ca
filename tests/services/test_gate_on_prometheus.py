"""Looks at a real Prometheus: each way in which data can be missing has its own sentence, and none is a pass."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils import arms, gate
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import Prometheus

from .history import START, Change, History, arm, prometheus

SECONDS = 120
SETTINGS = gate.settings_from({}, {"min": 20, "max": 90, "look": 10})
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


SCENARIOS: dict[str, dict[str, Change]] = {
    "good": {"app1": steady, "app2": steady},
    "erring": {"app1": erring_from(30), "app2": erring_from(30)},
    "slow": {"app1": lambda _second: shop({"slow": 2}), "app2": steady},
    "incident": {"app1": incident, "app2": incident},
    "restarted": {"app1": restarted, "app2": steady},
    "gap": {"app1": silent_between(40, 60), "app2": steady},
    "stopped": {"app1": silent_between(50, SECONDS), "app2": steady},
    "never": {"app1": silent_between(0, SECONDS), "app2": steady},
    "all-stopped": {"app1": silent_between(50, SECONDS), "app2": silent_between(50, SECONDS)},
    "no-error-series": {"app1": without('outcome="error"'), "app2": steady},
    "no-bucket": {"app1": without('le="0.5"'), "app2": without('le="0.5"')},
    "no-control": {"app1": without('variant="off"'), "app2": without('variant="off"')},
    "idle": {"app1": lambda _second: shop({"requests": 0}, {"requests": 0})},
    "everybody": {"app1": lambda _second: shop({"requests": 20}, {"requests": 0}), "app2": lambda _second: shop({"requests": 20}, {"requests": 0})},
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


def look(
    address: str, job: str, at: float, percent: int = 25, since: float = 5.2, hosts: tuple[str, ...] = (), features: tuple[str, ...] = ("search",)
) -> Json:
    stage = arms.Stage(list(features), percent, START + since, START + at, 0.5, job, hosts, stages=2)
    counts = arms.collect(Prometheus(address, 5), stage)
    return {**gate.judge(counts, SETTINGS), "counts": counts}


@pytest.mark.parametrize(
    ("job", "at", "verdict", "word"),
    [
        ("good", 6, "continue", "no full interval yet"),
        ("good", 20, "continue", "still possible"),
        ("good", 60, "promote", "95 % sure"),
        ("erring", 29, "continue", "still possible"),
        ("erring", 45, "abort", "search errors with the feature"),
        ("slow", 40, "abort", "search slow answers with the feature"),
        ("incident", 55, "hold", "something else is wrong"),
        ("restarted", 90, "promote", "95 % sure"),
        ("gap", 50, "hold", "app1 has not been scraped for 11 s"),
        ("gap", 90, "promote", "95 % sure"),
        ("stopped", 52, "promote", "95 % sure"),
        ("stopped", 56, "hold", "app1 has not been scraped for 7 s"),
        ("never", 60, "hold", "Prometheus cannot scrape app1"),
        ("stopped", 90, "hold", "app1 has not been scraped"),
        ("all-stopped", 90, "hold", "app2 has not been scraped"),
        ("no-error-series", 60, "hold", 'no series feature_requests_total{feature="search",variant="on",outcome="error"} on app1'),
        ("no-bucket", 60, "hold", 'no series feature_request_duration_seconds_bucket{feature="search",variant="on",le="0.5"} on app1, app2'),
        ("no-control", 60, "hold", 'variant="off"'),
        ("idle", 60, "continue", "50 requests are needed"),
        ("idle", 100, "hold", "no decision after 90 s"),
        ("nobody", 60, "hold", "no series feature_requests_total"),
    ],
)
def test_verdict_of_a_look(address: str, job: str, at: float, verdict: str, word: str) -> None:
    result = look(address, job, at)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


def test_every_request_between_the_first_and_the_last_full_interval_is_counted_once(address: str) -> None:
    """One scrape a second on two hosts, 5 + 15 requests on each: the figures of the record are known to the unit."""
    counts = look(address, "good", 60.9)["counts"]
    rows = counts["metrics"][0]["rows"]
    assert counts["interval"] == 1.0
    assert [row[1:] for row in rows[1:]] == [[10, 0, 30, 0]] * (len(rows) - 1)
    assert [row[0] for row in rows] == [float(second) for second in range(int(rows[0][0]), int(rows[0][0]) + len(rows))]
    assert 53 <= len(rows) <= 55


def test_a_longer_look_only_adds_to_what_a_shorter_one_saw(address: str) -> None:
    earlier, later = look(address, "erring", 44.9)["counts"], look(address, "erring", 80.3)["counts"]
    for before, after in zip(earlier["metrics"], later["metrics"], strict=True):
        assert after["rows"][: len(before["rows"])] == before["rows"]


def test_a_restart_loses_no_more_than_what_was_not_scraped(address: str) -> None:
    rows = look(address, "restarted", 100)["counts"]["metrics"][0]["rows"]
    assert all(row[1:] == [10, 0, 30, 0] for row in rows[1:])


def test_a_gap_is_made_up_for_when_the_host_is_back(address: str) -> None:
    rows = look(address, "gap", 100)["counts"]["metrics"][0]["rows"]
    whole = look(address, "good", 100)["counts"]["metrics"][0]["rows"]
    assert max(row[1] for row in rows) == 10
    assert sum(row[1] for row in rows) == sum(row[1] for row in whole) - 5 * 20


def test_the_first_bad_answer_is_found_to_the_second(address: str) -> None:
    assert 29 <= look(address, "erring", 60)["first_bad_at"] - START <= 30.4


def test_hosts_that_are_named_are_wanted_and_others_do_not_count(address: str) -> None:
    assert "there are no figures from app9" in look(address, "good", 60, hosts=("app1", "app2", "app9"))["reason"]
    assert look(address, "stopped", 90, hosts=("app2",))["verdict"] == "promote"


def test_at_100_percent_only_the_limits_count(address: str) -> None:
    result = look(address, "everybody", 60, percent=100)
    assert result["verdict"] == "promote"
    assert "nobody is left without the feature" in result["reason"]
    assert look(address, "everybody", 60, percent=50)["verdict"] == "continue"


def test_at_100_percent_all_users_before_the_stage_are_counted(address: str) -> None:
    """The slow shop's host is slow for a tenth of its requests all the time: no worse at 100 % than before."""
    stage = arms.Stage(["search"], 100, START + 60.0, START + 110.0, 0.5, "slow", stages=2, lookback=50.0)
    counts = arms.collect(Prometheus(address, 5), stage)
    slow = counts["metrics"][1]
    assert slow["before"] == {"events": pytest.approx(49 * 40, abs=40), "bad": pytest.approx(49 * 2, abs=4)}
    assert all(row[0] >= 0 for row in slow["rows"])
    result = gate.judge({**counts, "metrics": [slow]}, SETTINGS)
    assert result["verdict"] == "continue"
    assert "before this stage it was 5" in result["reason"]


def test_one_of_two_features_without_series_holds(address: str) -> None:
    result = look(address, "good", 60, features=("search", "cart"))
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
