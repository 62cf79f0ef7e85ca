# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The two sessions of a backfill: the owner's writes and holds the lock of all backfills, the superuser's watches."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import Backfill, settings
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn, lag, records, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import (
    Session,
    quote,
    socket_parameters,
)

APPLICATION_NAME = "gradual-backfill"
# "grad", "bf": one backfill runner per database. Not Gradual's main lock, which migrations and backups need during a
# backfill of days.
LOCK = (0x67726164, 0x6266)
_LOCK_SECONDS = 10.0
_HOLDERS = """
SELECT DISTINCT format('pid %%s (%%s, user %%s, in its transaction for %%s s)', a.pid,
                       coalesce(nullif(a.application_name, ''), '-'), a.usename,
                       round(extract(epoch FROM clock_timestamp() - a.xact_start)))
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'relation' AND l.relation = to_regclass(%s)
   AND l.mode IN ('RowShareLock', 'RowExclusiveLock') AND a.application_name NOT LIKE 'gradual%%'
"""


@dataclass(frozen=True)
class Request:
    """How to connect, and the limits in seconds unless the name says otherwise.

    active_sessions: how many sessions of others may be active during a batch.
    """

    database: str
    variables: Mapping[str, str]
    run_as: str
    socket_directory: str
    port: int
    deadline: float
    limits: lag.Limits
    active_sessions: int
    batch_ms: int = 200
    lock_timeout_ms: int = 50
    statement_timeout_ms: int = 5000


def variables_of(file: str | None, url: str | None) -> dict[str, str]:
    """DATABASE_URL and the other variables, from an environment file or as given."""
    found: dict[str, str] = {}
    if file:
        found = dsn.read_variables(file)
    if url:
        found["DATABASE_URL"] = url
    if not found.get("DATABASE_URL"):
        raise DatabaseError(
            "DATABASE_URL of the schema's owner is missing; write the path of the file that has it as environment_file"
        )
    return found


class Sessions:
    """Both sessions, connected. Only `prepare` changes anything."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.watcher = self._watch()
        self.version = int(server.identity(self.watcher)["server_version"])
        self.writer = self._write()
        self.locked = False

    def close(self) -> None:
        self.writer.close()
        self.watcher.close()

    def prepare(self) -> None:
        """Make Gradual's table, let the owner write to it, and take the lock."""
        if server.identity(self.watcher)["standby"]:
            raise DatabaseError("this server is a standby, where no backfill can run; run this on the primary")
        records.ensure(self.watcher)
        owner = str(self.writer.value("SELECT current_user::text"))
        table = f"{records.SCHEMA}.backfill"
        may = self.watcher.value(
            "SELECT has_schema_privilege(%s, %s, 'USAGE') AND has_table_privilege(%s, %s, 'SELECT') AND"
            " has_table_privilege(%s, %s, 'INSERT') AND has_table_privilege(%s, %s, 'UPDATE')",
            (owner, records.SCHEMA, owner, table, owner, table, owner, table),
        )
        if not may:
            self.watcher.run(f"GRANT USAGE ON SCHEMA {records.SCHEMA} TO {quote(owner)}")
            self.watcher.run(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {quote(owner)}")
        self.locked = True
        self._take_lock()

    def reconnect(self) -> None:
        """Connect again after a restart of the server, and take the lock again, which ended with the old session."""
        for session in (self.writer, self.watcher):
            session.close()
        self.watcher = self._watch()
        self.writer = self._write()
        if self.locked:
            self._take_lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """The owner's session for a long read: the manifest's conditions never run with more rights than the
        owner's."""
        self.writer.run("BEGIN READ ONLY")
        try:
            self.writer.run("SET LOCAL statement_timeout = 0")
            yield self.writer
        finally:
            with contextlib.suppress(DatabaseError):
                self.writer.run("ROLLBACK")

    def holders(self, one: Backfill) -> list[str]:
        """Sessions that may hold row locks of its table: each that has locked or changed rows."""
        return [row[0] for row in self.watcher.rows(_HOLDERS, (one.relation,))]

    def running(self) -> list[str]:
        """The backfill runners of this database: "gradual-backfill, pid 4711, since …"."""
        return [
            row[0]
            for row in self.watcher.rows(
                "SELECT format('%%s, pid %%s, since %%s', a.application_name, a.pid, date_trunc('second',"
                " a.backend_start)) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
                " AND l.granted AND l.classid = %s::oid AND l.objid = %s::oid AND a.datname = current_database()",
                LOCK,
            )
        ]

    def _take_lock(self) -> None:
        until = time.monotonic() + min(_LOCK_SECONDS, self.request.deadline)
        while not self.writer.value("SELECT pg_try_advisory_lock(%s::int, %s::int)", LOCK):
            if time.monotonic() >= until:
                raise DatabaseError(
                    "another backfill of this database is running"
                    f" ({'; '.join(self.running()) or 'it has just ended'}); run this again when it has ended"
                )
            time.sleep(0.2)

    def _watch(self) -> Session:
        given = self.request
        with effective_user(given.run_as):
            return Session(
                socket_parameters(given.database, given.socket_directory, given.port), f"{APPLICATION_NAME}-watcher"
            )

    def _write(self) -> Session:
        """Connect directly to this database: a pooler would drop the timeouts and share the lock."""
        given = self.request
        url = dsn.libpq_url(given.variables["DATABASE_URL"])
        parameters = {"dsn": url, "options": settings(self.version, given.lock_timeout_ms, given.statement_timeout_ms)}
        if "PGPASSFILE" in given.variables:
            parameters["passfile"] = given.variables["PGPASSFILE"]
        where = f"DATABASE_URL ({dsn.without_password(url)})"
        try:
            session = Session(parameters, APPLICATION_NAME)
        except DatabaseError as error:
            raise DatabaseError(f"{where} does not connect: {error}", error.sqlstate) from None
        timeout, pid = session.rows("SELECT setting, pg_backend_pid() FROM pg_settings WHERE name = 'lock_timeout'")[0]
        there = self.watcher.value(
            "SELECT datname = current_database() FROM pg_stat_activity WHERE pid = %s AND application_name = %s",
            (pid, APPLICATION_NAME),
        )
        told = session.told_pid
        if not there or told != pid or timeout != str(given.lock_timeout_ms):
            session.close()
            raise DatabaseError(
                f"{where} leads to another database than {given.database} at {given.socket_directory}, or through a"
                f" pooler (got process {told} from it, expected {pid}; lock_timeout is {timeout}); write the server's"
                " own address. Nothing was changed"
            )
        return session
