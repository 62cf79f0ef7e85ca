# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A restore point in the write-ahead log and a snapshot of the same moment, to compare a physical backup with.

Recovery brings a copy of the files forward to a restore point. Normally no snapshot shows what the database contained
there, because other transactions commit between any two statements. So for a few milliseconds all tables are locked
against writes, a restore point is written into the log, a snapshot is taken, and the locks are released. A copy that is
recovered to this restore point must contain exactly what the snapshot contains. While a writer does not end, the locks
are tried again and again; waiting in the lock's queue would make all other sessions wait behind it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, snapshot
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Work
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import (
    contents,
    facts,
    schema_text,
    sequences,
    server,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

LOCK_TIMEOUT_MS = 50
PAUSE = 0.5
# Large objects are stored in these; all other rows are in the users' tables.
_CATALOGS = ("pg_catalog.pg_largeobject", "pg_catalog.pg_largeobject_metadata")
_SCHEMA_STATE = """
SELECT (SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_class
         WHERE oid >= 16384 AND relpersistence <> 't'),
       (SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_constraint WHERE oid >= 16384),
       (SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_proc WHERE oid >= 16384),
       (SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_namespace),
       (SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_trigger),
       (SELECT count(*) FROM pg_attribute WHERE attrelid >= 16384)
"""
# End autovacuums of these tables, as PostgreSQL does for a session that waits longer. Not those against wraparound.
_END_VACUUMS = """
SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a
 WHERE a.backend_type = 'autovacuum worker' AND a.datname = current_database()
   AND a.query NOT LIKE '%%to prevent wraparound%%'
"""
_WRITERS = """
SELECT DISTINCT format('%%s, pid %%s, user %%s, in a transaction since %%s',
                       coalesce(nullif(a.application_name, ''), a.backend_type), a.pid, a.usename,
                       date_trunc('second', coalesce(a.xact_start, a.backend_start)))
  FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
 WHERE l.locktype = 'relation' AND l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')
   AND (c.oid >= 16384 OR c.relname LIKE 'pg_largeobject%%')
UNION ALL
SELECT format('prepared transaction %%s of %%s since %%s', gid, owner, date_trunc('second', prepared))
  FROM pg_prepared_xacts WHERE database = current_database()
"""


@dataclass(frozen=True)
class Moment:
    """A restore point. lsn: its end in the write-ahead log; segment: its file; seconds: how long writers waited."""

    name: str
    lsn: str
    segment: str
    seconds: float


def held(work: Work, fetch: Callable[[Moment], None] | None = None) -> dict[str, Any]:
    """What the receipt says of the database at the restore point, whose snapshot the session keeps. `fetch` copies the
    WAL up to it into the backup."""
    attempts = iter(range(1, 1_000_000))

    def attempt() -> dict[str, Any]:
        # Recovery stops at the first restore point of a name, so each attempt has a new name.
        return _attempt(work, f"{work.id}-{next(attempts)}", fetch)

    return snapshot.retry_while_locked(attempt, work.session, lambda: None, work.request.deadline)


def _attempt(work: Work, name: str, fetch: Callable[[Moment], None] | None) -> dict[str, Any]:
    session = work.session
    before = sequences.read(session, unlogged=False)
    moment = _make(work, name)
    taken_at = receipts.now()
    work.clock.lap("moment")
    told = snapshot.facts(server.identity(session), server.revisions(session))
    snapshot_id = str(session.value("SELECT pg_export_snapshot()"))
    # Completes the segment of the restore point.
    session.run("SELECT pg_switch_wal()")
    with snapshot.schema_beside(work, snapshot_id, told["encoding"]) as schema:
        if fetch is not None:
            fetch(moment)
        work.clock.lap("wal")
        after, ahead = sequences.read(session, unlogged=False), sequences.ahead(session)
        objects = facts.read_all(session)
        fingerprint = schema_text.fingerprint(schema())
    work.clock.lap("schema")
    return {
        **told,
        "lsn": moment.lsn,
        "schema_fingerprint": fingerprint,
        "objects": objects,
        "taken_at": taken_at,
        "sequences": {
            one: sequences.widened(before[one], after[one], ahead.get(one, 0)) for one in before if one in after
        },
        "restore": {
            "target": moment.name,
            "lsn": moment.lsn,
            "last_segment": moment.segment,
            "writers_waited": moment.seconds,
            "segment_bytes": server.segment_bytes(session),
        },
    }


def _make(work: Work, name: str) -> Moment:
    """Make the restore point. The session then is in a transaction with the snapshot of that moment, which also keeps
    tables from being rewritten."""
    session = work.session
    until = time.monotonic() + work.request.deadline
    with Session(work.request.parameters(), base.APPLICATION_NAME) as other:
        contents.fix_text(other)
        while True:
            try:
                found = _try(session, other, name)
            except DatabaseError as error:
                session.run("ROLLBACK")
                if not snapshot.lock_refused(error):
                    raise
                found = None
            if found is not None:
                return found
            if time.monotonic() >= until:
                writers = "; ".join(row[0] for row in other.rows(_WRITERS, ())) or "a session that has just ended"
                raise DatabaseError(
                    f"the tables could not be locked against writes within {work.request.deadline:.0f} s, so the backup"
                    f" could not be compared: {writers}; run this again when they have ended, or raise deadline"
                )
            other.run(_END_VACUUMS, ())
            time.sleep(PAUSE)


def _try(session: Session, other: Session, name: str) -> Moment | None:
    """One attempt; None when the schema was changed meanwhile, which these locks cannot prevent."""
    held = contents.names(session, unlogged=False)
    every = [*(f"ONLY {one}" for one in held), *_CATALOGS]
    # Waiting for the locks of many tables must not block others for much longer than waiting for one.
    contents.hold(
        session, held, {"lock_timeout": LOCK_TIMEOUT_MS, "statement_timeout": 2 * LOCK_TIMEOUT_MS + len(every) // 10}
    )
    session.run("SAVEPOINT moment")
    begun = time.monotonic()
    session.run(f"LOCK TABLE {', '.join(every)} IN SHARE MODE")
    # The first statement that reads data takes the transaction's snapshot.
    lsn = str(session.value("SELECT pg_create_restore_point(%s)::text", (name,)))
    # Releases the locks taken since the savepoint, and keeps the transaction's snapshot.
    session.run("ROLLBACK TO SAVEPOINT moment")
    seconds = round(time.monotonic() - begun, 4)
    session.run("RELEASE SAVEPOINT moment")
    session.run(f"SET LOCAL lock_timeout = {base.LOCK_TIMEOUT_MS}")
    session.run("SET LOCAL statement_timeout = 0")
    if _standing(other) != _standing(session):
        session.run("ROLLBACK")
        return None
    return Moment(name, lsn, str(session.value("SELECT pg_walfile_name(%s::pg_lsn)", (lsn,))), seconds)


def _standing(session: Session) -> object:
    """What must be the same in the snapshot and at the restore point."""
    return session.rows(_SCHEMA_STATE), facts.read_all(session, moving=False)
