"""Connections to PostgreSQL, and what the readiness check asks of the schema.

Statements name their columns (never `*`): a plan prepared before a migration stays valid after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

Row = dict[str, Any]
LIMITS = "-c statement_timeout=3000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"

UNAVAILABLE = (
    psycopg.OperationalError,  # no connection, server shutting down, statement or lock timeout
    psycopg.errors.ReadOnlySqlTransaction,  # reached a standby in the middle of a failover
    PoolTimeout,
)


class Database:
    def __init__(self, url: str, size: int) -> None:
        self.pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            timeout=3.0,
            max_idle=300.0,
            # The pool's pauses between attempts double for as long as this. Over 2 s they would outlast the timeout above, and
            # a request that began after the database was back would still be refused. Once given up, the next request connects.
            reconnect_timeout=2.0,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "options": LIMITS,
                "connect_timeout": 3,
                "application_name": "storefront",
                "keepalives_idle": 10,
                "keepalives_interval": 3,
                "keepalives_count": 3,
            },
            open=False,
            name="storefront",
        )

    def open(self) -> None:
        """Start connecting, in the background: a worker also starts while the database is away."""
        self.pool.open(wait=False)

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = (), timeout: float | None = None) -> list[Row]:
        """Rows of one statement, which must be one that may be repeated.

        After a restart of the database every idle connection is dead. The first statement that finds this out
        has the pool look at all of them, and goes again.
        """
        try:
            return self._rows(statement, values, timeout)
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, PoolTimeout):
            raise  # it has waited long enough
        except psycopg.OperationalError:
            self.pool.check()
            return self._rows(statement, values, timeout)

    def row(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
        found = self.rows(statement, values)
        return found[0] if found else None

    def _rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any], timeout: float | None) -> list[Row]:
        with self.pool.connection(timeout=timeout) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def schema_problem(self, revision: str, columns: Mapping[str, Sequence[str]]) -> tuple[str | None, str | None]:
        """(revision of the schema, why this release cannot run on it or None). Reads catalogues only: it waits for no table lock."""
        pairs = [f"{table}.{column}" for table, names in columns.items() for column in names]
        try:
            found = self.rows(
                """SELECT (SELECT max(version_num) FROM alembic_version) AS revision,
                          ARRAY(SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                                WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) AND a.attnum > 0
                                  AND NOT a.attisdropped) AS columns""",
                (list(columns),),
                timeout=1.0,
            )[0]
        except psycopg.errors.UndefinedTable:
            return None, "the schema has not been migrated: alembic_version is missing"
        if found["revision"] is None or found["revision"] < revision:
            return found["revision"], f"the schema is at {found['revision']}, this release needs {revision}"
        missing = sorted(set(pairs) - set(found["columns"]))
        if missing:
            return found["revision"], f"the schema is at {found['revision']} and lacks {', '.join(missing)}"
        return found["revision"], None
