# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Indexes that CREATE INDEX CONCURRENTLY left invalid: they slow every write, no query uses them, and IF NOT EXISTS
treats them as existing."""

from __future__ import annotations

from typing import Collection

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

_INVALID = """
SELECT n.nspname::text, c.relname::text, t.relname::text
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class t ON t.oid = i.indrelid
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_toast'
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
   AND NOT i.indexrelid = ANY (%s::oid[])
 ORDER BY 1, 2
"""


def invalid(session: Session, before: Collection[int] = ()) -> list[tuple[str, str, str]]:
    """(schema, index, table) of each invalid index that is not being built now. before: indexes to leave out."""
    return [(row[0], row[1], row[2]) for row in session.rows(_INVALID, (list(before),))]


def there(session: Session) -> list[int]:
    """The oids of all indexes, so that those of an attempt are known whatever their names."""
    return [row[0] for row in session.rows("SELECT indexrelid::bigint FROM pg_index")]


def of_revision(found: list[tuple[str, str, str]], revision: Revision) -> list[tuple[str, str, str]]:
    """The indexes that this revision makes: its file has their name, without a suffix of REINDEX CONCURRENTLY."""
    return [one for one in found if one[1] in revision.words or one[1].partition("_ccnew")[0] in revision.words]


def drop_leftovers(session: Session, revision: Revision, patience: float, before: Collection[int]) -> list[str]:
    """Drop the invalid indexes of a failed attempt, so that the next one makes them again: those that the revision
    names, and those that were not there before it. An invalid unique one may still refuse values.

    patience: seconds to wait for older transactions, each time. before: as there() told it when the step began.
    """
    done = []
    found = dict.fromkeys([*of_revision(invalid(session), revision), *invalid(session, before)])
    session.run("SELECT set_config('statement_timeout', %s, false)", (str(int(patience * 1000)),))
    for schema, name, table in found:
        session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(schema, name)}")
        done.append(f"dropped the invalid index {schema}.{name} on {table} that an attempt left")
    session.run("SELECT set_config('statement_timeout', '0', false)")
    return done


def to_type(session: Session, before: Collection[int]) -> str:
    """The statements for a person who drops what an attempt left."""
    found = invalid(session, before)
    return "; ".join(f"DROP INDEX CONCURRENTLY {quote(schema, name)}" for schema, name, _table in found)


def rebuild(session: Session, revision: Revision) -> list[str]:
    """Rebuild the revision's indexes that are invalid although it is applied."""
    done = []
    for schema, name, table in of_revision(invalid(session), revision):
        session.run(f"REINDEX INDEX CONCURRENTLY {quote(schema, name)}")
        done.append(f"rebuilt the invalid index {schema}.{name} on {table}")
    return done


def names(found: list[tuple[str, str, str]]) -> list[str]:
    return [f"{schema}.{name}" for schema, name, _table in found]
