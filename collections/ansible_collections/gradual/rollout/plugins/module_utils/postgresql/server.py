# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Which server and database this is, its programs, and Gradual's lock."""

from __future__ import annotations

import os
import time
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions as kept
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# Backups hold it shared and migrations exclusive, in their database, because pg_dump blocks every ALTER.
LOCK = (0x67726164, 0x75616C)  # "grad", "ual"

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       current_database()::text,
       current_setting('server_version_num')::int,
       pg_encoding_to_char(encoding)::text,
       pg_database_size(oid)::text,
       (SELECT rolname::text FROM pg_roles WHERE oid = 10),
       pg_is_in_recovery()
  FROM pg_database WHERE datname = current_database()
"""
_KEYS = (
    "system_identifier",
    "timeline",
    "lsn",
    "database",
    "server_version",
    "encoding",
    "bytes",
    "bootstrap_role",
    "standby",
)


def identity(session: Session) -> dict[str, Any]:
    """{system_identifier: str, timeline: int, lsn, database, server_version: 150018, encoding, bytes: int,
    bootstrap_role, standby}."""
    found: dict[str, Any] = dict(zip(_KEYS, session.rows(_IDENTITY)[0]))
    found["bytes"] = int(found["bytes"])
    return found


def binaries(session: Session) -> str:
    """The folder with the programs of the running server's version; needs pg_read_all_settings or a superuser."""
    folder = str(session.value("SELECT setting FROM pg_config() WHERE name = 'BINDIR'") or "")
    missing = [
        name
        for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql", "initdb", "postgres")
        if not os.access(os.path.join(folder, name), os.X_OK)
    ]
    if missing:
        raise DatabaseError(
            f"{', '.join(missing)} cannot be run in {folder or 'an unknown folder'}, the folder of the running server's"
            " programs; run this on the database host, and install the server's package (postgresql-<major>)"
        )
    return folder


def revisions(session: Session) -> list[str]:
    """The database's revisions, whichever migration tool it has; none for a new database, several for branches."""
    return kept.standing(session)


def segment_bytes(session: Session) -> int:
    """Size of one file of the write-ahead log."""
    return int(session.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"))


def kept_program(receipt: Mapping[str, Any], name: str) -> str:
    """The path of a program of the version that the backup was taken with."""
    path = os.path.join(receipt["tools"]["folder"], name)
    if not os.access(path, os.X_OK):
        version = major(receipt)
        raise DatabaseError(
            f"{path} is missing; {receipt['id']} is a backup of PostgreSQL {version} and needs the programs of that"
            f" version: install them (postgresql-{version}), or run this on a host that has them."
            f" {newer_version(receipt)}"
        )
    return path


def major(facts: Mapping[str, Any]) -> int:
    """The major version of a server, from its identity or from a receipt."""
    return int(facts["server_version"]) // 10000


def newer_version(receipt: Mapping[str, Any]) -> str:
    """How data of this backup get into a server of a newer major version: one sentence."""
    if receipt["method"] == "dump":
        return "A newer version takes it as a new database (target: database, without in_place)"
    return (
        f"No other major version can read its files: restore it as a cluster of PostgreSQL {major(receipt)}"
        " (target: cluster, without in_place), and bring its databases into the newer server with pg_dump and"
        " pg_restore of the newer version"
    )


def dumps_running(session: Session) -> list[str]:
    """The running dumps of this database: "pg_dump, pid 4711, user backup, since 2026-11-23 12:00:00+00"."""
    return [
        row[0]
        for row in session.rows(
            "SELECT format('%s, pid %s, user %s, since %s', application_name, pid, usename, date_trunc('second',"
            " backend_start)) FROM pg_stat_activity WHERE datname = current_database() AND application_name IN"
            " ('pg_dump', 'pg_dumpall') AND pid <> pg_backend_pid() ORDER BY pid",
            None,
        )
    ]


def try_lock(session: Session, shared: bool) -> bool:
    """Try once, without waiting in the lock's queue: a waiter there would block CREATE INDEX CONCURRENTLY."""
    kind = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    return bool(session.value(f"SELECT {kind}(%s::int, %s::int)", LOCK))


def lock_holders(session: Session) -> list[str]:
    """The sessions that hold Gradual's lock of this database: "gradual-backup, pid 4711, since …"."""
    return [
        row[0]
        for row in session.rows(
            "SELECT format('%%s, pid %%s, since %%s', a.application_name, a.pid, date_trunc('second', a.backend_start))"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND"
            " l.classid = %s::oid AND l.objid = %s::oid AND a.datname = current_database()",
            LOCK,
        )
    ]


def wait_for_lock(session: Session, shared: bool, deadline: float, pause: float = 0.5) -> None:
    """Take Gradual's lock of this database; try again until the deadline (s) has passed."""
    until = time.monotonic() + deadline
    while not try_lock(session, shared):
        if time.monotonic() >= until:
            holders = "; ".join(lock_holders(session)) or "a session that has just ended"
            what = "A backup" if shared else "A migration"
            raise DatabaseError(
                f"{what} cannot run now: {holders} holds Gradual's lock and did not end within {deadline:.0f} s; run"
                " this again later"
            )
        time.sleep(pause)
