# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Where each migration tool keeps what it has applied, read over our own session: never what the tool says of
itself."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# Ours, for plain SQL files. It lies in the schema that its owner works in, as the tables of the other tools do.
SQL_TABLE = "gradual_sql_migration"


def table(session: Session, name: str, schema: str | None = None) -> str | None:
    """The quoted name of the one table of that name in this database; None when there is none."""
    found = session.rows(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE"
        " c.relname = %s AND c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname = coalesce(%s::text, n.nspname)"
        " ORDER BY 1",
        (name, schema),
    )
    if len(found) > 1:
        schemas = ", ".join(row[0] for row in found)
        raise DatabaseError(
            f"the table {name} is there in several schemas ({schemas}); Gradual migrates one line of revisions a"
            " database"
        )
    return quote(*found[0]) if found else None


def alembic(session: Session) -> list[str]:
    """The heads: none for a new database, one as a rule, several for branches."""
    name = table(session, "alembic_version")
    return [row[0] for row in session.rows(f"SELECT version_num::text FROM {name} ORDER BY 1")] if name else []


def django(session: Session) -> list[str]:
    """["shop.0001_initial", …]: everything applied, in the order in which it was."""
    name = table(session, "django_migrations")
    return [row[0] for row in session.rows(f"SELECT app || '.' || name FROM {name} ORDER BY id")] if name else []


def sql_files(session: Session) -> list[str]:
    """["0001_orders", …]: everything applied, in the order in which it was."""
    name = table(session, SQL_TABLE)
    return [row[0] for row in session.rows(f"SELECT revision FROM {name} ORDER BY id")] if name else []


def sqitch(session: Session, project: str | None = None, schema: str = "sqitch") -> list[str]:
    """["orders", …]: the names of all changes applied, in the order in which they were; a reworked one is there
    again."""
    name = table(session, "changes", schema)
    return (
        [
            row[0]
            for row in session.rows(
                f"SELECT change FROM {name} WHERE project = coalesce(%s::text, project) ORDER BY committed_at",
                (project,),
            )
        ]
        if name
        else []
    )


def standing(session: Session) -> list[str]:
    """Where this database stands, whichever tool brought it there: what a receipt names. A log of everything counts by
    its last entry."""
    found = alembic(session)
    for read in (django, sql_files, sqitch):
        found += read(session)[-1:]
    return found
