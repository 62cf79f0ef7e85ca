"""The databases that the cases of the lint bench are tried on, and the previous release that uses them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pglast
import psycopg

from tests.bench.lint.cases import DATA, split
from tests.database.server import OWNER, PASSWORD, TESTER, Server

Connection = psycopg.Connection[Any]
# The previous release: who sends which statements.
APPLICATION = "shop_app"
USERS = {APPLICATION: "old_code.sql", "shop_reader": "old_report.sql", OWNER: "old_owner.sql"}
# A template of ROWS rows a table, and one of TIMES as many. A heap of ROWS rows has about 70 pages.
ROWS, TIMES = 1500, 4
TEMPLATES = {"small": ROWS, "large": ROWS * TIMES}
# A copy serves so many cases that are rolled back, until what they left in the catalogs grows.
SERVES = 40
_NUMBERS = itertools.count(1)


def prepare(server: Server, more: str = "") -> None:
    """The roles, and both templates. more: SQL that makes a tool's own tables, in which {rows} is a number."""
    server.run("ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements", "ALTER SYSTEM SET autovacuum = off")
    server.pg_ctl("restart", "-m", "fast")
    # A new owner's rights do not come to the old one by themselves.
    server.run(
        "CREATE ROLE shop_reader",
        "CREATE ROLE shop_next",
        f"GRANT shop_next TO {OWNER}",
        f"ALTER ROLE {OWNER} NOINHERIT",
    )
    schema = f"{(DATA / 'schema.sql').read_text(encoding='utf-8')}\n{more}"
    for name, rows in TEMPLATES.items():
        server.run(f"CREATE DATABASE {name} OWNER {OWNER}")
        server.run(
            "CREATE EXTENSION pg_stat_statements",
            "CREATE EXTENSION pgrowlocks",
            f"GRANT ALL ON SCHEMA public TO {OWNER} WITH GRANT OPTION",
            database=name,
        )
        with connected(server, name, OWNER) as owner:
            for statement in split(schema.replace("{rows}", str(rows))):
                owner.execute(statement.encode())
        server.run("VACUUM ANALYZE", database=name)


@contextlib.contextmanager
def connected(server: Server, database: str, role: str = TESTER) -> Iterator[Connection]:
    """A session with the role's rights; its user may become the application (answers)."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, dbname=database, user=TESTER, password=PASSWORD, autocommit=True,
        prepare_threshold=None,
    ) as connection:  # fmt: skip
        if role == TESTER:
            # The server remembers only so many statements; those of whoever watches would drive the others out.
            connection.execute("SET pg_stat_statements.track = none")
        connection.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        yield connection


@contextlib.contextmanager
def copied(server: Server, template: str) -> Iterator[str]:
    """A database like that, for as long as the block runs."""
    name = f"case_{next(_NUMBERS)}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} STRATEGY file_copy")
    try:
        yield name
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Kept:
    """Copies for cases that are rolled back; one worker's."""

    server: Server
    open: dict[str, tuple[str, contextlib.ExitStack]] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)
    before: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, template: str) -> str:
        """The name of a copy of this template that has its rows and tables."""
        if template not in self.open or self.served[template] >= SERVES:
            self.renew(template)
            stack = contextlib.ExitStack()
            self.open[template] = stack.enter_context(copied(self.server, template)), stack
        self.served[template] += 1
        return self.open[template][0]

    def renew(self, template: str) -> None:
        """Take the copy away; the next case gets another one."""
        self.served[template] = 0
        self.before.pop(template, None)
        if template in self.open:
            self.open.pop(template)[1].close()

    def close(self) -> None:
        """Take all copies away."""
        for template in list(self.open):
            self.renew(template)

    def answers(self, template: str) -> dict[str, str]:
        """What the previous release gets of the copy, which no case has changed."""
        if template not in self.before:
            self.before[template] = answers_now(self.server, self.open[template][0])
        return self.before[template]


def answers(session: Connection, more: Sequence[str] = ()) -> dict[str, str]:
    """Each statement of the previous release → its rows, or its error. Within the session's open transaction. more:
    statements of the application besides."""
    found = {}
    for role, statement in (*_old_code(), *((APPLICATION, one) for one in more)):
        session.execute(f"SAVEPOINT old_code; SET LOCAL SESSION AUTHORIZATION {role}".encode())
        try:
            rows = session.execute(statement.encode())
            found[statement] = repr([_plain(row) for row in rows] if rows.description else rows.rowcount)
        except psycopg.Error as error:
            found[statement] = f"error: {told(error)}"
        session.execute("ROLLBACK TO SAVEPOINT old_code")
    return found


def _old_code() -> Iterator[tuple[str, str]]:
    for role, file in USERS.items():
        yield from ((role, one) for one in split((DATA / file).read_text(encoding="utf-8")))


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    """A row in which 0 and 0.00 are the same number."""
    return tuple(one.normalize() if isinstance(one, Decimal) else one for one in row)


def answers_now(server: Server, database: str, more: Sequence[str] = ()) -> dict[str, str]:
    """The same in a session of its own."""
    with connected(server, database) as session:
        session.execute("BEGIN")
        return answers(session, more)


# Of each kind of type, what nothing forbids: the same value twice, zero, a negative number, a reference to nothing.
_VALUES = {"int4": ("0", "-1", "99999999"), "int8": ("0", "-1", "99999999"), "text": ("''", "'x'")}


def writes(earlier: Sequence[str]) -> list[str]:
    """What the previous release writes to the columns that an earlier rollout added, which it knows."""
    found = []
    trees: list[Any] = [pglast.parse_sql(one)[0].stmt for one in earlier]
    for tree in trees:
        for command in getattr(tree, "cmds", None) or ():
            if command.subtype.name == "AT_AddColumn":
                table, column = tree.relation.relname, command.def_.colname
                two = f"ctid IN (SELECT ctid FROM {table} ORDER BY ctid LIMIT 2)"
                values = _VALUES.get(command.def_.typeName.names[-1].sval, ())
                found += [f"UPDATE {table} SET {column} = {one} WHERE {two}" for one in values]
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """What worked, and then failed or answered otherwise."""
    for statement, answer in before.items():
        now = after[statement]
        if now != answer and not answer.startswith("error:"):
            yield f"{' '.join(statement.split())[:70]} → {now[:90]}"


def told(error: psycopg.Error) -> str:
    """PostgreSQL's message, without its context."""
    return error.diag.message_primary or " ".join(str(error).split())
