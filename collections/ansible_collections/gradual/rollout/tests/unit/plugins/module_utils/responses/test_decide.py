# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Alert, table and past responses in, decision out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.responses.decide import (
    Alert,
    Decision,
    NoDelivery,
    decide,
    firing_alerts,
    is_news,
    record,
)
from ansible_collections.gradual.rollout.plugins.module_utils.responses.table import TableError, rows

NOW = 1_790_000_000.0
STARTS = "2026-09-21T14:13:20.5Z"
SENT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "FeatureErrorsHigh", "feature": "search", "severity": "critical"},
    "annotations": {"runbook_url": "https://example.org/FeatureErrorsHigh.md"},
    "startsAt": STARTS,
    "fingerprint": "abc",
}
KILL = {"alert": "FeatureErrorsHigh", "action": "kill"}
TELL = {"alert": "BackendServerOutOfTraffic", "action": "tell"}


def alert(name: str = "FeatureErrorsHigh", starts: str = STARTS, **labels: str) -> Alert:
    labels = labels or {"feature": "search", "server": "app1"}
    [made] = firing_alerts({"alerts": [{**SENT, "startsAt": starts, "labels": {"alertname": name, **labels}}]})
    return made


def past(outcome: str, ago: float = 60, starts: str = STARTS, **more: Any) -> dict[str, Any]:
    made = decide(alert(starts=starts), rows([KILL]), [], NOW - ago)
    assert made is not None
    return record(made, NOW - ago, outcome, **more)


def outcome(made: Decision | None) -> str | None:
    return made.outcome if made else None


RUNNING = {"id": "shop-2", "running": True, "flags": ["search"]}
OTHERS = [past("done", 60 * minutes, starts=f"other {minutes}") for minutes in (1, 2)]


@pytest.mark.parametrize(
    ("row", "told", "more", "wanted"),
    [
        (KILL, alert(), {}, "act"),
        ({**KILL, "action": "none"}, alert(), {}, None),
        (KILL, alert("FrontDoorDown"), {}, None),
        (KILL, alert(host="app1"), {}, "wrong"),
        ({**KILL, "label": "flag"}, alert(flag="search"), {}, "act"),
        ({**KILL, "dry_run": True}, alert(), {}, "dry run"),
        (KILL, alert(), {"hold": "a load test"}, "held"),
        ({**KILL, "dry_run": True}, alert(), {"hold": "a load test"}, "held"),
        # The same firing once more.
        (KILL, alert(), {"past": [past("done")]}, None),
        (KILL, alert(), {"past": [past("wrong")]}, None),
        (KILL, alert(), {"past": [past("held")]}, "act"),
        (KILL, alert(), {"past": [past("failed")]}, "act"),
        (KILL, alert(), {"past": [past("done")], "hold": "a load test"}, None),
        # The same alert has ended, and fires again later.
        (KILL, alert(starts="later"), {"past": [past("done")]}, "act"),
        # The limit, within its minutes only; another try of the same one is no further response.
        ({**KILL, "limit": {"count": 2}}, alert(), {"past": OTHERS}, "limited"),
        ({**KILL, "limit": {"count": 2}}, alert(), {"past": [*OTHERS, past("failed")]}, "limited"),
        ({**KILL, "limit": {"count": 3}}, alert(), {"past": [*OTHERS, past("failed")]}, "act"),
        ({**KILL, "limit": {"count": 2, "minutes": 1}}, alert(), {"past": OTHERS}, "act"),
        ({**KILL, "limit": {"count": 2}}, alert(), {"past": [past("held", starts="a"), past("dry run", 9)]}, "act"),
        # A rollout that shows the feature and is at work decides; a dead one does not.
        (KILL, alert(), {"rollout": RUNNING}, "left"),
        (KILL, alert(), {"rollout": {**RUNNING, "running": False}}, "act"),
        # It was rolled back, and the alert looks a minute back.
        (KILL, alert(), {"rollout": {**RUNNING, "running": False, "returned": True}}, "left"),
        (KILL, alert(), {"rollout": {**RUNNING, "running": False, "returned": True, "flags": ["cart"]}}, "act"),
        (KILL, alert(), {"rollout": {**RUNNING, "flags": ["cart"]}}, "act"),
        (TELL, alert("BackendServerOutOfTraffic"), {"rollout": RUNNING}, "act"),
        (TELL, alert("BackendServerOutOfTraffic"), {"hold": "a load test"}, "held"),
    ],
)
def test_what_follows(row: dict[str, Any], told: Alert, more: dict[str, Any], wanted: str | None) -> None:
    given = {"past": [], **more}
    assert outcome(decide(told, rows([row]), given.pop("past"), NOW, **given)) == wanted


def test_only_what_fires_counts() -> None:
    assert firing_alerts({"alerts": [{**SENT, "status": "resolved"}]}) == []
    assert [one.name for one in firing_alerts({"alerts": [SENT, SENT]})] == ["FeatureErrorsHigh"] * 2


@pytest.mark.parametrize(
    "body", [None, [], {}, {"alerts": [{}]}, {"alerts": ["x"]}, {"alerts": [{"status": "firing"}]}]
)
def test_what_is_no_delivery_is_refused(body: Any) -> None:
    with pytest.raises(NoDelivery):
        firing_alerts(body)


def test_the_record_names_the_page() -> None:
    made = decide(alert(), rows([KILL]), [], NOW)
    assert made is not None
    told = record(made, NOW, "done", hosts=["app1"])
    assert (told["page"], told["subject"], told["hosts"]) == (SENT["annotations"]["runbook_url"], "search", ["app1"])
    own = decide(alert(), rows([{**KILL, "page": "https://example.org/ours"}]), [], NOW)
    assert own is not None
    assert record(own, NOW, "done")["page"] == "https://example.org/ours"


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ([], past("held"), True),
        ([past("held")], past("held", 0), False),
        ([past("held")], past("done", 0), True),
        ([past("failed", lost=["app2"])], past("failed", lost=["app2"]), False),
        ([past("failed", lost=["app2"])], past("failed", lost=["app3"]), True),
        ([past("held", starts="another")], past("held"), True),
    ],
)
def test_a_repeated_refusal_is_recorded_once(before: list[Any], after: dict[str, Any], wanted: bool) -> None:
    assert is_news(after, before) is wanted


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "responses_table: got {}, expected a list of rows"),
        (["x"], "responses_table[0]: got 'x', expected a row"),
        ([{"action": "kill"}], "responses_table[0].alert: got None, expected a text"),
        ([{**KILL, "action": "restart"}], "responses_table[0].action: got 'restart', expected one of kill, tell, none"),
        ([{**KILL, "dry_rum": True}], "responses_table[0]: no such key, got 'dry_rum', expected dry_run"),
        ([{**KILL, "dry_run": "no"}], "responses_table[0].dry_run: got 'no', expected true or false"),
        ([{**KILL, "limit": 3}], "responses_table[0].limit: got 3, expected {count: 3, minutes: 60}"),
        ([{**KILL, "limit": {"count": 0}}], "responses_table[0].limit.count: got 0, expected a whole number from 1"),
        ([{**KILL, "label": 1}], "responses_table[0].label: got 1, expected a text"),
        ([KILL, KILL], "responses_table[1].alert: FeatureErrorsHigh has a row already"),
    ],
)
def test_a_wrong_table_is_refused(table: Any, said: str) -> None:
    with pytest.raises(TableError) as error:
        rows(table)
    assert said in str(error.value)
