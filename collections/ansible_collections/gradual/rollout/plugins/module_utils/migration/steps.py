# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Gradual's record of each step: the checksum of the applied file, so that a later edit is found."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import records
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_TABLE = f"{records.SCHEMA}.migration_step"


def _known(session: Session, adapter: Adapter) -> dict[str, tuple[str, bool]]:
    """{revision: (sha256, whether it is applied)}; reads only."""
    if session.value("SELECT to_regclass(%s)::text", (_TABLE,)) is None:
        return {}
    return {
        name: (sha256, bool(applied))
        for name, sha256, applied in session.rows(
            f"SELECT revision, sha256, applied_at IS NOT NULL FROM {_TABLE} WHERE adapter = %s", (adapter.name,)
        )
    }


def was_applied(session: Session, adapter: Adapter, name: str) -> bool:
    """Whether Gradual applied the revision itself: only then the record has its duration."""
    if session.value("SELECT to_regclass(%s)::text", (_TABLE,)) is None:
        return False
    return bool(
        session.value(
            f"SELECT EXISTS (SELECT FROM {_TABLE} WHERE adapter = %s AND revision = %s AND seconds IS NOT NULL)",
            (adapter.name, name),
        )
    )


def refuse_edited(session: Session, adapter: Adapter, applied: Sequence[str]) -> None:
    """Refuse a revision that was edited after it was applied: databases migrated before and after would differ."""
    known = _known(session, adapter)
    edited = sorted(
        name
        for name in applied
        if name in known and name in adapter.revisions and known[name][0] != adapter.revisions[name].sha256
    )
    if edited:
        one = adapter.revisions[edited[0]]
        more = f" (and {', '.join(edited[1:])})" if edited[1:] else ""
        raise DatabaseError(
            f"{one.file}{more} was edited after it was applied: SHA-256 {known[one.revision][0][:12]} was applied, the"
            f" file has {one.sha256[:12]}. Nothing was changed. Restore the file, and write the change as a new"
            f" revision. If both versions do the same to a database, type in the database: DELETE FROM {_TABLE} WHERE"
            f" adapter = '{adapter.name}' AND revision = '{one.revision}'"
        )


def remember(session: Session, adapter: Adapter, applied: Sequence[str]) -> list[str]:
    """Record applied revisions without a record, of a dead run or from before Gradual. Returns their names."""
    known = _known(session, adapter)
    new = [name for name in sorted(applied) if name in adapter.revisions and not known.get(name, ("", False))[1]]
    if new:
        records.ensure(session)
    for name in new:
        one = adapter.revisions[name]
        session.run(
            f"INSERT INTO {_TABLE} (adapter, revision, sha256, phase, applied_at) VALUES (%s, %s, %s, %s, now()) ON"
            " CONFLICT (adapter, revision) DO UPDATE SET applied_at = now()",
            (adapter.name, name, one.sha256, one.phase),
        )
    return new


def unfinished(session: Session, adapter: Adapter, revision: Revision) -> str | None:
    """When an earlier attempt at the step began whose end is unknown, or None."""
    if session.value("SELECT to_regclass(%s)::text", (_TABLE,)) is None:
        return None
    before = session.value(
        f"SELECT date_trunc('second', begun_at)::text FROM {_TABLE} WHERE adapter = %s AND revision = %s AND applied_at"
        " IS NULL",
        (adapter.name, revision.revision),
    )
    return None if before is None else str(before)


def begin(session: Session, adapter: Adapter, revision: Revision) -> None:
    """Record that a step begins."""
    records.ensure(session)
    session.run(
        f"INSERT INTO {_TABLE} (adapter, revision, sha256, phase) VALUES (%s, %s, %s, %s) ON CONFLICT (adapter,"
        " revision) DO UPDATE SET sha256 = excluded.sha256, phase = excluded.phase, begun_at = now(), applied_at ="
        " NULL, seconds = NULL",
        (adapter.name, revision.revision, revision.sha256, revision.phase),
    )


def finish(session: Session, adapter: Adapter, revision: Revision, seconds: float) -> None:
    session.run(
        f"UPDATE {_TABLE} SET applied_at = now(), seconds = %s WHERE adapter = %s AND revision = %s",
        (seconds, adapter.name, revision.revision),
    )


def forget(session: Session, adapter: Adapter, revision: Revision) -> None:
    """Delete the record of a step that failed and left nothing, or was reverted."""
    session.run(f"DELETE FROM {_TABLE} WHERE adapter = %s AND revision = %s", (adapter.name, revision.revision))
