# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Restore a backup: beside the live data, or in its place when in_place says so; replaced data is kept."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Protocol

from ansible_collections.gradual.rollout.plugins.module_utils.backup import compare, live_contents, registry, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Method
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_cluster import ClusterInPlace, NewCluster
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_database import (
    DatabaseInPlace,
    NewDatabase,
)
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# Only a backup of this level may replace live data.
NEEDED_LEVEL = "restored"
_POINT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")


class Target(Protocol):
    """One kind of restore. `plan` reads only and refuses what is impossible; `carry_out` returns more result keys."""

    def plan(self) -> dict[str, Any]: ...

    def carry_out(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Chosen:
    target: Target
    receipt: Mapping[str, Any]


def plan(request: Request) -> dict[str, Any]:
    """What a restore would do: {receipt, target, message, …}. Reads only, but the whole backup."""
    chosen = _choose(request)
    return {"receipt": chosen.receipt, **chosen.target.plan()}


def restore(request: Request) -> dict[str, Any]:
    """Restore: {receipt, target, message, next: [what to type], seconds, …}. On error live data is unchanged."""
    begun = time.monotonic()
    chosen = _choose(request)
    planned = chosen.target.plan()
    return {
        "receipt": chosen.receipt,
        **planned,
        **chosen.target.carry_out(),
        "seconds": round(time.monotonic() - begun, 3),
    }


def _choose(request: Request) -> _Chosen:
    """The restore that the request asks for, after the backup was compared with its receipt."""
    receipt = receipts.read(request.path)
    method = registry.of(receipt["method"])
    target = request.target or ("database" if method.name == "dump" else "cluster")
    if target == "database" and method.name != "dump":
        raise DatabaseError(
            f"{receipt['id']} is a {method.name} of a whole cluster, from which one database cannot be restored into"
            " another cluster; set target: cluster, and copy what you need from there with pg_dump"
        )
    if request.point:
        _check_point(request.point, receipt)
    if request.in_place:
        _may_replace(request, receipt)
    compare.none_of(store.file_differences(store.expected(receipt, request.path), store.summed(request.path)))
    method.intact(request.path, receipt, request.timeout)
    receipt = live_contents.joined(receipt, request.path, request.timeout)
    kinds: dict[tuple[str, bool], Callable[[Request, Mapping[str, Any], Method], Target]] = {
        ("database", False): NewDatabase,
        ("database", True): DatabaseInPlace,
        ("cluster", False): NewCluster,
        ("cluster", True): ClusterInPlace,
    }
    return _Chosen(kinds[target, bool(request.in_place)](request, receipt, method), receipt)


def _may_replace(request: Request, receipt: Mapping[str, Any]) -> None:
    if request.in_place != receipt["database"]:
        raise DatabaseError(
            f"in_place: got {request.in_place!r}, expected the backup's database {receipt['database']!r}; to replace"
            f" it, write in_place: {receipt['database']}"
        )
    if not receipts.reached(receipt, NEEDED_LEVEL):
        raise DatabaseError(
            f"{receipt['id']} is proven to the level {receipt['level']!r}; to replace live data, {NEEDED_LEVEL!r} is"
            " needed. Verify it with backup_verify, or restore it beside the live data (without in_place)"
        )


def _check_point(point: str, receipt: Mapping[str, Any]) -> None:
    if receipt["method"] != "pgbackrest":
        raise DatabaseError(
            f"{receipt['id']} is a {receipt['method']}, which can be restored only as it was when it was taken; for a"
            " named restore point, use a backup of the method pgbackrest, whose archive has the WAL since then"
        )
    if not _POINT.match(point):
        raise DatabaseError(f"restore point: got {point!r}, expected at most 63 letters, digits, and . _ -")


def plan_point(request: Request) -> dict[str, Any]:
    """What `make_point` would do; reads only."""
    _name(request)
    with Session(request.parameters("postgres"), "gradual-restore") as session:
        return _planned_point(request, session)


def make_point(request: Request) -> dict[str, Any]:
    """Write a named restore point into the write-ahead log: {point, lsn, timeline, message}."""
    _name(request)
    with Session(request.parameters("postgres"), "gradual-restore") as session:
        planned = _planned_point(request, session)
        lsn = session.value("SELECT pg_create_restore_point(%s)::text", (request.point,))
        # Have it archived now: an unfinished segment is lost with the server.
        session.run("SELECT pg_switch_wal()")
        return {
            **planned,
            "lsn": str(lsn),
            "message": f"the restore point {request.point} is at {lsn} on timeline {planned['timeline']}",
        }


def _name(request: Request) -> None:
    if not request.point or not _POINT.match(request.point):
        raise DatabaseError(f"restore point: got {request.point!r}, expected at most 63 letters, digits, and . _ -")


def _planned_point(request: Request, session: Session) -> dict[str, Any]:
    identity = server.identity(session)
    if identity["standby"]:
        raise DatabaseError("this server is a standby, where no restore point can be made; run this on the primary")
    if session.value("SHOW wal_level") == "minimal":
        raise DatabaseError(
            "wal_level is minimal, so no restore to a point is possible; set it to replica and restart the server"
        )
    archived = session.value("SHOW archive_mode") != "off"
    return {
        "point": request.point,
        "lsn": None,
        "timeline": identity["timeline"],
        "archived": archived,
        "message": (
            f"would write the restore point {request.point} into the write-ahead log"
            + (
                ""
                if archived
                else "; archive_mode is off, so only a copy that receives the WAL by itself can be restored to it"
            )
        ),
    }
