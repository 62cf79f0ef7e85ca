# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Backup method `dump`: pg_dump of one database, and its roles, from a snapshot whose contents are digested."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, snapshot, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Work
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, server
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
        strictly(
            run(
                [
                    work.program("pg_dumpall"),
                    "--globals-only",
                    "--no-role-passwords",
                    "--no-tablespaces",
                    *work.request.address(),
                    "--file",
                    os.path.join(work.folder, ROLES),
                ]
            )
        )
        archive = os.path.join(work.folder, DUMP[work.request.format])
        if not os.path.exists(archive):
            raise DatabaseError(
                f"pg_dump ended with status 0, but {os.path.basename(archive)} is missing; is the disk of"
                f" {work.request.destination} full?"
            )
        strictly(run([work.program("pg_restore"), "--list", archive]))
        work.clock.lap("roles")
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
        with scratch_cluster(
            parent, os.path.dirname(server.kept_program(receipt, "initdb")), receipt["bootstrap_role"]
        ) as scratch:
            _restore_roles(path, receipt, scratch, timeout)
            parallel = ["--jobs", str(jobs)] if receipt["database_bytes"] > _SMALL else []
            # The database `postgres` exists already. The dump creates any other one, with its settings and grants.
            create = [] if receipt["database"] == "postgres" else ["--create"]
            strictly(
                run(
                    [
                        scratch.program("pg_restore"),
                        *scratch.address(),
                        "--exit-on-error",
                        "--no-tablespaces",
                        *create,
                        *parallel,
                        "--dbname",
                        "postgres",
                        _archive(path, receipt),
                    ],
                    timeout=timeout,
                )
            )
            yield scratch


def _dump_snapshot(work: Work) -> dict[str, Any]:
    """Dump and digest one snapshot at the same time; returns what the receipt says of it."""
    session = work.session
    contents.hold(session)
    taken_at = receipts.now()
    snapshot_id = str(session.value("SELECT pg_export_snapshot()"))
    before = contents.sequences(session)
    told = snapshot.facts(server.identity(session), server.revisions(session))
    work.clock.lap("prepare")
    command = _command(work, snapshot_id)
    # pg_dump takes longest, so the digest may use only one processor.
    session.run("SET LOCAL max_parallel_workers_per_gather = 0")
    with snapshot.schema_beside(work, snapshot_id) as schema, beside(command) as dumping:
        tables = contents.tables(session)
        fingerprint = contents.fingerprint(schema())
        work.clock.lap("digest")
        warnings = strictly(finished(dumping, command), snapshot.HARMLESS)
    work.clock.lap("dump")
    after = contents.sequences(session)
    session.run("COMMIT")
    return {
        **told,
        "schema_fingerprint": fingerprint,
        "tables": tables,
        "taken_at": taken_at,
        "warnings": warnings,
        "sequences": {name: [before[name], after[name]] for name in before if name in after},
    }


def _command(work: Work, snapshot_id: str) -> list[str]:
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
        *work.request.address(),
        "--file",
        os.path.join(work.folder, DUMP[form]),
        work.request.database,
    ]


def _restore_roles(path: str, receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> None:
    """Restore all roles of the source but the bootstrap role, which initdb has made."""
    born = f"CREATE ROLE {receipt['bootstrap_role']};", f"CREATE ROLE {quote(receipt['bootstrap_role'])};"
    with open(os.path.join(path, ROLES), "rb") as file:
        statements = b"".join(line for line in file if line.decode(errors="replace").strip() not in born)
    run_sql(scratch.program("psql"), scratch.address(), "postgres", send=statements, timeout=timeout)


def _archive(path: str, receipt: Mapping[str, Any]) -> str:
    return os.path.join(path, DUMP[receipt["format"]])
