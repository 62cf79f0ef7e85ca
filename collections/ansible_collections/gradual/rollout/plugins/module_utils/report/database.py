# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about the database: the backup that was proven, the migrations that came after it."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [backup(events), *old_code(events), migrations(events), *phases(events), order(events), lock_waits(events)]


def backup(events: Events) -> Claim:
    """Was a backup proven, and how far?"""
    if not events.has_database:
        return claim(
            "backup",
            "no backup was wanted, because the inventory has no database",
            None,
            [],
            "manifest.backup.method is none, which preflight accepts only if the inventory has no database",
            good=None,
            criteria=(5,),
        )
    line = events.last("backup.proven")
    receipt = mapping(line["data"].get("receipt") if line else None)
    tables = mapping(receipt.get("tables"))
    rows = sum(count(mapping(table).get("rows")) or 0 for table in tables.values())
    # Below the level restored nobody may have waited for them.
    known = receipt.get("tables") is not None
    level = receipt.get("level")
    wanted = mapping(events.manifest.get("backup")).get("level") or "restored"
    compared = (
        f", {plural(len(tables), 'table')} with {rows:,} rows compared"
        if tables and level in ("restored", "sound")
        else ""
    )
    unchecked = [str(one) for one in items(receipt.get("unchecked"))]
    size = count(receipt.get("size"))
    return claim(
        "backup",
        f"backup {receipt.get('id')} of database {receipt.get('database')} was proven: {level}{compared}"
        + (f"; {size:,} bytes" if size else "")
        + (f"; not checked: {'; '.join(unchecked)}" if unchecked else ""),
        (
            {
                "id": receipt.get("id"),
                "level": level,
                "database": receipt.get("database"),
                "tables": len(tables) if known else None,
                "rows": rows if known else None,
                "size": size,
                "revision": receipt.get("revision"),
                "schema_fingerprint": receipt.get("schema_fingerprint"),
                "taken_at": receipt.get("taken_at"),
            }
            if receipt and level
            else None
        ),
        [line],
        f"backup.proven: receipt.level is {wanted}",
        good=level in (wanted, "restored", "sound"),
        criteria=(5,),
        qualities=("reliability",),
        otherwise="no backup was proven in this rollout",
    )


def old_code(events: Events) -> list[Claim]:
    """Did the release before work on a restored copy, before the migrations were rehearsed there and after it? No claim
    where nobody tried it."""
    line = events.last("backup.proven")
    receipt = mapping(line["data"].get("receipt") if line else None)
    if receipt.get("level") != "sound":
        return []
    smoke, rehearsal = (
        [mapping(one) for one in items(receipt.get("smoke"))],
        [mapping(one) for one in items(receipt.get("rehearsal"))],
    )
    tried, revisions = [one.get("when") for one in smoke], [str(one.get("revision")) for one in rehearsal]
    then = (
        f"before {', '.join(revisions)} were rehearsed on it and after"
        if revisions
        else "on which no migration was pending"
    )
    return [
        claim(
            "old-code",
            (
                f"{smoke[-1].get('version')} worked on a restored copy of the database, {then}"
                if smoke
                else "there was no release before that could be tried"
            ),
            {"tried": tried, "revisions": revisions} if smoke else None,
            [line] if smoke else [],
            "backup.proven: receipt.smoke has an entry `restored`, and `migrated` where receipt.rehearsal has any",
            good=tried == (["restored", "migrated"] if revisions else ["restored"]) if smoke else None,
            criteria=(8,),
            qualities=("reliability",),
        )
    ]


def migrations(events: Events) -> Claim:
    """From which revision to which was the schema brought?"""
    if not events.manifest.get("migrations"):
        return claim(
            "migrations",
            "this release has no migrations",
            None,
            [],
            "manifest.migrations is empty",
            good=None,
            criteria=(5,),
        )
    lines = events.of("migration.applied")
    last = lines[-1]["data"] if lines else {}
    target = mapping(events.manifest.get("migrations")).get("target")
    before, after = (lines[0]["data"].get("from"), last.get("to")) if lines else (None, None)
    applied = [mapping(revision).get("revision") for line in lines for revision in items(line["data"].get("revisions"))]
    text = (
        f"the schema went from revision {before} to {after} by {', '.join(map(str, applied))}"
        if applied
        else f"the schema was at revision {after} already"
    )
    return claim(
        "migrations",
        text,
        {"from": before, "to": after, "applied": applied} if lines and after is not None else None,
        lines,
        "migration.applied: from of the first, to of the last, which is the target of the manifest",
        good=target in (None, "head", "heads", after),
        criteria=(5,),
        qualities=("reliability",),
        otherwise="no migration was applied",
    )


def phases(events: Events) -> list[Claim]:
    """Which revisions got their phase from the manifest or from migration_lint, and why? No claim where none did."""
    line = events.first("rollout.started")
    rows = [mapping(row) for row in items(line["data"].get("plan"))] if line else []
    chosen = [mapping(one) for row in rows for one in items(row.get("phases"))]
    if not chosen:
        return []
    told = [f"{one.get('revision')} counts as {one.get('phase')} ({one.get('reason')})" for one in chosen]
    return [
        claim(
            "phases",
            f"{plural(len(chosen), 'revision')} did not name a phase: {'; '.join(told)}",
            chosen,
            [line],
            "rollout.started: plan, phases of its row migrate, from the manifest or from migration_lint",
            good=None,
            criteria=(5,),
        )
    ]


def order(events: Events) -> Claim:
    """Did every migration come after a proven backup?"""
    proven, applied = events.first("backup.proven"), events.of("migration.applied")
    if not applied:
        return claim(
            "backup-first",
            "nothing changed the schema in this rollout",
            None,
            [],
            "there is no migration.applied",
            good=None,
            criteria=(5,),
        )
    good = proven is not None and all(line["seq"] > proven["seq"] for line in applied)
    return claim(
        "backup-first",
        (
            "the backup was proven before the schema was changed"
            if good
            else "the schema was changed before a backup had been proven"
        ),
        good,
        [proven, *applied],
        "backup.proven stands before every migration.applied",
        good=good,
        criteria=(5,),
        qualities=("reliability",),
    )


def lock_waits(events: Events) -> Claim:
    """How often did migrations have to wait for a lock, and give way?"""
    applied = events.of("migration.applied")
    rows = [mapping(revision) for line in applied for revision in items(line["data"].get("revisions"))]
    if not rows and (applied or not events.manifest.get("migrations")):
        return claim(
            "lock-waits",
            "no revision had to be applied" if applied else "no migration had to wait, because this release has none",
            None,
            [],
            "migration.applied: revisions is empty, or manifest.migrations is",
            good=None,
            criteria=(5,),
        )
    waits = [_waits(row.get("lock_waits")) for row in rows]
    known = bool(rows) and all(wait is not None for wait in waits)
    attempts = sum(count(row.get("attempts")) or 0 for row in rows)
    seconds = sum(number(row.get("seconds")) or 0 for row in rows)
    return claim(
        "lock-waits",
        f"{plural(len(rows), 'revision')} in {attempts} attempts and {seconds:.1f} s; gave way to others"
        f" {plural(sum(wait or 0 for wait in waits), 'time')}",
        (
            {
                "revisions": len(rows),
                "attempts": attempts,
                "seconds": round(seconds, 3),
                "lock_waits": sum(wait or 0 for wait in waits),
            }
            if known
            else None
        ),
        applied,
        "sums over migration.applied: revisions",
        criteria=(5,),
        qualities=("performance",),
        otherwise="no migration was applied, or its lock waits were not counted",
    )


def _waits(value: object) -> int | None:
    return len(value) if isinstance(value, list) else count(value)
