"""The traffic of the last hours from a real Prometheus that remembers it, and the refusal of a ramp that it cannot
carry."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import baseline_traffic, forecast
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus
from ansible_collections.gradual.rollout.plugins.modules import forecast_info

from .history import START, History, arm, prometheus

SECONDS = 3600
Json = dict[str, t.Any]


def usual(second: int) -> dict[str, float]:
    """Four users a second of search, one of them with the feature, where far more fails; a restart after twenty
    minutes."""
    often = arm("search", "off", 3, 1 if second % 20 == 0 else 0, 1 if second % 10 == 0 else 0)
    return often | arm("search", "on", 1, 1 if second % 2 == 0 else 0) | ({"up": 0.0} if second == 1200 else {})


def night(second: int) -> dict[str, float]:
    """Nobody for half an hour, then two users a second, and four for the last ten minutes."""
    return arm("search", "off", 0 if second < 1800 else 4 if second >= 3000 else 2, 0, 0)


def deployed(second: int) -> dict[str, float] | None:
    """Runs for five minutes only."""
    return arm("search", "off", 6, 1 if second % 60 == 0 else 0) if 600 <= second < 900 else None


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    folder: pathlib.Path = tmp_path_factory.mktemp("forecast")
    history = History()
    history.host("usual", "app1", usual, SECONDS)
    history.host("usual", "app2", usual, SECONDS, shift=0.4)
    history.host("night", "app1", night, SECONDS)
    history.host("deployed", "app1", deployed, SECONDS, first=arm("search", "off", 0))
    history.host("idle", "app1", lambda _second: arm("search", "off", 0), SECONDS)
    history.write(folder)
    with prometheus(folder) as url:
        yield url


def read(
    address: str, job: str, features: tuple[str, ...] = ("search",), slow_seconds: float = 0.5
) -> tuple[dict[tuple[str, str], Json], list[str]]:
    window = baseline_traffic.Window(features, START, START + SECONDS - 1.0, slow_seconds, job)
    traffic, missing = baseline_traffic.read(Prometheus(address), window)
    return {(each["feature"], each["metric"]): each for each in traffic}, missing


def test_all_variants_make_the_traffic_and_those_without_the_feature_the_share(address: str) -> None:
    found, missing = read(address, "usual")
    errors, slow = found["search", "errors"], found["search", "slow"]
    assert missing == []
    assert (errors["rate"], slow["rate"]) == (pytest.approx(8, rel=0.02), pytest.approx(8, rel=0.02))
    assert errors["events"] == pytest.approx(8 * SECONDS, rel=0.02)
    assert errors["share"] == pytest.approx(1 / 60, rel=0.03)
    assert slow["share"] == pytest.approx(1 / 30, rel=0.03)


def test_hours_in_which_nobody_came_are_left_out(address: str) -> None:
    errors = read(address, "night")[0]["search", "errors"]
    assert errors["rate"] == pytest.approx((2 * 1200 + 4 * 600) / 1800, rel=0.03)
    assert errors["busiest"] == pytest.approx(4, rel=0.03)
    assert (errors["share"], errors["seconds"]) == (0.0, pytest.approx(1800, rel=0.03))


def test_a_release_that_ran_for_minutes_has_the_traffic_of_these(address: str) -> None:
    errors = read(address, "deployed")[0]["search", "errors"]
    assert errors["rate"] == pytest.approx(6, rel=0.1)
    assert errors["share"] == pytest.approx(1 / 360, rel=0.4)


def test_what_nobody_asked_for_is_not_measured(address: str) -> None:
    found, missing = read(address, "usual", ("search", "cart"))
    assert {feature for feature, _metric in found} == {"search"}
    assert missing == ["cart: nobody has asked for it in the last 1 h, so nothing is known of its traffic"]
    assert read(address, "idle") == (
        {},
        ["search: nobody has asked for it in the last 1 h, so nothing is known of its traffic"],
    )
    found, missing = read(address, "usual", slow_seconds=0.3)
    assert (list(found), missing) == (
        [("search", "errors")],
        ["search slow: feature_request_duration_seconds has no bucket le=0.3; write another gate.slow_seconds"],
    )


def forecast_of(address: str, job: str, gate: Json, bake: Json) -> Json:
    options = {
        "features": ["search"],
        "stages": [25, 50, 100],
        "gate": gate,
        "bake": {"look": 10, **bake},
        "hours": 0.999,
        "job": job,
    }
    return forecast.forecast(Prometheus(address), forecast_info.ramp_of(options, START + SECONDS - 1.0))


@pytest.mark.parametrize(
    ("job", "gate", "bake", "refused"),
    [
        ("usual", {}, {"aa": 300, "min": 60, "max": 3600}, None),
        ("usual", {}, {"aa": 300, "min": 60, "max": 120}, "requests a second, 8 in the busiest ten minutes"),
        ("usual", {"low_traffic": "hold"}, {"aa": 300, "min": 60, "max": 120}, None),
        ("usual", {"low_traffic": "slo", "harmless_share": 0.05}, {"aa": 30, "min": 30, "max": 120}, None),
        (
            "usual",
            {"low_traffic": "slo", "harmless_share": 0.01},
            {"aa": 30, "min": 30, "max": 60},
            "a larger gate.harmless_share than 0.01",
        ),
        ("night", {}, {"aa": 300, "min": 60, "max": 3600}, "none of them bad"),
        # Too short to tell what will come.
        ("deployed", {}, {"aa": 300, "min": 60, "max": 60}, None),
        ("idle", {}, {"aa": 300, "min": 60, "max": 60}, None),
    ],
)
def test_a_ramp_is_refused_when_the_traffic_cannot_carry_it(
    address: str, job: str, gate: Json, bake: Json, refused: str | None
) -> None:
    found = forecast_of(address, job, gate, bake)
    json.dumps(found, allow_nan=False)
    assert bool(found["problems"]) == (refused is not None)
    assert (refused or "") in " ".join(found["problems"])
    assert bool(found["not_measured"]) == (job == "idle")
