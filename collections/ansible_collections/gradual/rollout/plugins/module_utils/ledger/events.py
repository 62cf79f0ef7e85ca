# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The events of a ledger: their names, the fields that each must have, and who may record it."""

from __future__ import annotations

import difflib
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError

Event = tuple[str, dict[str, Any]]

# Each event that roles may record, with the fields that the replay and the report cannot do without.
EVENTS: dict[str, tuple[str, ...]] = {
    "step.started": ("step",), "step.finished": ("step",), "step.failed": ("step",),
    "backup.proven": ("receipt",), "migration.applied": ("from", "to"), "contract.began": ("from",),
    "contract.applied": ("from", "to"), "contract.ended": (), "backfill.finished": ("backfills",),
    "database.restored": ("path",),
    "host.drained": ("host",), "host.released": ("host",), "host.admitted": ("host",), "host.returned": ("host",),
    "host.lost": ("host",),
    "host.rehearsed": ("host",),
    "stage.set": ("percent",), "stage.verified": ("percent",), "stage.measured": ("percent",),
    "stage.certified": ("percent",),
    "canary.began": ("host", "control"), "canary.looked": ("host",), "canary.passed": ("host",),
    "canary.skipped": ("host", "reason"),
    "aa.began": ("since", "until", "variants"), "aa.ended": ("since", "until"),
    "stage.approved": ("percent",), "gate.looked": ("percent",), "smoke.finished": ("phase",), "flags.off": (),
    "traffic.observed": (),
    "monitoring.observed": (), "criteria.added": ("criteria",),
    "return.finished": (), "flag.retired": ("flag",),
    "flag.killed": ("flag", "at", "by", "reason", "hosts"), "flag.allowed": ("flag", "by", "hosts"),
    "alert.answered": ("alert", "firing", "action", "outcome"),
    "report.written": ("files",), "rollout.resumed": (),
}  # fmt: skip
# What the ledger module writes itself.
OWN = frozenset({"rollout.started", "rollout.finished", "lease.taken", "lease.renewed", "lease.released"})
# What anybody may record without the lease: a person's word, a kill, a response, and work that goes on beside rollouts.
FREE = frozenset({"stage.approved", "backfill.finished", "flag.killed", "flag.allowed", "alert.answered"})


def checked(events: list[dict[str, Any]]) -> list[Event]:
    """Events as roles give them, [{event, data}], checked for name and fields."""
    good: list[Event] = []
    for number, entry in enumerate(events):
        name, data = entry.get("event"), entry.get("data")
        where = f"events[{number}]"
        if name in OWN:
            raise LedgerError(f"{where}.event: {name} is written by state: opened and state: closed, not by hand")
        if name not in EVENTS:
            near = difflib.get_close_matches(str(name), EVENTS, 1)
            raise LedgerError(
                f"{where}.event: no such event, got {name!r}; write"
                f" {near[0] if near else 'one of ' + ', '.join(EVENTS)}"
            )
        data = {} if data is None else data
        missing = [key for key in EVENTS[name] if key not in data]
        if missing:
            raise LedgerError(f"{where}.data: {name} needs {', '.join(missing)}, got {sorted(data)}")
        if "percent" in data:
            data = {**data, "percent": _percent(data["percent"], f"{where}.data.percent")}
        good.append((name, data))
    return good


def _percent(value: Any, where: str) -> int:
    try:
        percent = int(str(value))
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:
        raise LedgerError(f"{where}: not a share of users, got {value!r}; write a whole number from 0 to 100")
    return percent
