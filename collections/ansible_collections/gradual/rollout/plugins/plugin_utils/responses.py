# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Responses to alerts for the playbook respond.yml: the decisions are those of the unit. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.module_utils.responses.decide import (
    NoDelivery,
    decide,
    firing_alerts,
    is_news,
    record,
)
from ansible_collections.gradual.rollout.plugins.module_utils.responses.ledger import drained, known
from ansible_collections.gradual.rollout.plugins.module_utils.responses.table import TableError, rows

Json = dict[str, Any]
# A response that was decided and not carried out by this run.
TOLD = ("hosts", "unverified", "lost")


def responses_due(delivery: Any, table: Any, ledger: Mapping[str, Any], hold: str = "") -> list[Json]:
    """The responses that a delivery needs, as the ledger has them; outcome act stands for a kill that is to be done.

    ledger: the result of ledger_info with its lines; without them nothing is known of the past. hold: why responses
    are on hold, empty if they are not."""
    lines = list(ledger.get("lines") or [])
    now = float(ledger.get("clock") or 0.0)
    past: list[Json] = [line["data"] for line in lines if line["event"] == "alert.answered"]
    found: list[Json] = []
    try:
        wanted = rows(table)
        for alert in firing_alerts(delivery):
            rollout = known(lines, now)["rollout"]
            decision = decide(alert, wanted, [*past, *found], now, hold, rollout)
            if decision is None:
                continue
            response = record(decision, now, decision.outcome)
            if decision.outcome == "act" and decision.row.action == "tell":
                response = record(decision, now, "told", told=drained(lines, decision.subject))
            if is_news(response, [*past, *found]):
                found.append(response)
    except (NoDelivery, TableError) as error:
        raise AnsibleFilterError(str(error)) from error
    return found


def responses_events(due: Sequence[Json], done: Mapping[str, Json]) -> list[Json]:
    """The events of the responses for the ledger; done: what flag_kill has returned, by the firing of the alert."""
    return [{"event": "alert.answered", "data": _settled(response, done.get(response["firing"]))} for response in due]


def _settled(response: Json, result: Json | None) -> Json:
    if response["outcome"] != "act":
        return dict(response)
    if result is None:
        return {**response, "outcome": "failed", "reason": "no host was reached"}
    told = {key: result[key] for key in TOLD}
    missing = result["unknown"] and not any(told.values())
    outcome = "wrong" if missing else "failed" if told["lost"] or told["unverified"] else "done"
    return {**response, "outcome": outcome, **told}
