# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What to add to a ledger when a rollout is opened, recorded in or closed: pure decisions over a replayed state.

One rollout of an application at a time (P6): whoever writes holds the lease, and a lease that ran out, or whose
holder is known to be dead, may be taken over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.events import FREE, Event
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, epoch, stamp
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.hash_chain import digest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import (
    identifiers,
    is_recorded,
    rollout_state,
)

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z")
# A lease lasts so many seconds at the most. The run renews it while a step runs (plugin_utils/lease_renewal.py), so a
# longer one would only keep others out after that run was killed.
LONGEST = 90


class LeaseHeld(LedgerError):
    """Another run holds the lease of this application, or has taken it from this run. lease: as in the rollout, with
    `left` in seconds."""

    def __init__(self, message: str, lease: dict[str, Any]) -> None:
        super().__init__(message)
        self.lease = lease


@dataclass
class Request:
    """Who writes, at what time of the ledger's own clock, and for how long the lease is wanted.

    dead_holder: a holder that is known to be dead; take_over: whoever holds the lease loses it; owned: this run has
    held the lease and has not released it, so it must not take it a second time from whoever took it meanwhile."""

    holder: str
    now: float
    seconds: int = LONGEST
    dead_holder: str | None = None
    take_over: bool = False
    owned: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= LONGEST:
            raise LedgerError(
                f"lease_seconds: got {self.seconds}, expected 1 to {LONGEST}; it is renewed while a step runs"
            )


@dataclass
class Decision:
    """The rollout to write to, and the events to add."""

    rollout: str
    events: list[Event] = field(default_factory=list)


def opened(
    lines: list[dict[str, Any]], manifest: dict[str, Any], facts: dict[str, Any], request: Request, force: bool = False
) -> Decision:
    """Start a rollout of the manifest, resume the open one of the same manifest, or find its release completed already.

    facts: {plan, hosts, servers, smoke, revision} for rollout.started."""
    newest = rollout_state(lines, now=request.now)
    wanted = digest(manifest)
    if newest and newest["completed"] and same_release(newest["manifest"], manifest) and not force:
        return Decision(newest["id"])
    lease = take(newest, request)
    if newest and newest["open"]:
        if newest["digest"] != wanted:
            raise LedgerError(_another(newest, manifest))
        return Decision(newest["id"], lease + [("rollout.resumed", {"holder": request.holder})] if lease else [])
    for key in ("application", "version"):
        if not VERSION.match(str(manifest.get(key, ""))):
            raise LedgerError(
                f"release.{key}: not usable in a name, got {manifest.get(key)!r}; write letters, digits and . _ + -"
                " only"
            )
    start = {"manifest": manifest, "digest": wanted, **facts}
    return Decision(_identifier(lines, manifest, request.now), [("rollout.started", start), _taken(request)])


def begins(rollout: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> bool:
    """Whether a deploy of the manifest now is a new rollout: none is open, and its release is not with all users
    already."""
    if not rollout:
        return True
    return not rollout["open"] and not (rollout["completed"] and same_release(rollout["manifest"], manifest))


def same_release(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two manifests bring the same to hosts, database and users, however slowly and however closely watched.

    Were a completed release rolled out once more, its way back would lead to itself, not to the release before it."""

    def brings(manifest: Mapping[str, Any]) -> list[Any]:
        features = [feature["flag"] for feature in manifest.get("features") or []]
        return [
            manifest.get("application"),
            manifest.get("version"),
            (manifest.get("artifact") or {}).get("sha256"),
            features,
            manifest.get("migrations"),
        ]

    return brings(one) == brings(other)


def recorded(
    lines: list[dict[str, Any]], events: list[Event], request: Request, identifier: str | None = None
) -> Decision:
    """Add events to the newest rollout; no events: the lease is renewed and nothing else."""
    newest = _newest(lines, request, identifier)
    if events and all(name in FREE for name, _data in events):
        return Decision(newest["id"], [event for event in events if not is_recorded(lines, event)])
    lease = take(newest, request)
    if not lease and (not events or newest["lease"]["seconds"] != request.seconds):
        lease = [("lease.renewed", {"holder": request.holder, "seconds": request.seconds})]
    return Decision(newest["id"], lease + events)


def closed(
    lines: list[dict[str, Any]],
    outcome: str,
    request: Request,
    identifier: str | None = None,
    events: list[Event] | None = None,
) -> Decision:
    """Finish the newest rollout and give the lease back; nothing to add when that was done already."""
    newest = _newest(lines, request, identifier)
    last = events or []
    if not newest["open"] and newest["outcome"] == outcome and not last:
        if newest["lease"]["holder"] != request.holder:
            return Decision(newest["id"])
        return Decision(newest["id"], [("lease.released", {"holder": request.holder})])
    finish: list[Event] = [("rollout.finished", {"outcome": outcome}), ("lease.released", {"holder": request.holder})]
    return Decision(newest["id"], take(newest, request) + last + finish)


def released(lines: list[dict[str, Any]], request: Request, identifier: str | None = None) -> Decision:
    """Give the lease back and leave the rollout open, for the next playbook to go on from wherever it runs."""
    newest = _newest(lines, request, identifier)
    own = newest["lease"]["holder"] == request.holder
    return Decision(newest["id"], [("lease.released", {"holder": request.holder})] if own else [])


def renewed(lines: list[dict[str, Any]], request: Request, identifier: str | None = None) -> Decision:
    """Renew the lease that this run has. It is never taken by this: LeaseHeld when another run has it, or has had it
    meanwhile."""
    newest = _newest(lines, request, identifier)
    if newest["lease"]["holder"] != request.holder:
        raise _lost(newest, request)
    return Decision(newest["id"], [("lease.renewed", {"holder": request.holder, "seconds": request.seconds})])


def take(newest: dict[str, Any] | None, request: Request) -> list[Event]:
    """The event that takes the lease; none when this holder has it. LeaseHeld when somebody else has, or took it from
    this run."""
    lease = newest["lease"] if newest else None
    if lease and lease["holder"] == request.holder and lease["held"]:
        return []
    if newest and lease and request.owned and lease["holder"] != request.holder:
        raise _lost(newest, request)
    holder = lease["holder"] if lease else None
    forced = bool(newest and lease and lease["held"] and holder != request.dead_holder)
    if newest and lease and forced and not request.take_over:
        raise LeaseHeld(
            f"Rollout {newest['id']} is locked by {holder} since {lease['since']}; the lock expires at {lease['until']}"
            f" unless that run renews it (it is {stamp(request.now)} now). Wait until that run ends. If it is dead or"
            " must not go on, take over at once: the same command with -e gradual_take_over=true",
            _told(lease, request),
        )
    return [_taken(request, holder, forced)]


def _lost(newest: dict[str, Any], request: Request) -> LeaseHeld:
    lease = newest["lease"]
    who = (
        f"{lease['holder']} has taken it at {lease['since']}"
        if lease["holder"]
        else "another run has taken and released it meanwhile"
    )
    return LeaseHeld(
        f"This run has lost the lock of rollout {newest['id']}: {who}. Nothing more is done by this run.",
        _told(lease, request),
    )


def _told(lease: dict[str, Any], request: Request) -> dict[str, Any]:
    return {**lease, "left": round(epoch(lease["until"]) - request.now, 3) if lease["until"] else 0.0}


def _taken(request: Request, after: str | None = None, forced: bool = False) -> Event:
    data: dict[str, Any] = {"holder": request.holder, "seconds": request.seconds}
    if after:
        data["after"] = after
    if forced:
        data["forced"] = True
    return ("lease.taken", data)


def _newest(lines: list[dict[str, Any]], request: Request, identifier: str | None) -> dict[str, Any]:
    newest = rollout_state(lines, now=request.now)
    if newest is None:
        raise LedgerError(
            "The ledger is empty: there is no rollout to record in. Begin one with state: opened and release: the"
            " manifest."
        )
    if identifier and identifier != newest["id"]:
        raise LedgerError(
            f"rollout: {identifier} is not the newest rollout, which is {newest['id']}. Another run has continued:"
            " read the ledger again before you write."
        )
    return newest


def _identifier(lines: list[dict[str, Any]], manifest: dict[str, Any], now: float) -> str:
    second = stamp(now)[:19].replace("-", "").replace(":", "") + "Z"
    base = f"{manifest['application']}-{manifest['version']}-{second}"
    known, name, number = set(identifiers(lines)), base, 1
    while name in known:
        number += 1
        name = f"{base}-{number}"
    return name


def _another(newest: dict[str, Any], manifest: dict[str, Any]) -> str:
    there = newest["manifest"] if isinstance(newest["manifest"], dict) else {}
    name = f"{there.get('application')} {there.get('version')}"
    same = there.get("version") == manifest.get("version")
    hint = " (same version, but another manifest: something in it was changed)" if same else ""
    failed = f"; it failed in {newest['failed']['step']}: {newest['failed']['error']}" if newest["failed"] else ""
    return (
        f"Rollout {newest['id']} of {name} is not finished{hint}, at {newest['certified']} % certified{failed}. "
        f"Either finish it (ansible-playbook deploy.yml with the manifest of {name} as it was), or roll it back"
        " (ansible-playbook rollback.yml) and deploy this release after that."
    )
