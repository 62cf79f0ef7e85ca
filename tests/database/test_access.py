"""Databases and roles on a real PostgreSQL: made once, left alone the second time, and with no more power than was
asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import access
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import RUN_AS, Server

WANTED = access.Wanted(
    "stall",
    "stall_owner",
    (
        access.Login("stall_owner", "owner's \"pass\\word"),
        access.Login("stall_app", "app-password"),
        access.Login("stall_watch", "w", ("pg_monitor",)),
    ),
    ("stall_app", "stall_watch"),
    "stall_app",
    {"tables": ("SELECT", "INSERT"), "sequences": ("USAGE",)},
    ("pg_trgm",),
)


@pytest.fixture(autouse=True)
def tidy(server: Server) -> Iterator[None]:
    yield
    server.run(
        "DROP DATABASE IF EXISTS stall WITH (FORCE)",
        "DROP ROLE IF EXISTS stall_owner",
        "DROP ROLE IF EXISTS stall_app",
        "DROP ROLE IF EXISTS stall_watch",
    )


def bring(server: Server, wanted: access.Wanted = WANTED, check: bool = False) -> dict[str, Any]:
    parameters = {"host": str(server.folder), "port": str(server.port), "user": RUN_AS}
    result: dict[str, Any] = as_user(RUN_AS, lambda: access.bring(parameters, wanted, check))
    return result


def login(server: Server, user: str, password: str) -> Session:
    return Session(
        {"dbname": "stall", "host": "127.0.0.1", "port": str(server.port), "user": user, "password": password}
    )


def test_made_once_and_left_alone_the_second_time(server: Server) -> None:
    foreseen = bring(server, check=True)
    assert foreseen["existed"] is False
    assert server.value("SELECT count(*) FROM pg_database WHERE datname = 'stall'", "postgres") == 0, (
        "check mode changes nothing"
    )
    assert bring(server)["statements"] == foreseen["statements"]
    assert bring(server) == {"statements": [], "existed": True, "waiting": []}


def test_the_application_uses_what_the_owner_makes_and_no_more(server: Server) -> None:
    bring(server)
    with login(server, "stall_owner", "owner's \"pass\\word") as owner:
        owner.run("CREATE TABLE goods (id serial PRIMARY KEY, name text)")
    with login(server, "stall_app", "app-password") as application:
        application.run("INSERT INTO goods (name) VALUES ('tea')")
        assert application.value("SELECT name FROM goods") == "tea"
        for statement in (
            "DELETE FROM goods",
            "DROP TABLE goods",
            "CREATE TABLE mine (id int)",
            "CREATE ROLE another",
            "SELECT rolpassword FROM pg_authid",
        ):
            with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
                application.run(statement)


def test_others_are_kept_out(server: Server) -> None:
    bring(server)
    server.run("CREATE ROLE passer_by LOGIN PASSWORD 'by'")
    try:
        with pytest.raises(DatabaseError, match="permission denied for database"):
            login(server, "passer_by", "by")
    finally:
        server.run("DROP ROLE passer_by")


def test_a_new_password_replaces_the_old_one(server: Server) -> None:
    bring(server)
    changed = dataclasses.replace(
        WANTED, logins=(*WANTED.logins[:1], access.Login("stall_app", "another"), WANTED.logins[2])
    )
    assert bring(server, changed)["statements"] == ['ALTER ROLE "stall_app" PASSWORD …']
    login(server, "stall_app", "another").close()
    with pytest.raises(DatabaseError, match="password authentication failed"):
        login(server, "stall_app", "app-password")


def test_what_somebody_loosened_is_tightened(server: Server) -> None:
    bring(server)
    server.run("ALTER ROLE stall_app SUPERUSER", "GRANT CONNECT ON DATABASE stall TO PUBLIC")
    assert len(bring(server)["statements"]) == 2
    assert bring(server)["statements"] == []
    assert server.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'stall_app'", "postgres") is False
