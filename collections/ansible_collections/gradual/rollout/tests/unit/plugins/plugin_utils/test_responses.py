# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The responses that respond.yml carries out: a delivery and the ledger in, responses and events out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.plugin_utils.responses import responses_due, responses_events

TABLE = [{"alert": "FeatureErrorsHigh", "action": "kill"}, {"alert": "BackendServerOutOfTraffic", "action": "tell"}]
EMPTY = {"lines": [], "clock": 1_790_000_000.0}
DONE = {"hosts": ["app1"], "unverified": [], "lost": [], "unknown": []}


def sent(name: str = "FeatureErrorsHigh", fingerprint: str = "abc", status: str = "firing") -> dict[str, Any]:
    labels = {"alertname": name, "feature": "search", "server": "app1"}
    return {"status": status, "labels": labels, "startsAt": "now", "fingerprint": fingerprint, "annotations": {}}


def due(*alerts: dict[str, Any], hold: str = "", ledger: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return responses_due({"alerts": alerts}, TABLE, ledger or EMPTY, hold)


def test_a_kill_is_decided_once_for_each_firing() -> None:
    assert [(one["outcome"], one["subject"]) for one in due(sent(), sent())] == [("act", "search")]
    assert len(due(sent(), sent(fingerprint="other"))) == 2


def test_what_the_ledger_has_is_not_done_again() -> None:
    [event] = responses_events(due(sent()), {"abc now": DONE})
    assert (event["event"], event["data"]["outcome"], event["data"]["hosts"]) == ("alert.answered", "done", ["app1"])
    line = {"rollout": "shop-1", "time": "2026-09-21T14:13:20.000Z", **event}
    assert due(sent(), ledger={**EMPTY, "lines": [line]}) == []
    assert len(due(sent(fingerprint="other"), ledger={**EMPTY, "lines": [line]})) == 1


def test_without_a_ledger_it_is_decided_all_the_same() -> None:
    assert [one["outcome"] for one in due(sent(), ledger={"failed": True})] == ["act"]


def test_a_hold_a_resolved_alert_and_one_without_a_row() -> None:
    assert [one["outcome"] for one in due(sent(), hold="load test")] == ["held"]
    assert due(sent(status="resolved"), sent("FrontDoorDown")) == []


def test_who_drained_a_server_is_told() -> None:
    [one] = due(sent("BackendServerOutOfTraffic"))
    assert one["outcome"] == "told"
    assert one["told"].startswith("the ledger knows of nobody who drained app1")


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (DONE, "done"),
        ({**DONE, "lost": ["app2"]}, "failed"),
        ({**DONE, "unverified": ["app2"]}, "failed"),
        ({**DONE, "hosts": [], "unknown": ["app1"]}, "wrong"),
        (None, "failed"),
    ],
)
def test_what_became_of_a_kill(result: dict[str, Any] | None, outcome: str) -> None:
    done = {"abc now": result} if result else {}
    assert responses_events(due(sent()), done)[0]["data"]["outcome"] == outcome


@pytest.mark.parametrize(("delivery", "table"), [({}, TABLE), ({"alerts": []}, [{"alert": "A", "action": "restart"}])])
def test_what_cannot_be_used_is_an_error(delivery: dict[str, Any], table: list[Any]) -> None:
    with pytest.raises(AnsibleFilterError):
        responses_due(delivery, table, EMPTY)
