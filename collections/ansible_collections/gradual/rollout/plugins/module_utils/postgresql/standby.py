# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A cluster that nobody has used yet becomes a streaming standby of another one.

How it reaches the primary (primary_conninfo, primary_slot_name) is in the server's own configuration, so that a change
there
needs no more than a reload; here its data are exchanged for the primary's. Data that anybody may want are never
touched.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user, run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# What initdb makes; any other database is somebody's.
_EMPTY = ("postgres", "template0", "template1")
# Rows that somebody has put into the database that every cluster is born with.
_USED = (
    "SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND NOT EXISTS"
    " (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))"
    " OR EXISTS (SELECT FROM pg_largeobject_metadata)"
)
_PASSWORD = re.compile(r"(^|\s)password\s*=|://[^/@\s]*:[^/@\s]*@|[?&]password=", re.IGNORECASE)
_HARMLESS = ("NOTICE:", "pg_basebackup: waiting for checkpoint")


@dataclass(frozen=True)
class Found:
    """What the local server says of itself. databases: those that hold what somebody has put there; conninfo, slot: how
    its configuration
    reaches a primary, "" where it does not."""

    recovering: bool
    databases: tuple[str, ...]
    conninfo: str
    slot: str
    data: str
    programs: str


def observe(session: Session) -> Found:
    row = session.rows(
        "SELECT pg_is_in_recovery(), current_setting('primary_conninfo'), current_setting('primary_slot_name'),"
        " current_setting('data_directory')"
    )[0]
    databases = [name for (name,) in session.rows("SELECT datname::text FROM pg_database ORDER BY 1")]
    if session.value(_USED):
        databases.append("tables in postgres")
    return Found(row[0], tuple(databases), row[1], row[2], row[3], server.binaries(session))


def plan(found: Found) -> list[str]:
    """What has to be done, as told; nothing for a standby. Raises DatabaseError where data would be lost."""
    if found.recovering:
        return []
    if _PASSWORD.search(found.conninfo):
        raise DatabaseError(
            "primary_conninfo holds a password, which everybody could read in the process list while pg_basebackup"
            " runs; put it into a file (passfile=/path, mode 0600) and reload"
        )
    taken = [name for name in found.databases if name not in _EMPTY]
    if taken:
        raise DatabaseError(
            f"it is to be a standby, but it is a primary and holds {', '.join(taken)}, which is not thrown away. If it"
            " is the primary now, write it into the inventory's group database_primary. If it was one before a"
            " failover and nothing in it is wanted any more, make an empty cluster of it (on Debian: pg_dropcluster"
            " --stop VERSION NAME; pg_createcluster --start VERSION NAME) and run this again"
        )
    return [f"pg_basebackup of the primary into {found.data}", "start as its standby"]


def clone(found: Found, timeout: float) -> None:
    """A copy of the primary's data in the emptied folder, with all the WAL it needs, marked as a standby's."""
    slot = ["--slot", found.slot] if found.slot else []
    strictly(
        run(
            [
                os.path.join(found.programs, "pg_basebackup"),
                "--pgdata",
                found.data,
                "--dbname",
                found.conninfo,
                *slot,
                "--wal-method",
                "stream",
                "--checkpoint",
                "fast",
                "--no-password",
            ],
            timeout=timeout,
        ),
        _HARMLESS,
    )
    with open(os.path.join(found.data, "standby.signal"), "w", encoding="utf-8"):
        pass


def service(verb: str, unit: str) -> None:
    strictly(run(["systemctl", verb, unit], timeout=120))


def move(source: str, target: str) -> None:
    """Everything in one folder into another one, which may be on another disk; the folder itself may be a mount point
    and stays."""
    os.makedirs(target, 0o700, exist_ok=True)
    for name in os.listdir(source):
        shutil.move(os.path.join(source, name), os.path.join(target, name))


def empty(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def exchange(
    data: str,
    control: Callable[[str], None],
    fill: Callable[[], None],
    streams: Callable[[], str],
    be: Callable[[Callable[[], Any]], Any] = lambda work: work(),
) -> None:
    """Other data take the place of those in the folder, which come back when these do not stream.

    control("stop") and control("start") return when that is done; `fill` fills the emptied folder; `streams` returns ""
    or what is
    missing; `be` does work as the server's user. The data are an unused cluster's, so keeping them costs next to no
    room.
    """
    aside = data + ".before-standby"
    if os.path.exists(aside):
        raise DatabaseError(
            f"{aside} is there, left by a run that was killed; move what is in it back to {data}, remove it, and run"
            " this again"
        )
    control("stop")
    be(lambda: move(data, aside))
    try:
        be(fill)
        control("start")
        missing = streams()
        if missing:
            raise DatabaseError(
                f"the copy of the primary was started and does not stream: {missing}; the cluster of before is in its"
                " place again"
            )
    except DatabaseError:
        control("stop")
        be(lambda: empty(data))
        be(lambda: move(aside, data))
        os.rmdir(aside)
        control("start")
        raise
    be(lambda: shutil.rmtree(aside))


def state(parameters: Mapping[str, str]) -> str:
    """ "" when the server is in recovery and receives WAL, else what is missing."""
    try:
        with Session(parameters) as session:
            recovering, status = session.rows("SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver)")[
                0
            ]
    except DatabaseError as error:
        return str(error)
    return (
        "" if recovering and status == "streaming" else f"in recovery: {recovering}, its receiver: {status or 'none'}"
    )


def wait_until_streaming(look: Callable[[], str], seconds: float) -> str:
    """ "" once it streams; what was missing last when the time is over."""
    until = time.monotonic() + seconds
    while True:
        missing = look()
        if not missing or time.monotonic() > until:
            return missing
        time.sleep(0.2)


def bring(parameters: Mapping[str, str], run_as: str, unit: str, timeout: float, check: bool) -> dict[str, Any]:
    """Observe, plan and, unless check, carry out. parameters: libpq's, for the local socket. Result: {"steps":
    [told]}."""

    def look() -> Sequence[Any]:
        with Session(parameters) as session:
            found = observe(session)
        return [found.recovering, list(found.databases), found.conninfo, found.slot, found.data, found.programs]

    recovering, databases, *rest = as_user(run_as, look)
    found = Found(recovering, tuple(databases), *rest)
    steps = plan(found)
    if steps and not check:
        if not found.conninfo:
            raise DatabaseError(
                "its configuration does not say which primary to follow; set primary_conninfo, and reload it"
            )
        exchange(
            found.data,
            lambda verb: service(verb, unit),
            lambda: clone(found, timeout),
            lambda: wait_until_streaming(lambda: str(as_user(run_as, lambda: state(parameters))), 60),
            lambda work: as_user(run_as, work),
        )
    return {"steps": steps}
