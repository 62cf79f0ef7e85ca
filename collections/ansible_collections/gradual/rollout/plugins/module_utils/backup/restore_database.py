# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Restore a dump as a database of the live cluster: a new one, or in place of the live one."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import archive, compare, dump, snapshot, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Method
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request, stamp
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, databases, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, run_sql, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, conninfo, quote

NAME = "gradual-restore"
# Bytes; PostgreSQL truncates longer names.
_LONGEST = 63


class NewDatabase:
    """Restore beside the live databases, under a new name."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        self.request, self.receipt, self.method = request, receipt, method
        self.name = request.database or f"{receipt['database']}_restored_{stamp(receipt)}"

    def plan(self) -> dict[str, Any]:
        with self._session("postgres") as session:
            free = self._check(session)
        return {
            "target": "database",
            "database": self.name,
            "message": (
                f"would restore {self.receipt['id']} as the new database {self.name} of the cluster at "
                f"{self.request.socket_directory}:{self.request.port}, with {free / store.MIB:.0f} MiB free"
            ),
        }

    def carry_out(self) -> dict[str, Any]:
        made = self._restore()
        return {
            "roles_made": made,
            "message": f"{self.receipt['id']} is restored as the database {self.name} and contains what its receipt"
            " says",
            "next": [
                f'psql --host {self.request.socket_directory} --port {self.request.port} "dbname={self.name}"',
                (
                    f'dropdb --host {self.request.socket_directory} --port {self.request.port} "{self.name}"  # when it'
                    " is no longer needed"
                ),
            ],
        }

    def _check(self, session: Session) -> int:
        """Refuse a used name, a server that is too old and a disk that is too full. Returns the free bytes."""
        _free_name(session, self.name)
        major = server.major(self.receipt)
        seen = server.identity(session)
        if seen["standby"]:
            raise DatabaseError("this server is a standby, into which nothing can be restored; run this on the primary")
        if server.major(seen) < major:
            raise DatabaseError(
                f"the backup is of PostgreSQL {major}, this server is {server.major(seen)}; restore it"
                f" into version {major} or newer"
            )
        # The restore's WAL may be on the same disk.
        needed = int(self.receipt["database_bytes"]) + int(
            session.value("SELECT pg_size_bytes(current_setting('max_wal_size'))")
        )
        return store.need_space(
            str(session.value("SHOW data_directory")), needed, self.request.reserve_mib, "the restored database"
        )

    def _restore(self) -> list[str]:
        """Make the database and compare it. Returns the names of the roles that were made.

        On failure the database and these roles are dropped.
        """
        with self._session("postgres") as session:
            programs = server.binaries(session)
            missing, statements = self._missing_roles(session)
        try:
            if missing:
                self._psql(programs, "postgres", statements)
            self._fill(os.path.join(programs, "pg_restore"), programs)
            with self._session(self.name) as session:
                compare.none_of(compare.content_differences(self.receipt, session))
                compare.none_of(compare.object_differences(self.receipt, session, ["database"]))
        except BaseException as error:
            self._take_back(missing, error)
            raise
        return missing

    def _fill(self, pg_restore: str, programs: str) -> None:
        """Create the database, with its locale, settings and grants, and restore what is in it."""
        path = os.path.join(self.request.path, dump.DUMP[self.receipt["format"]])
        create, settings = archive.database_sql(pg_restore, path, self.receipt["database"], self.name)
        self._psql(programs, "postgres", create)
        self._psql(programs, self.name, settings)
        argv = [pg_restore, "--no-password", "--exit-on-error", "--no-tablespaces", "--jobs", str(self.request.jobs)]
        there = conninfo(self.request.parameters(self.name))
        strictly(run([*argv, "--dbname", there, path], timeout=self.request.timeout), snapshot.HARMLESS)

    def _take_back(self, made: Sequence[str], error: BaseException) -> None:
        """Drop the database and the roles. When that fails too, raise an error that says what is left."""
        try:
            databases.drop(self._session, self.name)
            with self._session("postgres") as session:
                for name in made:
                    session.run(f"DROP ROLE IF EXISTS {quote(name)}")
        except DatabaseError as left:
            raise DatabaseError(
                f"{error}. What the restore made could not be removed ({left}); type: DROP DATABASE IF EXISTS"
                f" {quote(self.name)}; {' '.join(f'DROP ROLE IF EXISTS {quote(name)};' for name in made)}"
            ) from None

    def _missing_roles(self, session: Session) -> tuple[list[str], str]:
        """The roles that the cluster lacks, and the statements that make them without passwords."""
        there = {row[0] for row in session.rows("SELECT rolname::text FROM pg_roles")}
        with open(os.path.join(self.request.path, dump.ROLES), encoding="utf-8", errors="surrogateescape") as file:
            return roles(file.read(), there)

    def _psql(self, programs: str, database: str, statements: str) -> None:
        sent = statements.encode("utf-8", "surrogateescape")
        program = os.path.join(programs, "psql")
        run_sql(program, conninfo(self.request.parameters(database)), send=sent, timeout=self.request.timeout)

    def _session(self, database: str) -> Session:
        return Session(self.request.parameters(database), NAME)


class DatabaseInPlace(NewDatabase):
    """Restore beside the live database, compare, then rename both; the live one is kept under another name."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        super().__init__(request, receipt, method)
        self.live = str(receipt["database"])
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.name = f"{self.live}_restoring_{now}"
        self.aside = f"{self.live}_before_{now}"

    def plan(self) -> dict[str, Any]:
        with self._session("postgres") as session:
            identity = server.identity(session)
            if server.major(identity) != server.major(self.receipt):
                raise DatabaseError(
                    f"the backup is of PostgreSQL {server.major(self.receipt)}, this server is"
                    f" {server.major(identity)}; it replaces no database of another major version. Restore it beside"
                    " the live data (without in_place) into the same version or a newer one"
                )
            if identity["system_identifier"] != self.receipt["system_identifier"]:
                raise DatabaseError(
                    f"the backup is of the cluster {self.receipt['system_identifier']}, this cluster is"
                    f" {identity['system_identifier']}; restore it beside the live data (without in_place)"
                )
            if not session.value("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (self.live,)):
                raise DatabaseError(
                    f"there is no database {self.live} to replace; write database: {self.live}, without in_place"
                )
            if len(self.aside.encode()) > _LONGEST:
                raise DatabaseError(
                    f"the name {self.aside} is longer than {_LONGEST} bytes; rename the database by hand, and restore"
                    " without in_place"
                )
            self._check(session)
        return {
            "target": "database",
            "database": self.live,
            "aside": self.aside,
            "message": (
                f"would restore {self.receipt['id']} beside {self.live}, end every session of {self.live}, rename it to"
                f" {self.aside} and the restored one to {self.live}"
            ),
        }

    def carry_out(self) -> dict[str, Any]:
        with self._session(self.live) as session:
            contents.fix_text(session)
            server.wait_for_lock(session, shared=False, deadline=self.request.deadline)
            made = self._restore()
        self._swap()
        return {
            "roles_made": made,
            "message": (
                f"{self.live} is as it was at {self.receipt['taken_at']}; the replaced database is {self.aside}, with"
                " all that was written since"
            ),
            "next": [
                (
                    f'psql --host {self.request.socket_directory} --port {self.request.port} "dbname={self.aside}"  #'
                    " for what was written since"
                ),
                "ansible-playbook playbooks/backup.yml  # migrations need a backup of the new live data",
            ],
        }

    def _swap(self) -> None:
        """Rename both in one transaction, while neither takes connections. On failure nothing is changed."""
        live, new, aside = quote(self.live), quote(self.name), quote(self.aside)
        try:
            with self._session("postgres") as session:
                # A pool would connect again before the rename.
                session.run(f"ALTER DATABASE {live} ALLOW_CONNECTIONS false")
                _end_sessions(session, (self.live, self.name), self.request.deadline)
                session.run("BEGIN")
                session.run(f"ALTER DATABASE {live} RENAME TO {aside}")
                session.run(f"ALTER DATABASE {new} RENAME TO {live}")
                session.run(f"ALTER DATABASE {aside} ALLOW_CONNECTIONS true")
                session.run("COMMIT")
        except BaseException as error:
            self._open_again(error)
            raise

    def _open_again(self, error: BaseException) -> None:
        """Allow connections again, in a new session, because the other one may be lost. Raises the error to show,
        unless `error` is not the database's."""
        again = f"ALTER DATABASE {quote(self.live)} ALLOW_CONNECTIONS true"
        try:
            with self._session("postgres") as session:
                session.run(again)
        except DatabaseError as closed:
            raise DatabaseError(
                f"{self.live} was not replaced ({error}), and takes no connections, because the server does not answer"
                f" ({closed}). When it answers again, type: {again}"
            ) from None
        if isinstance(error, DatabaseError):
            raise DatabaseError(
                f"{self.live} was not replaced and is unchanged: {error}. The restored database is {self.name}"
            ) from None


def _end_sessions(session: Session, databases: tuple[str, ...], deadline: float) -> None:
    until = time.monotonic() + deadline
    while True:
        left = session.rows(
            "SELECT pg_terminate_backend(pid), format('%%s (pid %%s, user %%s)', application_name, pid, usename) FROM"
            " pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
            (list(databases),),
        )
        if not left:
            return
        if time.monotonic() > until:
            raise DatabaseError(f"{'; '.join(row[1] for row in left)} did not end within {deadline:.0f} s")
        time.sleep(0.1)


def _free_name(session: Session, name: str) -> None:
    if len(name.encode()) > _LONGEST:
        raise DatabaseError(f"the name {name} is longer than {_LONGEST} bytes; write a shorter one as database")
    if session.value("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (name,)):
        raise DatabaseError(
            f"the database {name} exists already, and no restore overwrites it; drop it, or write another name as"
            " database"
        )


def roles(text: str, there: set[str]) -> tuple[list[str], str]:
    """(missing roles, statements that make them), from the output of pg_dumpall."""

    def plain(name: str) -> str:
        return name[1:-1].replace('""', '"') if name.startswith('"') else name

    word = r'("(?:[^"]|"")+"|[^\s;"]+)'
    missing = [
        plain(name) for name in re.findall(rf"^CREATE ROLE {word};$", text, re.MULTILINE) if plain(name) not in there
    ]
    wanted = []
    for line in text.split("\n"):
        found = re.match(rf"(?:CREATE ROLE {word};|ALTER ROLE {word} WITH |GRANT {word} TO {word}[ ;])", line)
        if found and plain(found.group(1) or found.group(2) or found.group(4)) in missing:
            wanted.append(line)
    return missing, "".join(line + "\n" for line in wanted)
