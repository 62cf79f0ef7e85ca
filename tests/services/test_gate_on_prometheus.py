"""Looks at a real Prometheus: each way in which data can be missing has its own sentence, and none is a pass."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import fold, unfold
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

from .history import START
from .shops import ORDERS, SCENARIOS, Json, counted, recorded

SETTINGS = gate_verdict.settings_from({"harmless_share": 0.01}, {"min": 20, "max": 90, "look": 10})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with recorded(tmp_path_factory.mktemp("prometheus")) as url:
        yield url


def look(address: str, job: str, at: float, percent: int = 25, **more: t.Any) -> Json:
    counts = counted(address, job, at, percent, **more)
    return {**gate_verdict.judge(counts, SETTINGS), "counts": counts}


@pytest.mark.parametrize(
    ("job", "at", "verdict", "word"),
    [
        ("good", 6, "continue", ""),
        ("good", 20, "continue", ""),
        ("good", 60, "promote", ""),
        ("erring", 29, "continue", ""),
        ("erring", 45, "abort", "search errors with the feature"),
        ("slow", 40, "abort", "search slow answers with the feature"),
        ("incident", 55, "hold", "those without it are near the hard limit of 20 % or over it too"),
        ("incident", 90, "promote", "less than 2 times as bad"),
        ("restarted", 90, "promote", ""),
        ("gap", 50, "hold", "app1 has not been scraped for 11 s"),
        ("gap", 90, "promote", ""),
        ("missed", 90, "promote", ""),
        ("missed-everywhere", 90, "promote", ""),
        (
            "no-number",
            45.9,
            "hold",
            'feature_requests_total{feature="search",variant="on",outcome="error"} is no number on app1 at',
        ),
        ("no-number", 90, "promote", ""),
        ("asleep", 90, "promote", ""),
        ("asleep-for-long", 60, "hold", "Prometheus has taken no samples for 21 s"),
        ("stopped", 52, "promote", ""),
        ("stopped", 56, "hold", "app1 has not been scraped for 7 s"),
        ("never", 60, "hold", "Prometheus cannot scrape app1"),
        ("stopped", 90, "hold", "app1 has not been scraped"),
        ("all-stopped", 90, "hold", "app2 has not been scraped"),
        (
            "no-error-series",
            60,
            "hold",
            'no series feature_requests_total{feature="search",variant="on",outcome="error"} on app1',
        ),
        (
            "no-bucket",
            60,
            "hold",
            'no series feature_request_duration_seconds_bucket{feature="search",variant="on",le="0.5"} on app1, app2',
        ),
        ("no-control", 60, "hold", 'variant="off"'),
        (
            "another-host",
            60,
            "hold",
            'no series feature_requests_total{feature="search",variant="on",outcome="ok"} on app2',
        ),
        ("idle", 60, "continue", ""),
        ("idle", 100, "hold", ""),
        ("nobody", 60, "hold", "no series feature_requests_total"),
    ],
)
def test_verdict_of_a_look(address: str, job: str, at: float, verdict: str, word: str) -> None:
    result = look(address, job, at)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


@pytest.mark.parametrize(
    ("job", "at", "options", "verdict", "word"),
    [
        ("calibrated", 85, {"since": 55}, "abort", "search errors with the feature 20 % of"),
        (
            "calibrated",
            85,
            {"since": 55, "aa": (START + 10.0, START + 45.0)},
            "continue",
            "2 times as bad is still possible",
        ),
        (
            "good",
            60,
            {"aa": (START - 900.0, START - 800.0)},
            "hold",
            "so what the arms differed by before is not known",
        ),
        (
            "ordering",
            60,
            {"metrics": [ORDERS]},
            "hold",
            "times fewer, the chance of saying so of a harmless release is under 5 %; a signal only",
        ),
        (
            "ordering",
            60,
            {"metrics": [{**ORDERS, "role": "guardrail"}]},
            "abort",
            "search orders with the feature 20 % of",
        ),
        (
            "ordering",
            60,
            {"metrics": [{**ORDERS, "harm": "more"}]},
            "promote",
            "orders 20 % and 100 %: harm is excluded",
        ),
        (
            "canary",
            60,
            {"features": (), "cohorts": "hosts", "treatment_hosts": ["app1"], "control_hosts": ["app2", "app3"]},
            "abort",
            "release errors",
        ),
    ],
)
def test_verdict_of_a_look_with_options(
    address: str, job: str, at: float, options: Json, verdict: str, word: str
) -> None:
    result = look(address, job, at, **options)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


def test_the_first_bad_answer_is_found_to_the_second(address: str) -> None:
    assert 29 <= look(address, "erring", 60)["first_bad_at"] - START <= 30.4


def test_at_100_percent_only_the_limits_count(address: str) -> None:
    assert look(address, "everybody", 60, percent=100)["verdict"] == "promote"
    assert (
        "100 % of the requests are with the feature where 50 % should be"
        in look(address, "everybody", 60, percent=50)["reason"]
    )


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
        again = gate_verdict.judge_again({"counts": result["counts"], "settings": vars(SETTINGS)})
        assert again == {key: value for key, value in result.items() if key != "counts"}


@pytest.mark.parametrize("job", SCENARIOS)
def test_looks_that_go_on_from_the_one_before_see_what_a_look_at_everything_sees(address: str, job: str) -> None:
    options: Json = {"features": ["search"]}
    if job == "canary":
        options = {"features": (), "cohorts": "hosts", "treatment_hosts": ["app1"], "control_hosts": ["app2", "app3"]}
    client, past, before, recorded = Prometheus(address, 5), None, None, None
    for at in (20, 45, 55, 56, 70, 90, 118):
        stage = Stage(percent=25, since=START + 5.2, until=START + at, slow_seconds=0.5, job=job, **options)
        whole, _past = gate_look.look(client, stage, SETTINGS)
        seen, past = gate_look.look(client, stage, SETTINGS, past)
        recorded = unfold(fold(seen, before), recorded)
        before = seen
        assert recorded == whole
    assert past is not None or job in ("never", "nobody")
