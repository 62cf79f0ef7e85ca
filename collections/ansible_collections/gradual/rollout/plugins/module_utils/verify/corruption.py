# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Look for corruption in a restored copy with the extension amcheck: in every table, and in every B-tree against its
table.

The program pg_amcheck does the same, but takes patterns instead of names (MyShop also means myshop), and sets an empty
search_path, in which the functions of some healthy indexes do not find others.
"""

from __future__ import annotations

import contextlib
from typing import Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, event_triggers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Row, Session

# So many relations are checked by one query; after an error each of them is checked alone, to name the bad one.
BATCH = 100
_CANCELED = "57014"
# As pg_amcheck chooses them: all heap tables, TOAST and the catalogs included, and all valid B-trees.
_HEAPS = """
SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' AND c.relpersistence <> 't' ORDER BY 1
"""
_INDEXES = """
SELECT c.oid::bigint, format('index %%I.%%I of %%I', n.nspname, c.relname, t.relname)
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = i.indrelid
 WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready ORDER BY 1
"""
_CHECK_HEAPS = """
SELECT one::bigint, format('block %%s, row %%s: %%s', v.blkno, v.offnum, v.msg)
  FROM unnest(%s::oid[]) one, LATERAL {schema}.verify_heapam(one::regclass, check_toast => true) v
"""
_CHECK_INDEXES = "SELECT {schema}.bt_index_check(one::regclass, true) FROM unnest(%s::oid[]) one"


def found_in(session: Session, timeout: float) -> list[str]:
    """What amcheck reports, one sentence for each finding. timeout: seconds for each query."""
    session.run("SELECT set_config('search_path', %s, false)", (contents.every_schema(session),))
    session.run(f"SET statement_timeout = {int(timeout * 1000)}")
    with event_triggers.off(session), _amcheck(session) as schema:
        try:
            found = _checked(session, session.rows(_HEAPS, ()), _CHECK_HEAPS.format(schema=schema))
            return found + _checked(session, session.rows(_INDEXES, ()), _CHECK_INDEXES.format(schema=schema))
        except DatabaseError as error:
            if error.sqlstate == _CANCELED:
                raise DatabaseError(
                    f"amcheck did not check {BATCH} tables or indexes within {timeout:.0f} s; raise timeout if this"
                    " database needs longer",
                    _CANCELED,
                ) from None
            raise


@contextlib.contextmanager
def _amcheck(session: Session) -> Iterator[str]:
    """The extension, of the server's version; the schema that it is in. It is dropped at the end if it was missing."""
    there = session.value("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')")
    session.run("ALTER EXTENSION amcheck UPDATE" if there else "CREATE EXTENSION amcheck SCHEMA pg_catalog")
    try:
        yield str(session.value("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'amcheck'"))
    finally:
        # Later checks in this copy expect the application's own schema.
        if not there:
            session.run("DROP EXTENSION IF EXISTS amcheck")


def _checked(session: Session, relations: Sequence[Row], query: str) -> list[str]:
    found: list[str] = []
    for start in range(0, len(relations), BATCH):
        batch = relations[start : start + BATCH]
        try:
            found += _findings(session, batch, query)
        except DatabaseError as error:
            if error.sqlstate == _CANCELED:
                raise
            found += [sentence for one in batch for sentence in _alone(session, one, query)]
    return found


def _alone(session: Session, relation: Row, query: str) -> list[str]:
    try:
        return _findings(session, [relation], query)
    except DatabaseError as error:
        if error.sqlstate == _CANCELED:
            raise
        return [f"{relation[1]}: {error}"]


def _findings(session: Session, relations: Sequence[Row], query: str) -> list[str]:
    names = {row[0]: row[1] for row in relations}
    rows = session.rows(query, (list(names),))
    return [f"{names[row[0]]}: {row[1]}" for row in rows if len(row) > 1]
