"""What migration_lint says that PostgreSQL refuses, a real server refuses, and nothing else of the table."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from ansible_collections.gradual.rollout.tests.unit.sample_refusals import MADE, REFUSALS

from . import server as support


@pytest.fixture(scope="module")
def made(server: support.Server) -> Iterator[str]:
    """A database to copy, which its owner, no superuser, has filled."""
    server.run(f"CREATE DATABASE refusals OWNER {support.OWNER}")
    server.run(f"GRANT ALL ON SCHEMA public TO {support.OWNER}", database="refusals")
    with opened(server, "refusals") as session:
        for statement in MADE:
            session.execute(statement.encode())
    yield "refusals"
    server.run("DROP DATABASE refusals WITH (FORCE)")


def opened(server: support.Server, database: str) -> psycopg.Connection[object]:
    session = psycopg.connect(
        host="127.0.0.1", port=server.port, dbname=database, user=support.TESTER, password=support.PASSWORD,
        autocommit=True,
    )  # fmt: skip
    session.execute(f"SET SESSION AUTHORIZATION {support.OWNER}".encode())
    return session


@pytest.mark.parametrize(("sql", "inside", "refused"), REFUSALS)
def test_the_server_refuses_the_same(sql: str, inside: bool, refused: bool, server: support.Server, made: str) -> None:
    with opened(server, made) as session:
        error = ""
        try:
            for statement in ["BEGIN"] * inside + sql.split("; ") if "$$" not in sql else ["BEGIN"] * inside + [sql]:
                session.execute(statement.encode())
        except psycopg.Error as raised:
            error = str(raised)
        session.execute(b"ROLLBACK")
    assert bool(error) == refused, error
