# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A database's contents in one snapshot: row counts and order-independent digests of all tables."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import digests
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Row, Session, quote

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
    "transaction_timeout": "0",
}
# Tables whose rows pg_dump writes: ordinary ones and partitions, without those of extensions. With false, without
# unlogged tables too, whose rows are not in a copy of the files. The planner inlines the functions of a valid index, so
# tables with such indexes (the last column) need a search path for them. Invalid ones are not in a dump's copy, and the
# path must be the same there, because the names in columns of regclass depend on it.
_TABLES = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, format('%%I.%%I', n.nspname, c.relname)::text,
       concat_ws(', ', (SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i
                         WHERE i.indrelid = c.oid AND i.indisvalid
                           AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)),
                       (SELECT string_agg(s.stxname::text, ', ') FROM pg_statistic_ext s WHERE s.stxrelid = c.oid))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND %s)
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 2, 3
"""
# So many tables are read by one statement, and then the locks of their indexes are released.
BATCH = 50

LARGE_OBJECTS = "large objects"


def fix_text(session: Session) -> None:
    """Make the text of every value independent of the settings of server, database and role."""
    for name, value in _TEXT_SETTINGS.items():
        # Older servers do not have all of them.
        session.run("SELECT set_config(name, %s, false) FROM pg_settings WHERE lower(name) = lower(%s)", (value, name))


def names(session: Session, unlogged: bool = True) -> list[str]:
    """The quoted names of the tables whose rows are compared."""
    return [quote(schema, name) for _oid, schema, name, *_rest in session.rows(_TABLES, (unlogged,))]


def every_schema(session: Session) -> str:
    """A search path with all schemas of the database, for functions of indexes that say no schema."""
    rows = session.rows(
        "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' ORDER BY nspname <> 'public', 1"
    )
    return ", ".join(["pg_catalog", *(quote(row[0]) for row in rows)])


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


def tables(
    session: Session, server_version: int, unlogged: bool = True, version: int = digests.VERSION
) -> dict[str, dict[str, Any]]:
    """{"public.orders": {"rows": 3, "digest": "-123"}}, one pass over every table; call `fix_text` first.

    server_version: of the backup's source, which decides how rows are hashed. version: of the digest, see digests.py;
    version 1 joins names without quotes.
    """
    hashed, path = digests.hashes(server_version), every_schema(session)
    listed, columns = session.rows(_TABLES, (unlogged,)), digests.columns(session)
    plain, inlined = [row for row in listed if not row[4]], [row for row in listed if row[4]]
    found: dict[str, dict[str, Any]] = {}
    for search_path, rows in (("pg_catalog", plain), (path, inlined)):
        session.run("SELECT set_config('search_path', %s, false)", (search_path,))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            selects = [_select(row, digests.of_rows(columns.get(row[0], ()), hashed, version)) for row in batch]
            labels = [f"{row[1]}.{row[2]}" if version == 1 else row[3] for row in batch]
            found.update(zip(labels, _digests(session, batch, selects)))
    session.run("SELECT set_config('search_path', 'pg_catalog', false)")
    if session.value("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)"):
        found[LARGE_OBJECTS] = _counted(session.rows(digests.of_large_objects(hashed, version))[0])
    return found


def _select(row: Row, chosen: str) -> str:
    return f'{chosen} FROM ONLY {quote(row[1], row[2])} AS "{digests.ALIAS}"'


def _digests(session: Session, batch: Sequence[Row], selects: Sequence[str]) -> list[dict[str, Any]]:
    """By one statement, since thousands of small ones take longer than the dump; after an error, table by table."""
    numbered = [f"SELECT {number} AS number, {one}" for number, one in enumerate(selects)]
    try:
        with session.releasing_locks():
            return [_counted(row[1:]) for row in session.rows(" UNION ALL ".join(numbered) + " ORDER BY number")]
    except DatabaseError:
        return [_alone(session, row, one) for row, one in zip(batch, selects)]


def _alone(session: Session, row: Row, select: str) -> dict[str, Any]:
    try:
        with session.releasing_locks():
            return _counted(session.rows(f"SELECT {select}")[0])
    except DatabaseError as error:
        whose = f", whose expressions the server reads too ({row[4]})," if row[4] else ""
        raise DatabaseError(f"the table {row[3]}{whose} cannot be read: {error}", error.sqlstate) from None


def _counted(row: Row) -> dict[str, Any]:
    return {"rows": row[0], "digest": row[1]}


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
