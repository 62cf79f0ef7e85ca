# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The whole report as plain data: claims, criteria, the assessment, the gate and the next steps."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import identifiers, rollout_state
from ansible_collections.gradual.rollout.plugins.module_utils.report import (
    canary,
    checks,
    database,
    next_steps,
    rollback,
    stages,
    timeline,
    traffic,
)
from ansible_collections.gradual.rollout.plugins.module_utils.report.criteria import rows, together
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    FAILED,
    NOT_MEASURED,
    NOT_NEEDED,
    SHOWN,
    Claim,
    Events,
    Line,
    ReportError,
    count,
    items,
    mapping,
    number,
)

SCHEMA = 1
# Of galaxy.yml: other versions may say the same things in other words, so a report is checked with the version that
# made it.
VERSION = "0.1.0"
QUALITIES = ("security", "performance", "reliability", "maintainability")


def newest(lines: list[Line]) -> str:
    """The rollout that the ledger speaks of last; ReportError when it knows none."""
    known = identifiers(lines)
    if not known:
        raise ReportError(
            "The ledger holds no rollout yet. Begin one: ansible-playbook deploy.yml -e @releases/YOUR_RELEASE.yml"
        )
    return known[-1]


def build(lines: list[Line], rollout: str | None = None) -> dict[str, Any]:
    """The report of a rollout (default: the newest) from the lines of its ledger. Same lines, same report."""
    events = Events(lines, rollout or newest(lines))
    state = rollout_state(events.all, events.rollout)
    if state is None:
        raise ReportError(f"The ledger knows no rollout {events.rollout!r}")
    parts = (timeline, rollback, database, canary, stages, traffic, checks)
    claims = [claim for part in parts for claim in part.claims(events)]
    by_id = {claim["id"]: claim for claim in claims}
    criteria = rows(events, claims)
    outcome = "open" if state["open"] and state["outcome"] != "incomplete" else str(state["outcome"])
    manifest = events.manifest
    finished = events.last("rollout.finished")
    return {
        "schema": SCHEMA,
        "made_by": f"gradual.rollout {VERSION}",
        "rollout": events.rollout,
        "application": manifest.get("application"),
        "version": manifest.get("version"),
        "artifact": mapping(manifest.get("artifact")).get("sha256"),
        "outcome": outcome,
        "headline": headline(events, outcome, by_id),
        "gate": gate_status(outcome, claims, criteria, asked=rollback.asked(events) is not None),
        "started": events.lines[0]["time"],
        "finished": finished["time"] if finished else None,
        "ledger": {"through": events.lines[-1]["seq"], "hash": events.lines[-1]["hash"]},
        "times": rollback.moments(events),
        "shares_set": timeline.shares_set(events),
        "stages": stages.stage_rows(events),
        "steps": timeline.steps(events),
        "hosts": _hosts(events, state),
        "spans": timeline.spans(events),
        "features": traffic.variants(events),
        "traffic": _series(events),
        "plan": [mapping(row) for row in items(mapping(events.lines[0]["data"]).get("plan"))],
        "claims": claims,
        "criteria": criteria,
        "assessment": {quality: _assessment(quality, claims) for quality in QUALITIES},
        "next_steps": next_steps.next_steps(events, state, claims),
    }


def headline(events: Events, outcome: str, by_id: dict[str, Claim]) -> str:
    """What was rolled out and how it ended, in one sentence."""
    manifest = events.manifest
    release = f"{manifest.get('application')} {manifest.get('version')}"
    asked = rollback.asked(events)
    failed = timeline.failure(events) if asked is None else None
    if outcome == "completed":
        certified = by_id.get("certified")
        if events.features and not (certified and certified["status"] == SHOWN):
            return f"{release} was closed as completed, but the record does not show its features at 100 %"
        return f"{release} is with all users"
    why = _why(events, failed) if failed is not None else ""
    if outcome == "returned":
        who, _line = rollback.asked_by(events)
        told = "" if asked is None else f", as {who} asked" if who else ", as asked"
        return f"{release} was rolled back{told}{why}"
    if outcome == "incomplete":
        return f"{release} is neither rolled out nor rolled back on every host{why}"
    return f"{release} is under way{why}"


def _why(events: Events, failed: Line) -> str:
    """Why it was rolled back: what a gate saw is not the fault of the host on which the step then failed."""
    stopped = [line for line in timeline.aborts(events) if line["seq"] < failed["seq"]]
    if not stopped or failed["data"].get("step") not in ("ramp", "release"):
        return f": {failed['data'].get('step')} failed on {failed['data'].get('host')}"
    if stopped[-1]["event"] == "gate.looked":
        return f": the gate stopped it at {stopped[-1]['data'].get('percent')} %"
    return f": the gate stopped it on the first host, {failed['data'].get('host')}"


def gate_status(
    outcome: str, claims: list[Claim], criteria: list[dict[str, Any]], asked: bool = False
) -> dict[str, Any]:
    """PASS only when the rollout has finished and every criterion that was needed was shown; FAIL when something was
    shown to be wrong.

    RETURNED when a person asked for a rollback and nothing was shown to be wrong: there is no rollout to pass or to
    fail any more.
    """
    on_request = asked and outcome == "returned"
    wrong = [
        claim
        for claim in claims
        if claim["status"] == FAILED and not (on_request and claim["id"] in next_steps.OF_COURSE)
    ]
    reasons = [f"the rollout is {outcome}, not completed"] if outcome != "completed" and not on_request else []
    reasons += [f"{claim['id']}: {claim['statement']}" for claim in wrong]
    if reasons:
        return {"status": "FAIL", "reasons": reasons}
    if on_request:
        return {"status": "RETURNED", "reasons": [claim["statement"] for claim in claims if claim["id"] == "asked"]}
    reasons = [
        f"criterion {row['number']} ({row['criterion']}): {row['status']}"
        for row in criteria
        if row["status"] not in (SHOWN, NOT_NEEDED)
    ]
    reasons += [f"{claim['id']}: {claim['statement']}" for claim in claims if claim["status"] == NOT_MEASURED]
    return {"status": "CONCERNS" if reasons else "PASS", "reasons": reasons}


def _assessment(quality: str, claims: list[Claim]) -> dict[str, Any]:
    mine = [claim for claim in claims if quality in claim["qualities"]]
    measured = [claim for claim in mine if claim["status"] in (SHOWN, FAILED)]
    if not measured:
        return {
            "status": NOT_MEASURED,
            "claims": [claim["id"] for claim in mine],
            "text": "not measured in this rollout",
        }
    wrong = [claim["statement"] for claim in measured if claim["status"] == FAILED]
    text = "; ".join(wrong) if wrong else "; ".join(claim["statement"] for claim in measured[:4])
    return {"status": together(mine), "claims": [claim["id"] for claim in mine], "text": text}


def _hosts(events: Events, state: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, host in sorted(state["hosts"].items()):
        switched = events.last("host.released", host=name)
        rows.append(
            {
                "host": name,
                "before": mapping(host.get("before")).get("version"),
                "after": mapping(host.get("to")).get("version"),
                "now": host.get("now"),
                "in_traffic": not host.get("drained"),
                "seconds": number(switched["data"].get("seconds")) if switched else None,
                "evidence": [
                    line["seq"]
                    for line in events.lines
                    if line["data"].get("host") == name and line["event"].startswith("host.")
                ],
            }
        )
    return rows


def _series(events: Events) -> list[dict[str, float | None]]:
    """The traffic of the rollout over time: {time (epoch s, end of the interval), seconds (its length), requests,
    failed, p50, p95}."""
    line = events.last("traffic.observed")
    rows = []
    step = number(line["data"].get("step")) if line else None
    for row in items(line["data"].get("series") if line else None):
        time = traffic.moment(mapping(row).get("time"))
        if time is not None:
            rows.append(
                {
                    "time": time,
                    "seconds": step,
                    **{key: number(mapping(row).get(key)) for key in ("requests", "failed", "p50", "p95")},
                }
            )
    return sorted(rows, key=lambda row: row["time"] or 0)


def summary(report: dict[str, Any]) -> list[str]:
    """The report in a few lines for the screen."""
    claims = {claim["id"]: claim for claim in report["claims"]}
    gate = report["gate"]
    lines = [report["headline"], f"gate: {gate['status']}"]
    if gate["status"] == "FAIL":
        lines += [f"failed: {reason}" for reason in gate["reasons"]]
    lines += [stages.stage_sentence(row) for row in report["stages"]]
    lines += [
        claims[name]["statement"]
        for name in ("asked", "with-all-users", "requests-failed", "mean-seconds")
        if name in claims
    ]
    lines += [
        claims[name]["statement"]
        for name in ("bad-to-flags-off", "bad-to-hosts-back", "noticed-to-safe")
        if claims[name]["status"] == SHOWN
    ]
    if claims["duration"]["status"] == SHOWN:
        lines.append(f"time taken: {span(count(claims['duration']['value']))}")
    return lines + [f"next: {step}" for step in report["next_steps"][:3]]


def render(report: dict[str, Any]) -> str:
    """report.json: one spelling for each report."""
    return json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
