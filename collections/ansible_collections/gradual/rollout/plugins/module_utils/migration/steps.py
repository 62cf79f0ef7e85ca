# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Gradual's record of each step: the checksum of what was applied, so that a later edit is found."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import fingerprint
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import records
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_TABLE = f"{records.SCHEMA}.migration_step"


def _known(session: Session, tool: str) -> dict[str, tuple[str, bool]]:
    """{revision: (sha256, whether it is applied)}; reads only."""
    if session.value("SELECT to_regclass(%s)::text", (_TABLE,)) is None:
        return {}
    return {
        name: (sha256, bool(applied))
        for name, sha256, applied in session.rows(
            f"SELECT revision, sha256, applied_at IS NOT NULL FROM {_TABLE} WHERE adapter = %s", (tool,)
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


def here(known: Mapping[str, Any], adapter: Adapter) -> dict[str, Any]:
    """Records by the names that the revisions have in this release."""
    former = {adapter.known_as(name): name for name in adapter.revisions}
    return {former.get(name, name): one for name, one in known.items()}


def sums(session: Session, tool: str) -> dict[str, str]:
    """{revision: sha256} of what was applied, for refuse_edited; reads only."""
    return {name: sha256 for name, (sha256, applied) in _known(session, tool).items() if applied}


def refuse_edited(known: Mapping[str, str], adapter: Adapter) -> None:
    """Refuse a revision that was edited after it was applied: databases migrated before and after would differ.

    known: as sums() and here() tell it. A record of an earlier version of Gradual has the checksum of the whole file.
    """
    edited = sorted(name for name, recorded in known.items() if not _same(recorded, adapter.revisions.get(name)))
    if edited:
        one = adapter.revisions[edited[0]]
        more = f" (and {', '.join(edited[1:])})" if edited[1:] else ""
        former = adapter.known_as(one.revision)
        when = "it was applied" if former == one.revision else f"it was applied as {former}"
        what = fingerprint.kind(known[one.revision]) or "file"
        raise DatabaseError(
            f"{one.file}{more} was edited after {when}: its {what} had SHA-256"
            f" {_short(known[one.revision])}, got {_short(_now(one, known[one.revision]))}. Nothing was changed."
            " Restore the file, and write the change as a new revision. If both versions do the same to a database,"
            f" type in the database: DELETE FROM {_TABLE} WHERE adapter = '{adapter.name}' AND revision = '{former}'"
        )


def _same(recorded: str, one: Revision | None) -> bool:
    return one is None or recorded == _now(one, recorded)


def _now(one: Revision, recorded: str) -> str:
    """The revision's checksum of the kind that was recorded."""
    sums = {fingerprint.kind(found): found for found in (one.file_sha256, one.former_sha256, one.sha256) if found}
    return sums.get(fingerprint.kind(recorded), one.sha256)


def _short(sha256: str) -> str:
    return sha256.rpartition(":")[2][:12]


def remember(session: Session, adapter: Adapter, applied: Sequence[str]) -> list[str]:
    """Record applied revisions without a record, of a dead run or from before Gradual, and those whose record has the
    checksum of the whole file. Returns their names."""
    known = _renamed(session, adapter)
    new = [
        name
        for name in sorted(applied)
        if name in adapter.revisions and not _current(known.get(name), adapter.revisions[name])
    ]
    if new:
        records.ensure(session)
    for name in new:
        one = adapter.revisions[name]
        session.run(
            f"INSERT INTO {_TABLE} AS step (adapter, revision, sha256, phase, applied_at) VALUES (%s, %s, %s, %s,"
            " now()) ON CONFLICT (adapter, revision) DO UPDATE SET applied_at = coalesce(step.applied_at, now()),"
            " sha256 = excluded.sha256",
            (adapter.name, name, one.sha256, one.phase),
        )
    return new


def _renamed(session: Session, adapter: Adapter) -> dict[str, tuple[str, bool]]:
    """As _known, and each record under the name that its revision has in this release."""
    known = _known(session, adapter.name)
    for name, former in [(name, adapter.known_as(name)) for name in adapter.revisions]:
        if former != name and former in known and name not in known:
            session.run(
                f"UPDATE {_TABLE} SET revision = %s WHERE adapter = %s AND revision = %s", (name, adapter.name, former)
            )
            known[name] = known.pop(former)
    return known


def _current(record: tuple[str, bool] | None, one: Revision) -> bool:
    """Whether a record says that the revision is applied, with a checksum as this version computes it."""
    return record is not None and record[1] and fingerprint.kind(record[0]) == fingerprint.kind(one.sha256)


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
