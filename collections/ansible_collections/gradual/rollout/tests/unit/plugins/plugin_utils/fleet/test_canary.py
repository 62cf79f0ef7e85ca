"""What the first host of a release is compared with: hosts that serve users on the code before, and when."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import sentences
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch, stamp
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.canary import canary_look, canary_watch

NOON = epoch("2026-01-01T12:00:00.000Z")
OLD, NEW = {"version": "1", "digest": "1" * 64}, {"version": "2", "digest": "2" * 64}
METRICS = [{"name": "orders", "counter": "feature_orders_total"}, {"name": "slow", "role": "signal"}]


def host(before: Any = OLD, now: str = "untouched", **more: Any) -> dict[str, Any]:
    return {"before": before, "now": now, "to": None, "drained": False, **more}


def rollout(canary: int = 300, look: int = 30, started: str | None = stamp(NOON), **hosts: Any) -> dict[str, Any]:
    manifest = {
        "artifact": {"sha256": NEW["digest"]},
        "bake": {"canary": canary, "look": look},
        "gate": {"metrics": METRICS},
    }
    known = {"app1": host(now="released"), "app2": host(), "app3": host(), **hosts}
    return {"manifest": manifest, "hosts": known, "steps": {"release": {"started": started}} if started else {}}


def servers(**states: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "state": state}
        for name, state in {"app1": "ready", "app2": "ready", "app3": "ready", **states}.items()
    ]


def test_the_others_are_the_control() -> None:
    watch = canary_watch(rollout(), "app1", [servers()])
    assert (watch["host"], watch["control"], watch["percent"], watch["reason"]) == ("app1", ["app2", "app3"], 33, None)
    assert [entry["name"] for entry in watch["metrics"]] == ["slow"]


@pytest.mark.parametrize(
    ("hosts", "balancers", "control", "reason"),
    [
        ({"app2": host(now="lost")}, [servers()], ["app3"], None),
        ({"app2": host(now="released")}, [servers()], ["app3"], None),
        ({"app2": host(now="returned")}, [servers()], ["app2", "app3"], None),
        ({"app2": host(before=NEW), "app3": host(before=None)}, [servers()], [], "no other host runs the code before"),
        (
            {"app2": host(before={"version": None, "digest": None}), "app3": host(before=NEW)},
            [servers()],
            [],
            "no other host runs the code before",
        ),
        ({}, [servers(app2="drained")], ["app3"], None),
        ({}, [servers(), servers(app3="down")], ["app2"], None),
        (
            {},
            [servers(app2="down", app3="maintenance")],
            [],
            "app2, app3 would be the control of app1 and get no traffic",
        ),
        ({}, [], [], "get no traffic"),
    ],
)
def test_only_hosts_that_serve_users_on_the_code_before(
    hosts: dict[str, Any], balancers: Any, control: list[str], reason: str | None
) -> None:
    watch = canary_watch(rollout(**hosts), "app1", balancers)
    assert watch["control"] == control
    assert reason is None or reason in watch["reason"]
    assert (watch["reason"] is None) == bool(control)


def test_a_fleet_of_one_host_has_no_control() -> None:
    state = rollout()
    state["hosts"] = {"app1": host(now="released")}
    watch = canary_watch(state, "app1", [[{"name": "app1", "state": "ready"}]])
    assert (watch["control"], watch["reason"][:32]) == ([], "no other host runs the code befo")


@pytest.mark.parametrize(("canary", "seconds"), [(300, 900), (20, 300)])
def test_the_time_before_ends_before_the_release_has_touched_a_host(canary: int, seconds: int) -> None:
    assert canary_watch(rollout(canary), "app1", [servers()])["aa"] == {"since": NOON - seconds, "until": NOON}
    assert canary_watch(rollout(canary, started=None), "app1", [servers()])["aa"] is None
    assert canary_watch(rollout(canary, started="noon"), "app1", [servers()])["aa"] is None


@pytest.mark.parametrize(("canary", "look", "wanted"), [(300, 30, 30), (20, 30, 10), (1, 30, 1), (20, 5, 5)])
def test_the_gate_can_use_the_settings_and_looks_twice_at_least(canary: int, look: int, wanted: int) -> None:
    watch = canary_watch(rollout(canary, look), "app1", [servers()])
    settings = gate_verdict.settings_from({}, watch["bake"])
    assert (settings.min, settings.deadline, settings.look) == (canary, 1.5 * canary, wanted)


def counts(
    canary: list[int], control: list[int], seconds: int = 300, aa: list[list[int]] | None = None
) -> dict[str, Any]:
    """A look at hosts: (events, bad) of both in every interval of 10 s, and before."""
    rows = [[10.0 * place, *canary, *control] for place in range(seconds // 10)]
    metric = {
        "feature": "release",
        "metric": "errors",
        "kind": "errors",
        "harm": "more",
        "role": "guardrail",
        "weight": 1.0,
        "problem": None,
    }
    before = [[10.0 * place, *row] for place, row in enumerate(aa or [])]
    return {
        "percent": 33, "stage": 0, "stages": [33], "cohorts": "hosts", "since": NOON, "until": NOON + seconds,
        "interval": 10.0, "problems": [],
        "metrics": [{**metric, "aa": before, "rows": rows}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("canary", "control", "aa", "verdict"),
    [
        ([200, 10], [400, 2], None, "abort"),
        ([200, 10], [400, 2], [[200, 10, 400, 2]] * 60, "promote"),  # it was no better on the code before
        ([200, 0], [400, 0], [[200, 0, 400, 0]] * 60, "continue"),  # no harm, and too little to certify: go on
        ([200, 2], [400, 4], [[200, 2, 400, 4]] * 60, "promote"),
    ],
)
def test_harm_is_looked_for_and_nothing_has_to_be_certified(
    canary: list[int], control: list[int], aa: Any, verdict: str
) -> None:
    settings = gate_verdict.settings_from({}, canary_watch(rollout(), "app1", [servers()])["bake"])
    judged = gate_verdict.judge(counts(canary, control, aa=aa), settings)
    assert (judged["verdict"], judged["deadline_passed"]) == (verdict, False)
    if verdict == "abort":
        assert judged["reason"].startswith(
            "release errors on the new code 5 % of 6,000, on the old code 0.5 % of 12,000: at least"
        )


def test_a_canary_that_gets_another_part_of_the_requests_than_before_is_a_hold() -> None:
    settings = gate_verdict.settings_from({}, canary_watch(rollout(), "app1", [servers()])["bake"])
    judged = gate_verdict.judge(counts([40, 0], [400, 0], aa=[[200, 0, 400, 0]] * 60), settings)
    assert judged["verdict"] == "hold"
    assert (
        "9.1 % of the requests are on the new code where 33.3 % should be: a host that was out of traffic"
        in judged["reason"]
    )


@pytest.mark.parametrize(("seconds", "passed"), [(300, False), (449, False), (450, True)])
def test_nothing_known_is_a_hold_until_half_as_long_again(seconds: int, passed: bool) -> None:
    settings = gate_verdict.settings_from({}, canary_watch(rollout(), "app1", [servers()])["bake"])
    judged = gate_verdict.judge(
        {**counts([1, 0], [1, 0], seconds), "problems": ["app2 has not been scraped for 40 s"]}, settings
    )
    assert (judged["verdict"], judged["deadline_passed"]) == ("hold", passed)


def test_the_arms_are_named_by_what_they_are() -> None:
    metric = {"metric": "slow", "treatment": {"events": 100, "bad": 3}, "control": {"events": 200, "bad": 1}, "why": ""}
    assert (
        sentences.arms({**metric, "feature": "search"})
        == "search slow answers with the feature 3 % of 100, without it 0.5 % of 200"
    )
    assert (
        sentences.arms({**metric, "feature": "release"})
        == "release slow answers on the new code 3 % of 100, on the old code 0.5 % of 200"
    )


GOOD = counts([200, 0], [400, 0], aa=[[200, 0, 400, 0]] * 60)
BAD = counts([200, 10], [400, 2])


def serving(state: str = "ready", status: str = "UP", check: str = "L7OK") -> list[dict[str, Any]]:
    return [
        {"name": "app1", "state": state, "status": status, "check": check, "up": (state, status) == ("ready", "UP")},
        *servers()[1:],
    ]


def looked(seen: dict[str, Any], balancers: dict[str, Any]) -> dict[str, Any]:
    settings = dataclasses.asdict(gate_verdict.settings_from({}, canary_watch(rollout(), "app1", [servers()])["bake"]))
    return canary_look({"counts": seen, "settings": settings, "verdict": "as it was"}, "app1", balancers, {})


@pytest.mark.parametrize(
    ("balancers", "seen", "verdict", "reason"),
    [
        ({"lb1": serving(), "lb2": serving()}, GOOD, "continue", "release errors on the new code"),
        (
            {"lb1": serving("down", "DOWN", "L7STS/503")},
            GOOD,
            "abort",
            "app1 gets no users from lb1: it is DOWN, its check says L7STS/503",
        ),
        (
            {"lb1": serving(), "lb2": serving("down", "DOWN 1/2")},
            GOOD,
            "abort",
            "app1 gets no users from lb2: it is DOWN 1/2",
        ),
        (
            {"lb1": serving(), "lb2": serving("maintenance", "MAINT", "none")},
            GOOD,
            "hold",
            "app1 gets no users from lb2: it is MAINT",
        ),
        ({"lb1": serving("ready", "UP 1/2")}, GOOD, "hold", "app1 gets no users from lb1: it is UP 1/2"),
        ({"lb1": servers()[1:]}, GOOD, "hold", "app1 gets no users from lb1: it is not in the backend"),
        ({}, GOOD, "hold", "no balancer was asked whether app1 gets users"),
        ({"lb1": serving()}, BAD, "abort", "release errors on the new code 5 % of 6,000"),
        (
            {"lb1": serving("down", "DOWN", "L4CON")},
            BAD,
            "abort",
            "app1 gets no users from lb1: it is DOWN, its check says L4CON; release errors",
        ),
        ({"lb1": serving("drained", "DRAIN")}, BAD, "abort", "release errors on the new code 5 % of 6,000"),
    ],
)
def test_a_canary_without_users_is_never_without_harm(
    balancers: dict[str, Any], seen: dict[str, Any], verdict: str, reason: str
) -> None:
    look = looked(seen, balancers)
    assert (look["verdict"], look["reason"][: len(reason)]) == (verdict, reason)
    again = gate_verdict.judge_again(look)
    assert (again["verdict"], again["reason"]) == (look["verdict"], look["reason"]), "the record gives the same verdict"


def test_what_the_code_before_does_not_count_is_not_compared() -> None:
    counted = [{"item": "http_requests_total", "state": "ok"}, {"item": "GET /healthz", "state": "missing"}]
    uncounted = [{"item": "http_requests_total", "state": "missing"}]
    assert canary_watch(rollout(), "app1", [servers()], [counted, counted])["control"] == ["app2", "app3"]
    watch = canary_watch(rollout(), "app1", [servers()], [counted, uncounted])
    assert watch["control"] == []
    assert watch["reason"].startswith("not measured: the release before the rollout lacks http_requests_total")
