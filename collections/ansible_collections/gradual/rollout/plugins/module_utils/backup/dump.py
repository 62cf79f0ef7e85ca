# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Backup method `dump`: pg_dump of one database, and its roles, from a snapshot that stays for the digest."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import replace
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import archive, base, snapshot, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Work
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import (
    contents,
    facts,
    materialized_views,
    schema_text,
    sequences,
    server,
    taken_over,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    beside,
    finished,
    run,
    run_sql,
    strictly,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import (
    OVERHEAD,
    Scratch,
    scratch_cluster,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

DUMP = {"custom": "database.dump", "directory": "database"}
ROLES = "roles.sql"
# Errors of a restore of which the cause is known, and what to type. The live database is healthy, but no dump of it can
# be restored by anybody.
_HINTS = {
    r"(function|relation|type) .* does not exist": (
        "If this exists in the database: a restore has an empty search_path, so the function or query that uses it must"
        " say the schema itself, or the function have a path of its own; type: ALTER FUNCTION … SET search_path = …"
    ),
    r"operator does not exist": (
        "If this exists in the database: a restore has an empty search_path, and IS DISTINCT FROM, IN and CASE look for"
        " the operator there; write OPERATOR(schema.=) with the operator's schema, or, in a function, type: ALTER"
        " FUNCTION … SET search_path = …"
    ),
    r"COPY failed for table .* violates check constraint": (
        "If the rows are right in the database: the check reads other tables, which are empty at this point of a"
        " restore; a constraint that is NOT VALID is restored after all rows; type: ALTER TABLE … DROP CONSTRAINT …,"
        " ADD CONSTRAINT … CHECK (…) NOT VALID"
    ),
    r'SET "?\w+"? TO ;': (
        "pg_dump writes a setting that is an empty list as no SQL; type: ALTER FUNCTION … SET search_path = ''"
    ),
}
_SMALL = 64 * store.MIB


class Dump(base.Method):
    """pg_dump into one file, or into a folder that several processes write."""

    name = "dump"

    def estimate(self, session: Session) -> int:
        # Uncompressed rows without indexes, and 20 % more: bytea is dumped as text, which does not compress as well.
        return int(
            session.value(
                "SELECT (coalesce(sum(pg_table_size(c.oid)), 0) * 1.2)::bigint + 1048576 FROM pg_class c WHERE"
                " c.relkind IN ('r', 'm') AND c.oid >= 16384 OR c.relname = 'pg_largeobject'"
            )
        )

    def fill(self, work: Work) -> dict[str, Any]:
        def clean() -> None:
            for name in os.listdir(work.folder):
                path = os.path.join(work.folder, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

        held = snapshot.retry_while_locked(lambda: _dump_snapshot(work), work.session, clean, work.request.deadline)
        cluster = _dump_roles(work)
        dumped = os.path.join(work.folder, DUMP[work.request.format])
        if not os.path.exists(dumped):
            raise DatabaseError(
                f"pg_dump ended with status 0, but {os.path.basename(dumped)} is missing; is the disk of"
                f" {work.request.destination} full?"
            )
        fingerprint = _write_schema(work, dumped)
        work.clock.lap("roles")
        held = {**held, "schema_fingerprint": fingerprint, "objects": {"database": held["objects"], "cluster": cluster}}
        return {"format": work.request.format, **held, "tools": {"pg_dump": work.version("pg_dump")}}

    def readable(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        strictly(
            run(
                [server.kept_program(receipt, "pg_restore"), "--file", "/dev/null", _archive(path, receipt)],
                timeout=timeout,
            )
        )

    def copy_bytes(self, receipt: Mapping[str, Any]) -> int:
        return int(receipt["database_bytes"]) + OVERHEAD

    @contextlib.contextmanager
    def restored_copy(
        self, path: str, receipt: Mapping[str, Any], parent: str, timeout: float, jobs: int = 2
    ) -> Iterator[Scratch]:
        programs = os.path.dirname(server.kept_program(receipt, "initdb"))
        settings = {**taken_over.of(receipt.get("settings", {}), programs), **taken_over.locks(len(receipt["tables"]))}
        with scratch_cluster(parent, programs, receipt["bootstrap_role"], settings=settings) as scratch:
            _restore_roles(path, receipt, scratch, timeout)
            with _explained():
                left = _fill(scratch, _archive(path, receipt), receipt, timeout, jobs)
            yield replace(scratch, not_refreshed=tuple(left))


def _dump_snapshot(work: Work) -> dict[str, Any]:
    """Dump one snapshot, which the session keeps; returns what the receipt says of it."""
    session = work.session
    contents.hold(session)
    taken_at = receipts.now()
    snapshot_id = str(session.value("SELECT pg_export_snapshot()"))
    before = sequences.read(session)
    told = snapshot.facts(server.identity(session), server.revisions(session))
    work.clock.lap("prepare")
    command = _command(work, snapshot_id, told["encoding"])
    with beside(command) as dumping:
        objects = facts.read(session, "database")
        warnings = strictly(finished(dumping, command), snapshot.HARMLESS)
    work.clock.lap("dump")
    after = sequences.read(session)
    return {
        **told,
        "objects": objects,
        "taken_at": taken_at,
        "warnings": warnings,
        "sequences": {name: [before[name], after[name]] for name in before if name in after},
    }


def _dump_roles(work: Work) -> dict[str, str]:
    """Write the cluster's roles; returns what the receipt says of them. Again if they were changed meanwhile."""
    argv = [work.program("pg_dumpall"), "--globals-only", "--no-role-passwords", "--no-tablespaces", "--no-password"]
    file, database = os.path.join(work.folder, ROLES), work.request.conninfo("postgres")
    # Not the work's session, which would see the roles of its snapshot.
    with Session(work.request.parameters(), base.APPLICATION_NAME) as session:
        contents.fix_text(session)
        before, after = None, facts.read(session, "cluster")
        while before != after:
            strictly(run([*argv, "--encoding", "UTF8", "--file", file, "--dbname", database]), snapshot.HARMLESS)
            before, after = after, facts.read(session, "cluster")
    return after


def _write_schema(work: Work, dumped: str) -> str:
    """Write the schema as SQL beside the archive, from the archive itself; returns its fingerprint."""
    path = os.path.join(work.folder, snapshot.SCHEMA)
    argv = [work.program("pg_restore"), "--schema-only", "--no-tablespaces", "--file", path, dumped]
    strictly(run(argv))
    return schema_text.fingerprint(snapshot.schema_text(path))


def _fill(scratch: Scratch, dumped: str, receipt: Mapping[str, Any], timeout: float, jobs: int) -> list[str]:
    """Make the database in the throwaway cluster. Returns its materialized views that read another system."""
    program, database = scratch.program("pg_restore"), receipt["database"]
    # The database `postgres` exists already.
    again = "DROP DATABASE IF EXISTS postgres;\n" if database == "postgres" else ""
    create, settings = archive.database_sql(program, dumped, database, database)
    for where, statements in (("template1", again + create), (database, settings)):
        sent = statements.encode("utf-8", "surrogateescape")
        run_sql(scratch.program("psql"), scratch.conninfo(where), send=sent, timeout=timeout)
    parallel = ["--jobs", str(jobs)] if receipt["database_bytes"] > _SMALL else []
    argv = [program, "--no-password", "--exit-on-error", "--no-tablespaces", *parallel]
    with archive.only(program, dumped, lambda entry: not archive.refreshes(entry)) as entries:
        restored = run([*argv, *entries, "--dbname", scratch.conninfo(database), dumped], timeout=timeout)
    strictly(restored, snapshot.HARMLESS)
    kept = receipt.get("objects", {}).get("database")
    with Session(scratch.parameters(database), base.DRILL) as session:
        views = materialized_views.empty(session)
        # Receipts of version 1 do not know which ones the dump computes.
        return materialized_views.refresh(
            session, [one for one in views if kept is None or kept.get(facts.of_view(one)) == "populated"]
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise the restore's error, with what to type where the cause is known."""
    try:
        yield
    except DatabaseError as error:
        hints = [hint for pattern, hint in _HINTS.items() if re.search(pattern, str(error))]
        raise DatabaseError(". ".join([str(error), *hints]), error.sqlstate) from None


def _command(work: Work, snapshot_id: str, encoding: str) -> list[str]:
    form = work.request.format
    parallel = ["--jobs", str(work.request.jobs)] if form == "directory" else []
    # The lightest compression takes half the time of the default, for a tenth more bytes.
    return [
        work.program("pg_dump"),
        "--format",
        form,
        "--compress",
        "1",
        *parallel,
        "--snapshot",
        snapshot_id,
        "--lock-wait-timeout",
        str(base.LOCK_TIMEOUT_MS),
        "--no-tablespaces",
        # The database's own, which a setting of it may keep from being the dump's.
        "--encoding",
        encoding,
        "--no-password",
        "--file",
        os.path.join(work.folder, DUMP[form]),
        "--dbname",
        work.request.conninfo(work.request.database),
    ]


def _restore_roles(path: str, receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> None:
    """Restore all roles of the source but the bootstrap role, which initdb has made."""
    born = f"CREATE ROLE {receipt['bootstrap_role']};", f"CREATE ROLE {quote(receipt['bootstrap_role'])};"
    with open(os.path.join(path, ROLES), "rb") as file:
        statements = b"".join(line for line in file if line.decode(errors="replace").strip() not in born)
    run_sql(scratch.program("psql"), scratch.conninfo("postgres"), send=statements, timeout=timeout)


def _archive(path: str, receipt: Mapping[str, Any]) -> str:
    return os.path.join(path, DUMP[receipt["format"]])
