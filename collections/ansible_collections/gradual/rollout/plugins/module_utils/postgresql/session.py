# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One session with PostgreSQL in autocommit mode, by psycopg 3, or psycopg2 if the host has only that."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import neutral
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

try:
    import psycopg as driver
except ImportError:
    try:
        import psycopg2 as driver  # type: ignore[no-redef]
    except ImportError:
        driver = None  # type: ignore[assignment]

Row = tuple[Any, ...]


def quote(*names: str) -> str:
    """Identifiers, quoted and joined by dots: quote("public", 'a"b') is "public"."a""b"."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def socket_parameters(database: str, folder: str, port: int | str) -> dict[str, str]:
    """Parameters of a session over the server's Unix socket in `folder`, without timeouts and with plain settings."""
    return {"dbname": database, "host": folder, "port": str(port), "options": neutral.options()}


def conninfo(parameters: Mapping[str, str]) -> str:
    """libpq keywords as one connection string, for the option --dbname of a client program.

    As a bare name, a database called a=b or postgresql://c would be taken for a connection string (libpq, 34.1.1).
    """
    return " ".join(f"{key}='{_escaped(value)}'" for key, value in parameters.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def explained(error: BaseException) -> DatabaseError:
    """A driver's error as DatabaseError: the server's message, detail and hint, and the SQLSTATE."""
    diagnostics = getattr(error, "diag", None)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    primary = getattr(diagnostics, "message_primary", None)
    if not primary:
        return DatabaseError(" ".join(str(error).split()) or type(error).__name__, state)
    parts = [primary]
    for name in ("message_detail", "message_hint"):
        if getattr(diagnostics, name, None):
            parts.append(getattr(diagnostics, name))
    return DatabaseError(". ".join(part.rstrip(".") for part in parts), state)


def keywords(address: str) -> dict[str, str]:
    """A URL or connection string as libpq keywords, parsed by libpq itself."""
    if driver is None:
        return {}
    try:
        if hasattr(driver, "conninfo"):
            found = driver.conninfo.conninfo_to_dict(address)
        else:
            found = driver.extensions.parse_dsn(address)  # type: ignore[attr-defined]
        return {key: str(value) for key, value in found.items()}
    except driver.Error as error:
        raise explained(error) from None


class Session:
    """A connection in autocommit; transactions are begun by an explicit BEGIN.

    parameters: libpq keywords (dbname, host, port, user, password, options) or {"dsn": url}.
    """

    def __init__(self, parameters: Mapping[str, str], application_name: str = "gradual") -> None:
        if driver is None:
            raise DatabaseError(
                "the Python that runs this module has neither psycopg nor psycopg2; on the database host, type:"
                " apt-get install python3-psycopg"
            )
        keywords: dict[str, Any] = {
            "connect_timeout": 10,
            "client_encoding": "UTF8",
            **parameters,
            "application_name": application_name,
        }
        dsn = keywords.pop("dsn", "")
        try:
            self._connection = driver.connect(dsn, **keywords)
            self._connection.autocommit = True
        except driver.Error as error:
            raise explained(error) from None

    def rows(self, statement: str, values: Sequence[Any] | None = None) -> list[Row]:
        """All rows that the statement returns; an empty list for one that returns none."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except driver.Error as error:
            raise explained(error) from None

    def value(self, statement: str, values: Sequence[Any] | None = None) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(statement, values)
        return found[0][0] if found else None

    def run(self, statement: str, values: Sequence[Any] | None = None) -> None:
        """Run a statement without a result."""
        self.rows(statement, values)

    @contextlib.contextmanager
    def releasing_locks(self) -> Iterator[None]:
        """In a transaction, release the locks that the block takes; what was locked before and the snapshot stay.

        The server's lock table has room for some thousand locks, and a query locks each index of its tables. After an
        error the transaction goes on as it was before the block.
        """
        if not self._connection.info.transaction_status:
            yield
            return
        self.run("SAVEPOINT gradual_locks")
        try:
            yield
        finally:
            # A lost connection is told by the block's own error, or by the next statement.
            with contextlib.suppress(DatabaseError):
                self.run("ROLLBACK TO SAVEPOINT gradual_locks")
                self.run("RELEASE SAVEPOINT gradual_locks")

    @property
    def told_pid(self) -> int:
        """The server process according to the connection; a pooler sends another number."""
        return int(self._connection.info.backend_pid)

    @property
    def closed(self) -> bool:
        return bool(self._connection.closed)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
