# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Compare a restored copy with its receipt, and check it for corruption."""

from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import snapshot
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, records, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, run_sql, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

APPLICATION_NAME = "gradual-drill"


def differences(path: str, receipt: Mapping[str, Any], scratch: Scratch, unlogged: bool, timeout: float) -> list[str]:
    """How the copy differs from the backup's snapshot: schema, revision, rows, contents, sequences, canary row."""
    with Session(scratch.parameters(receipt["database"]), APPLICATION_NAME) as session:
        found = content_differences(receipt, session, unlogged)
    return found + _schema_differences(path, receipt, scratch, timeout)


def content_differences(receipt: Mapping[str, Any], session: Session, unlogged: bool = True) -> list[str]:
    """How a restored database differs from the snapshot in rows, contents, sequences, canary row and revision."""
    contents.fix_text(session)
    found = contents.differences(receipt["tables"], contents.tables(session, unlogged))
    ranges = receipt["sequences"]
    found += contents.sequence_differences(
        {name: ends[0] for name, ends in ranges.items()},
        {name: ends[1] for name, ends in ranges.items()},
        contents.sequences(session),
    )
    revision = ",".join(server.revisions(session)) or None
    canary = receipt.get("canary")
    if canary and not records.has_canary(session, canary):
        found.append(f"the canary row of this backup (gradual.canary, id {canary['id']}) is missing")
    if revision != receipt["revision"]:
        found.append(f"the restored copy is at revision {revision}, expected {receipt['revision']}")
    return found


def _schema_differences(path: str, receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> list[str]:
    """Compare the schemas as pg_dump writes them.

    After one dump and restore, PostgreSQL writes some expressions in another form (x IN ('a') on varchar). So when the
    texts differ, the live schema is restored into an empty database too, and the two are compared again.
    """
    restored = _schema(scratch, receipt["database"])
    if contents.fingerprint(restored) == receipt["schema_fingerprint"]:
        return []
    again = "gradual_schema"
    with Session(scratch.parameters("postgres"), APPLICATION_NAME) as session:
        session.run(
            f"CREATE DATABASE {again} TEMPLATE template0 ENCODING '{receipt['encoding']}' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    schema = os.path.join(path, snapshot.SCHEMA)
    run_sql(scratch.program("psql"), scratch.address(), again, schema, timeout=timeout)
    wanted = _schema(scratch, again)
    if contents.fingerprint(wanted) == contents.fingerprint(restored):
        return []
    return ["the schema differs: " + contents.schema_differences(wanted, restored)]


def _schema(scratch: Scratch, database: str) -> str:
    path = os.path.join(scratch.folder, "schema.sql")
    strictly(
        run(
            [
                scratch.program("pg_dump"),
                *scratch.address(),
                "--schema-only",
                "--no-tablespaces",
                "--file",
                path,
                database,
            ]
        ),
        snapshot.HARMLESS,
    )
    return snapshot.schema_text(path)


def corruption(receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> list[str]:
    """What pg_amcheck reports on every table and B-tree of the database; each index is compared with its table."""
    program = server.kept_program(receipt, "pg_amcheck")
    with Session(scratch.parameters(receipt["database"]), APPLICATION_NAME) as session:
        before = session.value("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')")
        done = run(
            [
                program,
                *scratch.address(),
                "--install-missing",
                "--heapallindexed",
                "--no-strict-names",
                "--database",
                receipt["database"],
            ],
            timeout=timeout,
        )
        # Later checks in this copy expect the application's own schema.
        if not before:
            session.run("DROP EXTENSION IF EXISTS amcheck")
    said = [line for line in (done.output + done.errors).splitlines() if line.strip()]
    if done.status not in (0, 2):
        raise DatabaseError(f"pg_amcheck ended with status {done.status} and printed: {'; '.join(said[:5])}")
    return said if said or done.status == 0 else ["pg_amcheck ended with status 2 and printed nothing"]


def none_of(found: Sequence[str]) -> None:
    """Raise the first five findings, if there are any."""
    if found:
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise DatabaseError("; ".join(found[:5]) + more)
