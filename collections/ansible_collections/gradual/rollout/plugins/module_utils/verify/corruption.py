# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Look for corruption in a restored copy with the extension amcheck: in every table, and in every B-tree against its
table.

The program pg_amcheck does the same, but takes patterns instead of names (MyShop also means myshop), and sets an empty
search_path, in which the functions of some healthy indexes do not find others.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, event_triggers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Row, Session

# So many relations are checked by one query; after an error each of them is checked alone, to name the bad one.
BATCH = 100
_CANCELED = "57014"
# SQLSTATEs of undefined, ambiguous or missing names.
_NAMES = ("42", "3F000")
# As pg_amcheck chooses them: all heap tables, TOAST and the catalogs included, and all valid B-trees.
_HEAPS = """
SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' AND c.relpersistence <> 't' ORDER BY 1
"""
# The last column: the search paths that the functions of its expressions may want, of the database, roles and owner.
_INDEXES = """
SELECT c.oid::bigint, format('index %%I.%%I of %%I', n.nspname, c.relname, t.relname),
       CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL THEN ARRAY(
         SELECT DISTINCT replace(path, '"$user"', quote_ident(pg_get_userbyid(t.relowner)))
           FROM (SELECT substr(entry, length('search_path=') + 1)
                   FROM pg_db_role_setting s, unnest(s.setconfig) entry
                  WHERE entry LIKE 'search\\_path=%%' AND s.setdatabase IN (
                        0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                 UNION SELECT '"$user", public') found (path)) END
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = i.indrelid
 WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready ORDER BY 1
"""
_CHECK_HEAPS = """
SELECT one::bigint, format('block %%s, row %%s: %%s', v.blkno, v.offnum, v.msg)
  FROM unnest(%s::oid[]) one, LATERAL {schema}.verify_heapam(one::regclass, check_toast => true) v
"""
_CHECK_INDEXES = "SELECT {schema}.bt_index_check(one::regclass, true) FROM unnest(%s::oid[]) one"
_CHECK_STRUCTURE = "SELECT {schema}.bt_index_check(one::regclass) FROM unnest(%s::oid[]) one"
_CHECKS_HEAPS = (
    "SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace AND proname = 'verify_heapam')"
)


@dataclass(frozen=True)
class Found:
    """What amcheck reports, and what it did not check; one sentence each."""

    corruption: list[str]
    unchecked: list[str]


def found_in(session: Session, timeout: float) -> Found:
    """Check the database of the session, a throwaway copy. timeout: seconds for the whole check."""
    session.run("SELECT set_config('search_path', %s, false)", (contents.every_schema(session),))
    with event_triggers.off(session), _amcheck(session) as schema:
        check = Check(session, schema, timeout)
        heaps = check.heaps() if check.checks_heaps() else []
        return Found(heaps + check.indexes(), check.unchecked)


@contextlib.contextmanager
def _amcheck(session: Session) -> Iterator[str]:
    """The extension, of the server's version; the schema that it is in. It is dropped at the end if it was missing."""
    there = session.value("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')")
    session.run("ALTER EXTENSION amcheck UPDATE" if there else "CREATE EXTENSION amcheck SCHEMA pg_catalog")
    try:
        yield str(session.value("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'amcheck'"))
    finally:
        session.run("SET statement_timeout = 0")
        # Later checks in this copy expect the application's own schema.
        if not there:
            session.run("DROP EXTENSION IF EXISTS amcheck")


class Check:
    """One check of all relations. schema: of amcheck, quoted where SQL needs it."""

    def __init__(self, session: Session, schema: str, timeout: float) -> None:
        self.session, self.schema, self.timeout = session, schema, timeout
        self.until = time.monotonic() + timeout
        self.unchecked: list[str] = []

    def checks_heaps(self) -> bool:
        """Whether this amcheck can check tables; that of PostgreSQL 13 and older cannot."""
        if self.session.value(_CHECKS_HEAPS, (self.schema,)):
            return True
        version = self.session.value("SHOW server_version_num")
        self.unchecked.append(
            f"amcheck of PostgreSQL {int(version) // 10000} cannot check tables (verify_heapam is missing), so only"
            " indexes were checked"
        )
        return False

    def heaps(self) -> list[str]:
        return self._checked(self.session.rows(_HEAPS, ()), _CHECK_HEAPS.format(schema=self.schema))

    def indexes(self) -> list[str]:
        return self._checked(self.session.rows(_INDEXES, ()), _CHECK_INDEXES.format(schema=self.schema))

    def _checked(self, relations: Sequence[Row], query: str) -> list[str]:
        found: list[str] = []
        for start in range(0, len(relations), BATCH):
            batch = relations[start : start + BATCH]
            try:
                found += self._findings(batch, query)
            except DatabaseError as error:
                if error.sqlstate == _CANCELED:
                    raise
                found += [sentence for one in batch for sentence in self._alone(one, query)]
        return found

    def _alone(self, relation: Row, query: str) -> list[str]:
        try:
            return self._findings([relation], query)
        except DatabaseError as error:
            if error.sqlstate == _CANCELED:
                raise
            paths = relation[2] if len(relation) > 2 else None
            if paths and self._by_another_path(relation, query, paths):
                return []
            if paths and error.sqlstate.startswith(_NAMES):
                return self._structure(relation, error)
            return [f"{relation[1]}: {error}"]

    def _by_another_path(self, index: Row, query: str, paths: Sequence[str]) -> bool:
        """Whether the index is right for one of these search paths: it was filled under one that nobody noted, and
        functions of its expressions may find others of the same name."""
        usual = self.session.value("SHOW search_path")
        try:
            for path in paths:
                self.session.run("SELECT pg_catalog.set_config('search_path', %s, false)", (path,))
                try:
                    self._findings([index], query)
                except DatabaseError as error:
                    if error.sqlstate == _CANCELED:
                        raise
                else:
                    return True
            return False
        finally:
            self.session.run("SELECT pg_catalog.set_config('search_path', %s, false)", (usual,))

    def _structure(self, index: Row, error: DatabaseError) -> list[str]:
        """Check an index whose expressions cannot be computed here without comparing it with its table."""
        self.unchecked.append(f"{index[1]} was not compared with its table, because its expression needs more: {error}")
        try:
            return self._findings([index], _CHECK_STRUCTURE.format(schema=self.schema))
        except DatabaseError as damage:
            if damage.sqlstate == _CANCELED:
                raise
            return [f"{index[1]}: {damage}"]

    def _findings(self, relations: Sequence[Row], query: str) -> list[str]:
        names = {row[0]: row[1] for row in relations}
        left = self.until - time.monotonic()
        try:
            if left <= 0:
                raise DatabaseError("no time is left", _CANCELED)
            # At least 1, because 0 is no timeout; at most what a setting can be.
            self.session.run(f"SET statement_timeout = {min(max(1, int(left * 1000)), 2**31 - 1)}")
            rows = self.session.rows(query, (list(names),))
        except DatabaseError as error:
            if error.sqlstate != _CANCELED:
                raise
            raise DatabaseError(
                f"amcheck did not check all tables and indexes within {self.timeout:.0f} s; raise timeout if this"
                " database needs longer",
                _CANCELED,
            ) from None
        return [f"{names[row[0]]}: {row[1]}" for row in rows if len(row) > 1]
