# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Bringing a backup back: beside what is live, unless somebody says the database's name; what is replaced is kept."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Protocol

from ansible_collections.gradual.rollout.plugins.module_utils.backup import compare, registry, store
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

# From this level on a backup may take the place of what is live.
NEEDED_LEVEL = "restored"
_POINT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")


class Way(Protocol):
    """One way to restore. `plan` reads only and refuses what cannot be; `carry_out` returns what is told beside the
    plan."""

    def plan(self) -> dict[str, Any]: ...

    def carry_out(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Chosen:
    way: Way
    receipt: Mapping[str, Any]


def plan(request: Request) -> dict[str, Any]:
    """What would be done now: {receipt, target, message, …}. Reads only, the whole backup included."""
    chosen = _choose(request)
    return {"receipt": chosen.receipt, **chosen.way.plan()}


def restore(request: Request) -> dict[str, Any]:
    """Do it: {receipt, target, message, next: [what to type], seconds, …}. What was live before is there after an error
    too."""
    begun = time.monotonic()
    chosen = _choose(request)
    planned = chosen.way.plan()
    return {
        "receipt": chosen.receipt,
        **planned,
        **chosen.way.carry_out(),
        "seconds": round(time.monotonic() - begun, 3),
    }


def _choose(request: Request) -> _Chosen:
    """The way that the request asks for, once the backup is known to be what its receipt says."""
    receipt = receipts.read(request.path)
    method = registry.of(receipt["method"])
    target = request.target or ("database" if method.name == "dump" else "cluster")
    if target == "database" and method.name != "dump":
        raise DatabaseError(
            f"{receipt['id']} is a {method.name} of a whole cluster, of which one database cannot be brought into"
            " another one; set target: cluster, and copy from there with pg_dump what you need"
        )
    if request.point:
        _check_point(request.point, receipt)
    if request.in_place:
        _may_replace(request, receipt)
    compare.none_of(store.file_differences(store.expected(receipt, request.path), store.summed(request.path)))
    method.intact(request.path, receipt, request.timeout)
    ways: dict[tuple[str, bool], Callable[[Request, Mapping[str, Any], Method], Way]] = {
        ("database", False): NewDatabase,
        ("database", True): DatabaseInPlace,
        ("cluster", False): NewCluster,
        ("cluster", True): ClusterInPlace,
    }
    return _Chosen(ways[target, bool(request.in_place)](request, receipt, method), receipt)


def _may_replace(request: Request, receipt: Mapping[str, Any]) -> None:
    if request.in_place != receipt["database"]:
        raise DatabaseError(
            f"in_place is {request.in_place!r}, and the backup is of {receipt['database']!r}; who means to replace that"
            f" writes in_place: {receipt['database']}"
        )
    if not receipts.reached(receipt, NEEDED_LEVEL):
        raise DatabaseError(
            f"{receipt['id']} is proven to the level {receipt['level']!r} only, and nothing takes the place of live"
            f" data below {NEEDED_LEVEL!r}; prove it with backup_verify, or restore it beside (without in_place)"
        )


def _check_point(point: str, receipt: Mapping[str, Any]) -> None:
    if receipt["method"] != "pgbackrest":
        raise DatabaseError(
            f"{receipt['id']} is a {receipt['method']}, which can be restored as it was when it was taken and to no"
            " other point; a named restore point needs the method pgbackrest, whose archive has everything since"
        )
    if not _POINT.match(point):
        raise DatabaseError(f"the restore point {point!r} cannot be; use letters, digits, and . _ -, at most 63")


def plan_point(request: Request) -> dict[str, Any]:
    """What making a restore point would come to; reads only."""
    _name(request)
    with Session(request.parameters("postgres"), "gradual-restore") as session:
        return _planned_point(request, session)


def make_point(request: Request) -> dict[str, Any]:
    """Write a named place into the write-ahead log: {point, lsn, timeline, message}."""
    _name(request)
    with Session(request.parameters("postgres"), "gradual-restore") as session:
        planned = _planned_point(request, session)
        lsn = session.value("SELECT pg_create_restore_point(%s)::text", (request.point,))
        # Into the archive with it: what lies in an unfinished segment goes with the server.
        session.run("SELECT pg_switch_wal()")
        return {
            **planned,
            "lsn": str(lsn),
            "message": f"the restore point {request.point} is at {lsn} on timeline {planned['timeline']}",
        }


def _name(request: Request) -> None:
    if not request.point or not _POINT.match(request.point):
        raise DatabaseError(
            f"the restore point {request.point!r} cannot be; use letters, digits, and . _ -, at most 63"
        )


def _planned_point(request: Request, session: Session) -> dict[str, Any]:
    identity = server.identity(session)
    if identity["standby"]:
        raise DatabaseError("this server is a standby, and restore points are written on the primary; run it there")
    if session.value("SHOW wal_level") == "minimal":
        raise DatabaseError(
            "wal_level is minimal, so nothing could be restored to a point; set it to replica and restart the server"
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
                else "; archive_mode is off, so only what receives the log by itself can be restored to it"
            )
        ),
    }
