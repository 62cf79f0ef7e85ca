# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What the traffic lets a ramp see: traffic and manifest in, times and the refusal out; and what the plan makes of
it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import forecast
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus
from ansible_collections.gradual.rollout.plugins.modules import forecast_info
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import steps as plan_steps
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import text as plan_text

Json = dict[str, Any]
BAKE: Json = {"aa": 300, "min": 60, "max": 3600, "look": 30}
NOW = 1_780_000_000.0


def traffic(
    rate: float = 20.0,
    errors: float = 0.01,
    slow: float = 0.02,
    busiest: float | None = None,
    features: tuple[str, ...] = ("search",),
) -> list[Json]:
    common = {"rate": rate, "busiest": busiest or rate, "events": round(rate * 10_800), "seconds": 10_800}
    return [
        {"feature": feature, "metric": metric, "share": share, **common}
        for feature in features
        for metric, share in (("errors", errors), ("slow", slow))
    ]


def ramp(given: Json | None = None, bake: Json | None = None, **options: Any) -> forecast.Ramp:
    wanted = {
        "features": ["search"],
        "stages": [25, 50, 100],
        "gate": given or {},
        "bake": bake or BAKE,
        "hours": 3.0,
        "job": "application",
        **options,
    }
    return forecast_info.ramp_of(wanted, NOW)


def made(
    given: Json | None = None,
    bake: Json | None = None,
    seen: list[Json] | None = None,
    missing: tuple[str, ...] = (),
    **options: Any,
) -> Json:
    return forecast.made(ramp(given, bake, **options), traffic() if seen is None else seen, missing)


SLO = {"low_traffic": "slo", "harmless_share": 0.05}


@pytest.mark.parametrize(
    ("given", "seen", "words"),
    [
        ({}, traffic(), None),
        (
            {},
            traffic(0.2),
            [
                (
                    "search errors: 0.2 requests a second, 0.2 in the busiest ten minutes of the last 3 h, 1 % of"
                    " them bad."
                    " At 25 %"
                )
            ],
        ),
        (
            {},
            traffic(0.2),
            [
                "would need over 10 h",
                "bake.max is 1 h",
                "gate.harmless_share (the share of bad requests that is no harm) and gate.low_traffic: slo",
            ],
        ),
        ({}, traffic(2), ["At 25 % a harmless release would need ", "Write bake.max: "]),
        # Not on the average, but at noon.
        ({}, traffic(2, busiest=5), None),
        ({}, traffic(20, errors=0.0), ["none of them bad", "nothing is bad without it"]),
        ({"harmless_share": 0.05}, traffic(20, errors=0.0), ["Write gate.low_traffic: slo"]),
        ({"low_traffic": "hold"}, traffic(0.2), None),
        (SLO, traffic(20, errors=0.0), None),
        # Not while so many are slow; but if none were, which it is not for the traffic to say.
        (SLO, traffic(2, slow=0.06), None),
        (
            SLO,
            traffic(0.02, errors=0.0),
            ["At 25 % a harmless release would need", "a larger gate.harmless_share than 0.05"],
        ),
    ],
)
def test_a_ramp_that_cannot_be_certified_is_refused(given: Json, seen: list[Json], words: list[str] | None) -> None:
    problems = made(given, seen=seen)["problems"]
    assert len(problems) == (0 if words is None else 1)
    for word in words or []:
        assert word in problems[0]


def test_the_worst_is_told_and_that_there_is_more() -> None:
    found = made(
        seen=[*traffic(2, features=("search",)), *traffic(0.2, features=("cart",))], features=["search", "cart"]
    )["problems"]
    assert found[0].startswith("The traffic cannot carry this ramp. cart ")
    assert found[0].endswith("more of its metrics and stages do not reach it either")


def test_the_time_that_is_advised_suffices() -> None:
    told = made(seen=traffic(2))["problems"][0]
    advised = int(told.partition("bake.max: ")[2].partition(" ")[0])
    assert made(bake={**BAKE, "max": advised}, seen=traffic(2))["problems"] == []


def test_minutes_of_traffic_are_too_little_to_refuse_a_ramp_for() -> None:
    brief = [{**each, "seconds": 599} for each in traffic(0.2)]
    found = made(seen=brief)
    assert found["problems"] == []
    assert found["notes"][0].endswith(
        "less than 10 min, too little to refuse the ramp for: search errors, search slow answers"
    )


def test_without_traffic_nothing_is_refused_and_the_plan_says_so() -> None:
    found = made(
        seen=[], missing=("search: nobody has asked for it in the last 3 h, so nothing is known of its traffic",)
    )
    assert (found["problems"], [stage["certify"] for stage in found["stages"]]) == ([], [None] * 3)
    assert "it is not known how long a stage takes" in found["notes"][0]


def test_at_100_percent_nobody_is_left_to_compare_with() -> None:
    found = made()
    last = found["stages"][2]
    assert (last["control"], {each["harm"] for each in last["metrics"]}) == (False, {None})
    assert last["certify"] is not None
    assert any(
        "nobody is left without the features" in note and "with all users in the 1 h before" in note
        for note in found["notes"]
    )
    assert any("a share of bad requests under 5 %, or" in note for note in made(SLO)["notes"])


def test_a_holdback_keeps_a_control() -> None:
    found = made({"holdback": 10}, seen=traffic(100))
    assert all(stage["control"] for stage in found["stages"])
    assert None not in {each["harm"] for each in found["stages"][2]["metrics"]}
    assert not any("nobody is left" in note for note in found["notes"])


def test_harm_has_the_alpha_that_the_gate_gives_it() -> None:
    """More features and later stages leave less for each."""
    alone = made(seen=traffic(60))["stages"][0]["metrics"][0]["harm"]
    many = made(seen=traffic(60), features=["search", "cart", "pay", "gift", "wish"])["stages"][0]["metrics"][0]["harm"]
    weighed = made({"metrics": [{"name": "slow", "weight": 0.01}]}, seen=traffic(60))["stages"][0]["metrics"][0]["harm"]
    assert weighed <= alone < many


def test_business_counters_are_told_as_unknown() -> None:
    orders = {"name": "orders", "counter": "feature_orders_total", "harm": "fewer"}
    assert "orders: how long business counters take is not forecast" in made({"metrics": [orders]})["not_measured"]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        ({"low_traffic": "dare"}, {}, "gate.low_traffic is 'dare'; write refuse, slo or hold"),
        ({"low_traffic": "slo"}, {}, "gate.harmless_share is not declared"),
        ({}, {"hours": 0.0}, "hours is 0; write a number above 0"),
        ({"margin": 1}, {}, "margin is 1"),
    ],
)
def test_settings_that_cannot_be_used_are_named(given: Json, options: Json, told: str) -> None:
    with pytest.raises(gate_verdict.GateError, match=told):
        made(given, **options)


def test_a_prometheus_that_does_not_answer_is_nothing_measured() -> None:
    found = forecast.forecast(Prometheus("http://127.0.0.1:9"), ramp())
    assert (found["problems"], found["traffic"]) == ([], [])
    assert "does not answer" in found["not_measured"][0]


def test_a_forecast_is_json_without_nan() -> None:
    json.dumps([made(), made(seen=[]), made(seen=traffic(1e-6)), made(seen=traffic(1e7, 1.0, 1.0))], allow_nan=False)


MANIFEST: Json = {
    "application": "storefront",
    "version": "2.0.0",
    "features": [{"flag": "search"}],
    "stages": [25, 50, 100],
    "bake": BAKE,
}


def planned(found: Json, **more: Any) -> dict[str, Json]:
    return {plan_text.name_of(row): row for row in plan_steps.make(MANIFEST, ["app1"], forecast=found, **more)}


def test_a_stage_is_expected_to_take_what_it_takes_to_certify_it() -> None:
    found = made(seen=traffic(10))
    for name, stage in zip(("ramp 25 %", "ramp 50 %", "ramp 100 %"), found["stages"]):
        row = planned(found, durations={"ramp": 9000})[name]
        assert (row["expected_seconds"], row["source"]) == (max(60, stage["certify"]) + 15, "traffic")
        assert row["power"]["metrics"][0]["rate"] == 10
        assert row["power"]["certify"] == stage["certify"]
    assert planned(made(seen=traffic(1e5)))["ramp 25 %"]["expected_seconds"] == 75
    assert planned(made({"low_traffic": "hold"}, seen=traffic(1.5)))["ramp 25 %"]["expected_seconds"] == 3615


@pytest.mark.parametrize("seen", [[], traffic(0.01)])
def test_what_is_not_known_is_as_without_a_forecast(seen: list[Json]) -> None:
    row = planned(made({"low_traffic": "hold"}, seen=seen))["ramp 25 %"]
    assert (row["expected_seconds"], row["source"]) == (75, "manifest")
    assert "power" not in planned({})["ramp 25 %"]
    assert "power" not in planned(made())["ramp A/A"]


def shown(found: Json) -> str:
    return plan_text.render(plan_steps.make(MANIFEST, ["app1"], forecast=found), MANIFEST)


def test_the_plan_shows_the_times() -> None:
    text = shown(made(SLO, seen=traffic(10, errors=0.001)))
    assert "AT THE TRAFFIC OF THE LAST 3 H  (until 2026-05-28 20:26 UTC; each time with a chance of 80 %)" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "stage metric requests bad 2 times as bad: stopped harmless: certified" in lines
    assert any(
        line.startswith("25 % search errors 10/s 0.1 % not in 10 h in ") and line.endswith("by its share")
        for line in lines
    )
    assert any(line.startswith("100 % search slow answers 10/s 2 % nobody to compare with in ") for line in lines)
    assert max(map(len, text.splitlines())) <= plan_text.WIDTH


def test_the_plan_shows_what_was_not_measured() -> None:
    text = " ".join(shown(made(seen=[], missing=("search: nobody has asked for it",))).split())
    assert "- not measured: search: nobody has asked for it - Where no traffic was measured" in text
    assert "harmless: certified" not in text
    assert "AT THE TRAFFIC" not in shown({})
