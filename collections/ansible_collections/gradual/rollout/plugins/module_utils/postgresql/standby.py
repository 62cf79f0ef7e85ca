# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Turn an unused cluster into a streaming standby of another one.

The address of the primary (primary_conninfo, primary_slot_name) is in the server's configuration, so that a reload is
enough to change it. Here the data are replaced by a copy of the primary's. A cluster with user data is never touched.
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

# The databases that initdb makes; any other one is a user's.
_EMPTY = ("postgres", "template0", "template1")
# Whether the database postgres contains tables of users.
_USED = (
    "SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND NOT EXISTS (SELECT"
    " FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) OR EXISTS"
    " (SELECT FROM pg_largeobject_metadata)"
)
_PASSWORD = re.compile(r"(^|\s)password\s*=|://[^/@\s]*:[^/@\s]*@|[?&]password=", re.IGNORECASE)
_HARMLESS = ("NOTICE:", "pg_basebackup: waiting for checkpoint")


@dataclass(frozen=True)
class Found:
    """The local server. databases: all of them, and user tables in postgres; conninfo, slot: its configured primary, or
    ""."""

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
    """The steps to do, as text; none for a standby. DatabaseError where data would be lost."""
    if found.recovering:
        return []
    if _PASSWORD.search(found.conninfo):
        raise DatabaseError(
            "primary_conninfo contains a password, which every user could read in the process list while pg_basebackup"
            " runs; write it into a file (passfile=/path, mode 0600) and reload"
        )
    taken = [name for name in found.databases if name not in _EMPTY]
    if taken:
        raise DatabaseError(
            f"this host is to be a standby, but its server is a primary with {', '.join(taken)}, which is not deleted."
            " If it is the primary now, write it into the inventory's group database_primary. If it was the primary"
            " before a failover and its data are not needed, make an empty cluster (on Debian: pg_dropcluster --stop"
            " VERSION NAME; pg_createcluster --start VERSION NAME) and run this again"
        )
    return [f"pg_basebackup of the primary into {found.data}", "start as its standby"]


def clone(found: Found, timeout: float) -> None:
    """Copy the primary's data with the needed WAL into the empty folder, and mark it as a standby's."""
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
    """Move everything in one folder to another, possibly on another disk. The folder itself may be a mount point, and
    stays."""
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
    """Replace the data in the folder; put the old data back when the new server does not stream.

    control("stop") and control("start") return when that is done; `fill` fills the empty folder; `streams` returns ""
    or what is missing; `be` does work as the server's user. The old data are of an unused cluster, so they are small.
    """
    aside = data + ".before-standby"
    if os.path.exists(aside):
        raise DatabaseError(
            f"{aside} exists, left by a run that was killed; move its contents back to {data}, remove it, and run this"
            " again"
        )
    control("stop")
    be(lambda: move(data, aside))
    try:
        be(fill)
        control("start")
        missing = streams()
        if missing:
            raise DatabaseError(
                f"the copy of the primary was started, but does not stream: {missing}; the previous cluster is back in"
                " its place"
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
    """ "" when it streams, or what is missing after that many seconds."""
    until = time.monotonic() + seconds
    while True:
        missing = look()
        if not missing or time.monotonic() > until:
            return missing
        time.sleep(0.2)


def bring(parameters: Mapping[str, str], run_as: str, unit: str, timeout: float, check: bool) -> dict[str, Any]:
    """Observe, plan and, unless check, apply. parameters: libpq's, for the local socket. {"steps": [text]}."""

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
                "the server's configuration names no primary; set primary_conninfo, reload, and run this again"
            )
        exchange(
            found.data,
            lambda verb: service(verb, unit),
            lambda: clone(found, timeout),
            lambda: wait_until_streaming(lambda: str(as_user(run_as, lambda: state(parameters))), 60),
            lambda work: as_user(run_as, work),
        )
    return {"steps": steps}
