# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A backfill, its progress and its statements; backfill_runner.py runs it.

A batch is a window of the table in the order of its key, whether or not its rows need a change, so that each batch
reads about the same amount. Rows locked by others are skipped and come in a later pass. The backfill is complete when a
scan of the whole table finds no row to change.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.records import SCHEMA
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# Rows of a smaller table are counted. For a larger one the planner estimates them, without reading the table.
COUNTED_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}\Z")
# The text of a position must not depend on the role's settings.
_SETTINGS = {
    "datestyle": "ISO",
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}


@dataclass(frozen=True)
class Backfill:
    """One backfill of the manifest. set: assignments of an UPDATE; where: the rows that still need it."""

    name: str
    table: str
    set: str
    where: str
    key: str = "id"
    batch: int = 1000
    pause_ms: int = 100

    @property
    def sha256(self) -> str:
        """Checksum of what decides the result. Batch size and pauses may change while it runs."""
        says = {key: value for key, value in asdict(self).items() if key in ("table", "key", "set", "where")}
        return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()

    @property
    def relation(self) -> str:
        return quote(*self.table.split("."))


class Endless(DatabaseError):
    """The assignments do not make the condition false."""


@dataclass(frozen=True)
class Batch:
    """What one batch did. last: the last key of its window, as text; None at the end of the table."""

    last: str | None
    seen: int
    changed: int


@dataclass(frozen=True)
class Progress:
    """The recorded progress. position None: at the beginning of a pass."""

    sha256: str
    position: str | None
    rows: int
    batches: int
    finished: bool


def backfills(given: Sequence[Mapping[str, Any]]) -> list[Backfill]:
    """The manifest's list, checked for text that would break the statements."""
    found = [Backfill(**{key: value for key, value in one.items() if value is not None}) for one in given]
    for one in found:
        if not all(_NAME.match(part) for part in (*one.table.split("."), one.key)) or one.table.count(".") > 1:
            raise DatabaseError(
                f"backfill {one.name}: table and key, got {one.table!r} and {one.key!r}, expected plain names such as"
                " table: public.orders and key: id"
            )
        for what, text in (("set", one.set), ("where", one.where)):
            if not text.strip() or ";" in text or "--" in text:
                raise DatabaseError(
                    f"backfill {one.name}: {what}, got {text!r}, expected part of one statement, without ';' and"
                    " comments"
                )
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatabaseError(
            f"several backfills have the name {', '.join(twice)}; give each another name, because the name identifies"
            " its progress"
        )
    return found


def settings(server_version: int, lock_timeout_ms: int, statement_timeout_ms: int) -> str:
    """PGOPTIONS of the writing session."""
    own: dict[str, Any] = {
        **_SETTINGS,
        "lock_timeout": lock_timeout_ms,
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": 60000,
    }
    if server_version >= 140000:
        own["client_connection_check_interval"] = 1000
    return " ".join(f"-c {name}={value}" for name, value in own.items())


def key_type(session: Session, one: Backfill) -> str:
    """The SQL type of the key; an error when the table or a usable key is missing."""
    oid = session.value("SELECT to_regclass(%s)::oid", (one.relation,))
    if oid is None:
        raise DatabaseError(
            f"backfill {one.name}: there is no table {one.table}; if a pending migration makes it, run"
            " playbooks/migrate.yml first"
        )
    found = session.rows(
        "SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, EXISTS (SELECT FROM pg_index i JOIN pg_class c ON"
        " c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam  WHERE i.indrelid = a.attrelid AND i.indisvalid AND"
        " i.indpred IS NULL AND m.amname = 'btree' AND i.indkey[0] = a.attnum) FROM pg_attribute a WHERE a.attrelid ="
        " %s AND a.attname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (oid, one.key),
    )
    if not found or not found[0][1] or not found[0][2]:
        raise DatabaseError(
            f"backfill {one.name}: {one.table}.{one.key} cannot order the batches; write as key a column that is NOT"
            " NULL and the first of a btree index, such as the primary key"
        )
    return str(found[0][0])


def progress(session: Session, one: Backfill) -> Progress | None:
    """The recorded progress; None before it has begun. An error when it was begun with other values."""
    if session.value("SELECT to_regclass(%s)::text", (f"{SCHEMA}.backfill",)) is None:
        return None
    found = session.rows(
        f"SELECT sha256, position, rows, batches, finished_at IS NOT NULL FROM {SCHEMA}.backfill WHERE name = %s",
        (one.name,),
    )
    if not found:
        return None
    if found[0][0] != one.sha256:
        raise DatabaseError(
            f"backfill {one.name} was begun with another table, key, set or where than the manifest has now, so some"
            " rows have the old values; write it as before, or give the new one another name"
        )
    return Progress(*found[0])


def begin(session: Session, one: Backfill) -> None:
    """Make its record."""
    session.run(
        f"INSERT INTO {SCHEMA}.backfill (name, sha256) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
        (one.name, one.sha256),
    )


def batch(session: Session, one: Backfill, position: str | None, rows: int, kind: str) -> Batch:
    """Change the next window and record its end, in the caller's transaction, so that record and rows always agree.

    kind: the key's type.
    """
    key, relation = quote(one.key), one.relation
    after = f"{key} > %s::{kind}" if position is not None else "true"
    start: tuple[Any, ...] = (position,) if position is not None else ()
    # The window's end, from the index only. Rows with the same key are on the same side of it. The text column has its
    # own name, because ORDER BY would take a result column of the key's name, and text sorts differently.
    window = session.rows(
        f"SELECT count(*) OVER (), {key}::text AS gradual_text FROM (SELECT {key} FROM {relation} WHERE {after} ORDER"
        f" BY {key} LIMIT %s) w ORDER BY {key} DESC LIMIT 1",
        (*start, rows),
    )
    if not window:
        session.run(f"UPDATE {SCHEMA}.backfill SET position = NULL, moved_at = now() WHERE name = %s", (one.name,))
        return Batch(None, 0, 0)
    seen, last = window[0]
    span = f"{after} AND {key} <= %s::{kind}"
    # The span is in both places, so that whatever the planner estimates, it reads the window only, by the index.
    changed = session.rows(
        _literally(
            f"WITH todo AS MATERIALIZED (SELECT {key} AS gradual_key FROM {relation} WHERE {span} AND (",
            one.where,
            f") ORDER BY {key} FOR NO KEY UPDATE SKIP LOCKED) UPDATE {relation} SET ",
            one.set,
            f" WHERE {span} AND {key} IN (SELECT gradual_key FROM todo) AND (",
            one.where,
            f") RETURNING {key}::text, coalesce((",
            one.where,
            "), false)",
        ),
        (*start, last, *start, last),
    )
    _refuse_endless(one, changed)
    session.run(
        f"UPDATE {SCHEMA}.backfill SET position = %s, rows = rows + %s, batches = batches + 1, moved_at = now() WHERE"
        " name = %s",
        (last, len(changed), one.name),
    )
    return Batch(str(last), int(seen), len(changed))


def finish(session: Session, one: Backfill, finished: bool) -> None:
    """Record that it is complete, or no longer complete."""
    when = "now()" if finished else "NULL"
    session.run(f"UPDATE {SCHEMA}.backfill SET finished_at = {when}, position = NULL WHERE name = %s", (one.name,))


def rows_to_do(session: Session, one: Backfill) -> bool:
    """Whether a row is left. Without an index it reads the whole table when none is left; takes no row locks."""
    return bool(session.value(f"SELECT EXISTS (SELECT FROM {one.relation} WHERE {one.where})"))


def left(session: Session, one: Backfill) -> dict[str, Any]:
    """{"rows": int, "how": "counted" or "estimated by the planner"}: rows that are left; large tables are not read."""
    size = int(session.value("SELECT pg_table_size(to_regclass(%s))", (one.relation,)) or 0)
    if size <= COUNTED_BYTES:
        return {"rows": int(session.value(f"SELECT count(*) FROM {one.relation} WHERE {one.where}")), "how": "counted"}
    told = session.value(f"EXPLAIN (FORMAT JSON) SELECT FROM {one.relation} WHERE {one.where}")
    plan = json.loads(told) if isinstance(told, str) else told
    return {"rows": int(plan[0]["Plan"]["Plan Rows"]), "how": "estimated by the planner"}


def sentence(found: Sequence[Mapping[str, Any]]) -> str:
    """The progress of all, as a sentence."""
    open_ones = [one for one in found if not one["finished"]]
    if not open_ones:
        return f"complete: {', '.join(one['name'] for one in found)}" if found else "there is no backfill"
    parts = []
    for one in open_ones:
        part = f"{one['name']}: {one['left']['rows']} rows of {one['table']} are left ({one['left']['how']})"
        if one.get("remaining_seconds"):
            part += f", about {one['remaining_seconds']:.0f} s at this pace"
        parts.append(part + (f"; waiting: {one['waits_for']}" if one.get("waits_for") else ""))
    return "; ".join(parts)


def _literally(*parts: str) -> str:
    """Join our parts, which have placeholders, and the manifest's parts, whose percent signs are escaped."""
    return "".join(part if number % 2 == 0 else part.replace("%", "%%") for number, part in enumerate(parts))


def _refuse_endless(one: Backfill, changed: Sequence[Sequence[Any]]) -> None:
    still = [row[0] for row in changed if row[1]]
    if still:
        raise Endless(
            f"backfill {one.name} would never end: {len(still)} rows, such as {one.key} = {still[0]}, still match where"
            f" ({one.where}) after set ({one.set}); write a where that is false for changed rows. This batch was"
            " rolled back"
        )
