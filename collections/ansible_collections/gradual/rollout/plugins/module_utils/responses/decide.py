# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What follows from a delivery of Alertmanager: alerts, table, past responses and hold in, decisions out. Pure
functions.

A response belongs to one firing of an alert: its fingerprint and its start. Alertmanager sends it again and again while
the alert fires, and each time the same is decided anew, so what was held or had failed is done at a later delivery, and
what was done is not done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.responses.table import Row

# Outcomes after which a firing needs nothing more.
SETTLED = frozenset({"done", "told", "wrong"})
# Outcomes that count towards the limit.
ACTED = frozenset({"done", "failed"})
# How long past responses are kept, in seconds; no limit looks further back.
KEPT = 7 * 24 * 3600.0

Past = Mapping[str, Any]


class NoDelivery(Exception):
    """The body of a request is not what Alertmanager sends."""


@dataclass(frozen=True)
class Alert:
    """A firing alert. firing: names this firing, however often it is delivered."""

    name: str
    firing: str
    starts: str
    labels: Mapping[str, str]
    runbook: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do about an alert. outcome: "act", or why nothing is done: held, limited, dry run, left or wrong; reason:
    the same as a sentence; subject: the feature or the server."""

    alert: Alert
    row: Row
    subject: str
    outcome: str
    reason: str = ""


def firing_alerts(body: Any) -> list[Alert]:
    """The alerts of a webhook's body that fire; NoDelivery when it is no such body."""
    try:
        return [
            Alert(
                str(one["labels"]["alertname"]),
                f"{one['fingerprint']} {one['startsAt']}",
                str(one["startsAt"]),
                {str(key): str(value) for key, value in one["labels"].items()},
                str(one.get("annotations", {}).get("runbook_url", "")),
            )
            for one in body["alerts"]
            if one["status"] == "firing"
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise NoDelivery(f"not a delivery of Alertmanager: {type(error).__name__} {error}") from error


def decide(
    alert: Alert,
    table: Mapping[str, Row],
    past: Iterable[Past],
    now: float,
    hold: str = "",
    rollout: Mapping[str, Any] | None = None,
) -> Decision | None:
    """The decision for an alert; None if it has no row, if its row says none, or if this firing is settled.

    past: earlier responses as `record` makes them, oldest first. now: seconds since the epoch. hold: why an operator
    stops all responses, empty if nobody does. rollout: {id, running, returned, flags} of the newest rollout, None if
    unknown.
    """
    row = table.get(alert.name)
    earlier = list(past)
    if row is None or row.action == "none":
        return None
    own = [one for one in earlier if one["firing"] == alert.firing]
    if own and own[-1]["outcome"] in SETTLED:
        return None
    subject = alert.labels.get(row.label, "")

    def decision(outcome: str, reason: str = "") -> Decision:
        return Decision(alert, row, subject, outcome, reason)

    if not subject:
        return decision("wrong", f"the alert has no label {row.label}; got {', '.join(sorted(alert.labels))}")
    if hold:
        return decision("held", f"responses are on hold: {hold}")
    if row.action == "tell":
        return decision("act")
    if rollout and subject in rollout.get("flags", ()):
        if rollout.get("running"):
            return decision("left", f"rollout {rollout.get('id')} shows {subject} and its gate decides")
        # An alert fires a while longer than what it is about; a mark would refuse the release that corrects the fault.
        if rollout.get("returned"):
            return decision("left", f"rollout {rollout.get('id')} was rolled back, so {subject} is off")
    if row.dry_run:
        return decision("dry run", f"{row.action} {subject} was not done, because the row says dry_run")
    # Another try of one response is no further response.
    since = now - row.minutes * 60
    acted = {
        one["firing"] for one in earlier if one["alert"] == alert.name and one["outcome"] in ACTED and one["at"] > since
    } - {alert.firing}
    if len(acted) >= row.count:
        return decision("limited", f"{len(acted)} responses in {row.minutes} minutes, and the limit is {row.count}")
    return decision("act")


def record(decision: Decision, now: float, outcome: str, **more: Any) -> dict[str, Any]:
    """A response as it is kept and recorded in the ledger."""
    return {
        "at": round(now, 3),
        "firing": decision.alert.firing,
        "alert": decision.alert.name,
        "starts": decision.alert.starts,
        "action": decision.row.action,
        "subject": decision.subject,
        "outcome": outcome,
        "reason": decision.reason,
        "page": decision.row.page or decision.alert.runbook,
        **more,
    }


def is_news(response: Past, past: Iterable[Past]) -> bool:
    """Whether a response says something that the last one of its firing did not: a repeated refusal is recorded
    once."""
    own = [one for one in past if one["firing"] == response["firing"]]
    same = ("outcome", "lost", "unverified")
    return not own or [own[-1].get(key) for key in same] != [response.get(key) for key in same]


def kept(past: Iterable[Past], now: float) -> list[Past]:
    """The past responses that still matter."""
    return [one for one in past if one["at"] > now - KEPT]
