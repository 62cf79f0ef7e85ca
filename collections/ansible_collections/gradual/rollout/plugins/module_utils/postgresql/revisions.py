# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Each migration tool's table of applied revisions, read in our own session without the tool."""

from __future__ import annotations

from typing import Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# Gradual's own, for plain SQL files. It is in the owner's schema, like the tables of the other tools.
SQL_TABLE = "gradual_sql_migration"
# The tables of all tools. sqitch's is in its own schema, because the name is a common one.
TABLES = ("alembic_version", "django_migrations", SQL_TABLE, "changes")


def table(session: Session, name: str, schema: str | None = None) -> str | None:
    """The quoted name of the only table of that name in this database, or None."""
    found = session.rows(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE"
        " c.relname = %s AND c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname = coalesce(%s::text, n.nspname)"
        " ORDER BY 1",
        (name, schema),
    )
    if len(found) > 1:
        schemas = ", ".join(row[0] for row in found)
        raise DatabaseError(
            f"the table {name} is in several schemas ({schemas}), expected one; Gradual migrates one application per"
            " database"
        )
    return quote(*found[0]) if found else None


def alembic(session: Session) -> list[str]:
    """The heads: none for a new database, usually one, several for branches."""
    name = table(session, "alembic_version")
    return [row[0] for row in session.rows(f"SELECT version_num::text FROM {name} ORDER BY 1")] if name else []


def django(session: Session) -> list[str]:
    """["shop.0001_initial", …]: all applied ones, in order."""
    name = table(session, "django_migrations")
    return [row[0] for row in session.rows(f"SELECT app || '.' || name FROM {name} ORDER BY id")] if name else []


def sql_files(session: Session) -> list[str]:
    """["0001_orders", …]: all applied ones, in order."""
    name = table(session, SQL_TABLE)
    return [row[0] for row in session.rows(f"SELECT revision FROM {name} ORDER BY id")] if name else []


def sqitch(session: Session, project: str | None = None, schema: str = "sqitch") -> list[str]:
    """["orders", …]: all applied changes, in order; a reworked one once per version."""
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


# The migration tools that Gradual knows, by the name in the manifest.
READERS: Mapping[str, Callable[[Session], list[str]]] = {
    "alembic": alembic,
    "django": django,
    "sql": sql_files,
    "sqitch": sqitch,
}


def empty(session: Session) -> bool:
    """Whether nobody has tables in the database; those of extensions, the tools above and Gradual do not count."""
    return bool(
        session.value(
            "SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'"
            " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gradual', 'sqitch')"
            " AND c.relname NOT IN ('alembic_version', 'django_migrations', %s)"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
            " AND d.deptype = 'e'))",
            (SQL_TABLE,),
        )
    )


def standing(session: Session) -> list[str]:
    """The database's revision for a receipt, whichever tool applied it: Alembic's heads, or the last applied one."""
    heads = alembic(session)
    return heads + [last for read in READERS.values() if read is not alembic for last in read(session)[-1:]]
