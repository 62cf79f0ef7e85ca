# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Indexes that CREATE INDEX CONCURRENTLY left invalid: they cost on every write, serve no read, and IF NOT EXISTS
believes in them."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

_INVALID = """
SELECT n.nspname::text, c.relname::text, t.relname::text
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class t ON t.oid = i.indrelid
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_toast'
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
 ORDER BY 1, 2
"""


def invalid(session: Session) -> list[tuple[str, str, str]]:
    """(schema, index, table) of each invalid index that nobody is building just now."""
    return [(row[0], row[1], row[2]) for row in session.rows(_INVALID)]


def of_revision(found: list[tuple[str, str, str]], revision: Revision) -> list[tuple[str, str, str]]:
    """Those that this revision makes: their name, or the name that REINDEX CONCURRENTLY derives from it, is written in
    its file."""
    return [one for one in found if one[1] in revision.words or one[1].partition("_ccnew")[0] in revision.words]


def drop_leftovers(session: Session, revision: Revision, patience: float) -> list[str]:
    """Drop what an attempt that failed left of the revision's indexes, so that it makes them anew.

    patience: seconds to wait for older transactions, each time.
    """
    done = []
    session.run("SELECT set_config('statement_timeout', %s, false)", (str(int(patience * 1000)),))
    for schema, name, table in of_revision(invalid(session), revision):
        session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(schema, name)}")
        done.append(f"dropped the invalid index {schema}.{name} on {table} that an attempt left")
    session.run("SELECT set_config('statement_timeout', '0', false)")
    return done


def rebuild(session: Session, revision: Revision) -> list[str]:
    """After the revision: rebuild those of its indexes that are invalid all the same."""
    done = []
    for schema, name, table in of_revision(invalid(session), revision):
        session.run(f"REINDEX INDEX CONCURRENTLY {quote(schema, name)}")
        done.append(f"rebuilt the invalid index {schema}.{name} on {table}")
    return done


def names(found: list[tuple[str, str, str]]) -> list[str]:
    return [f"{schema}.{name}" for schema, name, _table in found]
