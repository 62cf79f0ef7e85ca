# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A database's contents in one snapshot: row counts and order-independent digests of all tables, and the schema."""

from __future__ import annotations

import difflib
import hashlib
import re
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import digests
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# Digests use the rows' text, so the settings that change this text are fixed.
_TEXT_SETTINGS = {
    "datestyle": "ISO, YMD",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "search_path": "pg_catalog",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
# Tables whose rows pg_dump writes: ordinary ones and partitions, without those of extensions. With false, without
# unlogged tables too, whose rows are not in a copy of the files.
_TABLES = """
SELECT n.nspname::text, c.relname::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND %s)
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2
"""
_NOISE = re.compile(r"^(\\(un)?restrict\b.*|-- Dumped (from|by) .*)$")

LARGE_OBJECTS = "large objects"


def fix_text(session: Session) -> None:
    """Make the text of every value independent of the settings of server, database and role."""
    for name, value in _TEXT_SETTINGS.items():
        # Older servers do not have all of them.
        session.run("SELECT set_config(name, %s, false) FROM pg_settings WHERE lower(name) = lower(%s)", (value, name))


def names(session: Session, unlogged: bool = True) -> list[str]:
    """The quoted names of the tables whose rows are compared."""
    return [quote(schema, name) for schema, name in session.rows(_TABLES, (unlogged,))]


def hold(session: Session, held: Sequence[str] | None = None, settings: Mapping[str, int] | None = None) -> None:
    """Begin a transaction that keeps tables from being rewritten or dropped until it ends. Its snapshot is not taken
    yet.

    A snapshot alone does not prevent this: a table that is truncated or rewritten meanwhile looks empty in it.
    held: quoted names; None: every table. settings: of this transaction only.
    """
    wanted = names(session) if held is None else held
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    for name, value in (settings or {}).items():
        session.run(f"SET LOCAL {name} = {value}")
    if wanted:
        session.run(f"LOCK TABLE ONLY {', ONLY '.join(wanted)} IN ACCESS SHARE MODE")


def tables(session: Session, unlogged: bool = True) -> dict[str, dict[str, Any]]:
    """{"public.orders": {"rows": 3, "digest": "-123"}}, one pass over every table; call `fix_text` first."""
    found: dict[str, dict[str, Any]] = {}
    for schema, name in session.rows(_TABLES, (unlogged,)):
        statement = (
            f'SELECT {digests.of_rows(session, schema, name)} FROM ONLY {quote(schema, name)} AS "{digests.ALIAS}"'
        )
        rows, digest = session.rows(statement)[0]
        found[f"{schema}.{name}"] = {"rows": rows, "digest": digest}
    if session.value("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)"):
        rows, digest = session.rows(
            f"SELECT {digests.of_text('oid::text || md5(lo_get(oid))')} FROM pg_largeobject_metadata"
        )[0]
        found[LARGE_OBJECTS] = {"rows": rows, "digest": digest}
    return found


def sequences(session: Session) -> dict[str, int | None]:
    """Last value of every sequence. Snapshots do not cover sequences: read them before and after a dump, as a range."""
    return {
        f"{row[0]}.{row[1]}": row[2]
        for row in session.rows(
            "SELECT schemaname::text, sequencename::text, last_value FROM pg_sequences WHERE schemaname !~ '^pg_' ORDER"
            " BY 1, 2"
        )
    }


def ahead(session: Session) -> dict[str, int]:
    """How far the WAL is ahead of each sequence: 32 values and its cache (SEQ_LOG_VALS in sequence.c); negative for a
    descending one."""
    return {
        f"{row[0]}.{row[1]}": int(row[2])
        for row in session.rows(
            "SELECT schemaname::text, sequencename::text, increment_by * (32 + cache_size) FROM pg_sequences WHERE"
            " schemaname !~ '^pg_'"
        )
    }


def plain_schema(text: str) -> str:
    """pg_dump -s without restrict keys and program versions, which differ between two dumps of one schema."""
    return "".join(line + "\n" for line in text.splitlines() if not _NOISE.match(line))


def fingerprint(text: str) -> str:
    """SHA-256 of the plain schema."""
    return hashlib.sha256(plain_schema(text).encode("utf-8", "surrogateescape")).hexdigest()


def schema_differences(wanted: str, seen: str, limit: int = 6) -> str:
    """The first differing lines, for a message."""
    lines = difflib.unified_diff(
        plain_schema(wanted).splitlines(), plain_schema(seen).splitlines(), "live", "restored", lineterm="", n=0
    )
    return "; ".join(line for line in list(lines)[2 : 2 + limit] if not line.startswith("@@"))


def differences(wanted: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How a restored database differs from the snapshot, one sentence per table."""
    found = []
    for name in sorted(set(wanted) | set(seen)):
        if name not in seen:
            found.append(f"{name} is missing")
        elif name not in wanted:
            found.append(f"{name} exists, but is not in the snapshot")
        elif wanted[name]["rows"] != seen[name]["rows"]:
            found.append(f"{name} has {seen[name]['rows']} rows, expected {wanted[name]['rows']}")
        elif wanted[name]["digest"] != seen[name]["digest"]:
            found.append(f"{name} has {seen[name]['rows']} rows as expected, but other contents")
    return found


def sequence_differences(
    before: Mapping[str, int | None], after: Mapping[str, int | None], seen: Mapping[str, int | None]
) -> list[str]:
    """Sequences whose restored value is outside the range before and after the dump."""
    found = []
    for name in sorted(set(before) & set(after)):
        if name not in seen:
            found.append(f"sequence {name} is missing")
            continue
        ends = [value for value in (before[name], after[name]) if value is not None]
        value = seen[name]
        if value is None:
            if before[name] is not None and after[name] is not None:
                found.append(f"sequence {name} was never used in the restored copy, the live one is at {after[name]}")
        elif not ends or (before[name] is not None and value < min(ends)) or value > max(ends):
            found.append(
                f"sequence {name} is at {value} in the restored copy, expected {before[name]} to {after[name]}"
            )
    return found
