# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The items of the application contract, as tables: what an application answered, and what is said of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.application import asking, contract, metrics_text
from ansible_collections.gradual.rollout.plugins.module_utils.application.contract import Expected, Reply, Seen
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics as gate_metrics

METRICS = """\
# HELP http_requests_total Requests.
http_requests_total{method="GET",route="/",status="200"} 7
http_requests_total{method="GET",route="gradual-probe",status="200"} %d
http_request_duration_seconds_bucket{route="/",le="0.5"} 7
http_request_duration_seconds_bucket{route="/",le="+Inf"} 7
http_request_duration_seconds_count{route="/"} 7
http_request_duration_seconds_count{route="gradual-probe"} 3
feature_requests_total{feature="search",variant="on",outcome="ok"} 0
feature_requests_total{feature="search",variant="on",outcome="error"} 0
feature_requests_total{feature="search",variant="off",outcome="ok"} 5
feature_requests_total{feature="search",variant="off",outcome="error"} 0
feature_request_duration_seconds_bucket{feature="search",variant="on",le="0.5"} 0
feature_request_duration_seconds_bucket{feature="search",variant="off",le="0.5"} 5
feature_flag_revision{flag="search",pid="1"} 3
feature_flag_revision{flag="search",pid="2"} 3
feature_flag_share{flag="search",pid="1"} 0
feature_flag_share{flag="search",pid="2"} 0
feature_evaluations_total{flag="search"} 5
feature_feedback_total{feature="search",variant="on",opinion="good"} 0
feature_feedback_total{feature="search",variant="on",opinion="bad"} 0
feature_feedback_total{feature="search",variant="off",opinion="good"} 0
feature_feedback_total{feature="search",variant="off",opinion="bad"} 0
feature_orders_total{feature="search",variant="on"} 0
feature_orders_total{feature="search",variant="off"} 0
"""
SEARCH = Expected(features=("search",), application="shop", release="2", digest="d")
CODE = Expected(features=())


def answer(body: Any, status: int = 200, seconds: float = 0.01) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status, {}, text.encode(), seconds)


def features(*values: Any) -> list[Reply]:
    return [answer({"features": {"search": value}}) for value in values]


WHOLE = Seen(
    health=answer("ok"),
    ready=answer("ok"),
    version=answer({"application": "shop", "release": "2", "digest": "d"}),
    metrics=answer(METRICS % 3),
    metrics_after=answer(METRICS % 9),
    users={"a": features(True, True), "b": features(False, False)},
)
NOT_FOUND = answer("not found", 404)


def without(*beginnings: str) -> dict[str, Any]:
    kept = [line for line in (METRICS % 9).splitlines() if not line.startswith(beginnings)]
    return {"metrics_after": answer("\n".join(kept))}


def wrong(expected: Expected = SEARCH, **answers: Any) -> list[dict[str, Any]]:
    return [each for each in contract.judge(dataclasses.replace(WHOLE, **answers), expected) if each["state"] != "ok"]


def test_an_application_with_every_item_lacks_nothing() -> None:
    assert wrong() == []
    assert contract.refusal(contract.judge(WHOLE, SEARCH), "it") is None
    assert contract.table(contract.judge(WHOLE, SEARCH))[-1].startswith("16 items: 16 ok")


@pytest.mark.parametrize(
    ("answers", "item", "severity", "state", "got"),
    [
        ({"health": NOT_FOUND}, "GET /healthz", "must", "missing", "status 404"),
        ({"ready": answer("", 503)}, "GET /readyz", "must", "wrong", "status 503"),
        ({"ready": answer("ok", seconds=1.4)}, "GET /readyz", "less", "slow", "an answer after 1.4 s"),
        ({"version": "refused"}, "GET /version", "must", "missing", "refused"),
        ({"version": answer("2.0")}, "GET /version", "must", "wrong", "no JSON object: 2.0"),
        ({"version": answer([])}, "GET /version", "must", "wrong", "no JSON object: []"),
        (
            {"version": answer({"application": "shop", "release": "1", "digest": "d"})},
            "GET /version",
            "must",
            "wrong",
            "release '1'",
        ),
        (
            {"version": answer({"application": "shop", "release": "2"})},
            "GET /version",
            "must",
            "wrong",
            'no digest in {"application": "shop", "release": "2"}',
        ),
        ({"metrics_after": answer(METRICS % 9 + "<p>\n")}, "GET /metrics", "must", "wrong", "1 lines that are no"),
        (without("http_requests_total"), "http_requests_total", "less", "missing", "no series"),
        (
            without("http_request_duration_seconds"),
            "http_request_duration_seconds",
            "less",
            "missing",
            "no series",
        ),
        (
            without('feature_requests_total{feature="search",variant="on",outcome="error"'),
            "feature_requests_total",
            "must",
            "missing",
            'no series with feature="search",variant="on",outcome="error"',
        ),
        (
            {"metrics_after": answer((METRICS % 9).replace('le="0.5"', 'le="0.25"'))},
            "feature_request_duration_seconds",
            "must",
            "wrong",
            "buckets 0.25",
        ),
        (
            {"metrics_after": answer((METRICS % 9).replace('variant="', 'arm="'))},
            "feature_orders_total",
            "less",
            "wrong",
            "no label variant",
        ),
        (
            without('feature_flag_share{flag="search",pid="2"'),
            "feature_flag_share",
            "must",
            "missing",
            'no series with flag="search" of the processes 2',
        ),
        ({"metrics_after": answer(METRICS % 3)}, "route gradual-probe", "less", "wrong", "the counter stays at 3"),
        ({"users": {"a": [NOT_FOUND]}}, "GET /api/features", "less", "missing", "status 404"),
        ({"users": {"a": features(1, 1)}}, "GET /api/features", "must", "wrong", "no true or false for search"),
        ({"users": {"a": [answer("[]")]}}, "GET /api/features", "must", "wrong", 'no object "features": []'),
        (
            {"users": {"a": features(True, False), "b": features(True, True)}},
            "same user, same answer",
            "must",
            "wrong",
            "different answers for 1 of 2 users",
        ),
    ],
)
def test_an_item_that_is_missing_wrong_or_slow(
    answers: dict[str, Any], item: str, severity: str, state: str, got: str
) -> None:
    found = {each["item"]: each for each in wrong(**answers)}
    assert (found[item]["severity"], found[item]["state"]) == (severity, state)
    assert found[item]["got"].startswith(got)
    assert all(found[item][key] for key in ("add", "consequence"))


def test_without_features_nothing_about_them_is_asked_and_metrics_are_no_must() -> None:
    assert wrong(CODE, metrics=NOT_FOUND, metrics_after=NOT_FOUND, users={}) != []
    assert {each["severity"] for each in wrong(CODE, metrics_after=NOT_FOUND, users={})} == {"less"}
    assert not any("feature" in each["item"] for each in contract.judge(WHOLE, CODE))


def test_the_features_are_those_that_the_metrics_name_unless_they_are_given() -> None:
    assert wrong(Expected()) == []
    assert any("search" in each["add"] for each in wrong(Expected(), **without("feature_orders_total")))
    missing = [each["item"] for each in wrong(Expected(features=("cart",)), users={"a": features(True, True)})]
    assert {"feature_requests_total", "GET /api/features"} <= set(missing)


@pytest.mark.parametrize("family", metrics_text.FAMILIES, ids=lambda family: family.name)
def test_the_line_to_add_is_one_that_is_accepted(family: metrics_text.Family) -> None:
    """Of each metric, with all of its label values."""
    page = metrics_text.read(METRICS % 9)
    line = family.line(0.5, {"feature": "search", "flag": "search"})
    assert metrics_text.read(line).broken == []
    assert set(family.labels) <= set(metrics_text.read(line).samples[0][1])
    assert family.judge(page, ["search"], 0.5)[0] == "ok"


def test_what_a_canary_is_compared_by() -> None:
    assert contract.compares_hosts(contract.judge(WHOLE, SEARCH))
    assert not contract.compares_hosts(contract.judge(dataclasses.replace(WHOLE, **without("http_req")), SEARCH))


def test_a_note_names_the_hosts_of_an_item_once() -> None:
    lacking = wrong(health=NOT_FOUND)
    notes = contract.contract_notes(
        {
            "app1": {"application_contract": lacking},
            "app2": {"application_contract": lacking},
            "app3": {"application_contract": contract.judge(WHOLE, SEARCH)},
            "db1": {},
        }
    )
    assert len(notes) == 1
    assert notes[0].startswith("app1, app2: GET /healthz is missing: got status 404")


def test_the_paths_are_those_of_the_gate_unless_others_are_given() -> None:
    assert set(gate_metrics.PLATFORM) == {path for name, path in contract.PATHS.items() if name != "features"}
    given = {"features": None, "slow_seconds": 0.5, "paths": {"ready": "/status"}}
    assert asking.expected_of(given).paths == {**contract.PATHS, "ready": "/status"}


def test_paths_that_differ_replace_those_of_the_contract() -> None:
    paths = contract.contract_paths({"ready": "/status/ready", "health": ""})
    assert (paths["ready"], paths["health"], paths["features"]) == ("/status/ready", "/healthz", "/api/features")
    assert contract.internal_paths(paths) == ["healthz", "status", "version", "metrics"]


def test_a_misspelt_path_is_named() -> None:
    with pytest.raises(ValueError, match=r"application_paths: got redy, expected any of health, ready, "):
        contract.contract_paths({"redy": "/status"})
