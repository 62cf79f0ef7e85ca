# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Compare a restored copy with its receipt."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import snapshot
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import DRILL
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import (
    contents,
    databases,
    facts,
    records,
    schema_text,
    sequences,
    server,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, run_sql, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_AGAIN = "gradual_schema"
# So many lines of two schemas that differ are shown.
_LINES = 6


def differences(path: str, receipt: Mapping[str, Any], scratch: Scratch, unlogged: bool, timeout: float) -> list[str]:
    """How the copy differs from the backup's snapshot: schema, revision, rows, contents, sequences, canary row, and
    what it has beside them (facts.py)."""
    with Session(scratch.parameters(receipt["database"]), DRILL) as session:
        found = content_differences(receipt, session, unlogged)
        found += object_differences(receipt, session, left_out=scratch.not_refreshed)
    lines = schema_differences(path, receipt, scratch, timeout)
    return [*found, "the schema differs: " + "; ".join(lines[:_LINES])] if lines else found


def content_differences(receipt: Mapping[str, Any], session: Session, unlogged: bool = True) -> list[str]:
    """How a restored database differs from the snapshot in rows, contents, sequences, canary row and revision.

    A receipt of an older version of the digest is compared by that version.
    """
    contents.fix_text(session)
    version = receipt.get("digest_version", 1)
    seen = contents.tables(session, receipt["server_version"], unlogged, version)
    found = contents.differences(receipt["tables"], seen)
    found += sequences.differences(sequences.ranges_of(receipt, session), sequences.read(session, unlogged, version))
    revision = ",".join(server.revisions(session)) or None
    canary = receipt.get("canary")
    if canary and not records.has_canary(session, canary):
        found.append(f"the canary row of this backup (gradual.canary, id {canary['id']}) is missing")
    if revision != receipt["revision"]:
        found.append(f"the restored copy is at revision {revision}, expected {receipt['revision']}")
    return found


def object_differences(
    receipt: Mapping[str, Any],
    session: Session,
    scopes: Sequence[str] = facts.SCOPES,
    left_out: Sequence[str] = (),
) -> list[str]:
    """How the database, or its cluster, differs from the snapshot in what facts.py reads; older receipts have none.

    left_out: the materialized views that were not refreshed, quoted names.
    """
    kept = receipt.get("objects", {})
    unknown = {facts.of_view(name) for name in left_out}
    return [
        sentence
        for scope in scopes
        if scope in kept
        for sentence in facts.differences(
            kept[scope], facts.read(session, scope, version=receipt.get("digest_version", 1)), unknown
        )
    ]


def schema_differences(path: str, receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> list[str]:
    """The lines in which the schemas differ, as pg_dump writes them.

    After one dump and restore, PostgreSQL writes some expressions in another form (x IN ('a') on varchar). So when the
    texts differ, the live schema is restored into an empty database too, and the two are compared again.
    """
    restored = _schema(scratch, receipt["database"], receipt["encoding"])
    if schema_text.fingerprint(restored) == receipt["schema_fingerprint"]:
        return []
    with _schema_again(path, receipt, scratch, timeout):
        return schema_text.differences(_schema(scratch, _AGAIN, receipt["encoding"]), restored)


@contextlib.contextmanager
def _schema_again(path: str, receipt: Mapping[str, Any], scratch: Scratch, timeout: float) -> Iterator[None]:
    """The live schema in an empty database of the throwaway cluster."""
    encoding = f"ENCODING '{receipt['encoding']}' LC_COLLATE 'C' LC_CTYPE 'C'"
    with Session(scratch.parameters("postgres"), DRILL) as session:
        session.run(f"CREATE DATABASE {_AGAIN} TEMPLATE template0 {encoding}")
    try:
        schema = schema_text.without_refreshes(snapshot.schema_text(os.path.join(path, snapshot.SCHEMA)))
        sent = schema.encode("utf-8", "surrogateescape")
        run_sql(scratch.program("psql"), scratch.conninfo(_AGAIN), send=sent, timeout=timeout)
        yield
    finally:
        databases.drop(lambda name: Session(scratch.parameters(name), DRILL), _AGAIN)


def _schema(scratch: Scratch, database: str, encoding: str) -> str:
    path = os.path.join(scratch.folder, "schema.sql")
    strictly(
        run(
            [
                scratch.program("pg_dump"),
                "--no-password",
                "--schema-only",
                "--no-tablespaces",
                "--encoding",
                encoding,
                "--file",
                path,
                "--dbname",
                scratch.conninfo(database),
            ]
        ),
        snapshot.HARMLESS,
    )
    return snapshot.schema_text(path)


def none_of(found: Sequence[str]) -> None:
    """Raise the first five findings, if there are any."""
    if found:
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise DatabaseError("; ".join(found[:5]) + more)
