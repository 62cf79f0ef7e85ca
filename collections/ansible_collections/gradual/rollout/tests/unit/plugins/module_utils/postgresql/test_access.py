# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which statements lead from the roles that are there to those that are wanted."""

from __future__ import annotations

import base64
import dataclasses
import hmac

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.access import (
    Found,
    Login,
    Statement,
    Wanted,
    matches,
    plan,
    verifier,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

SALT = b"0123456789abcdef"
WANTED = Wanted(
    "shop",
    "owner",
    (Login("owner", "one"), Login("user", "two"), Login("watch", "three", ("pg_monitor",))),
    ("user", "watch"),
    "user",
    {"tables": ("SELECT", "INSERT")},
    ("pg_stat_statements",),
)
DONE = Found(
    {
        "owner": {"least": True, "verifier": verifier("one", SALT), "member_of": []},
        "user": {"least": True, "verifier": verifier("two", SALT), "member_of": []},
        "watch": {"least": True, "verifier": verifier("three", SALT), "member_of": ["pg_monitor", "another"]},
    },
    "owner",
    frozenset({("user", "CONNECT"), ("watch", "CONNECT"), ("owner", "CONNECT")}),
    {"tables": frozenset({"SELECT", "INSERT"})},
    frozenset({"pg_stat_statements", "plpgsql"}),
)
AHEAD = 'ALTER DEFAULT PRIVILEGES FOR ROLE "owner" IN SCHEMA public'


def told(found: Found, wanted: Wanted = WANTED) -> list[str]:
    return [step.told for step in plan(found, wanted, lambda: SALT)]


def with_login(name: str, **changes: object) -> Found:
    return dataclasses.replace(DONE, logins={**DONE.logins, name: {**DONE.logins[name], **changes}})


def test_nothing_is_done_twice() -> None:
    assert plan(DONE, WANTED) == []


def test_from_nothing() -> None:
    assert told(Found({}, None)) == [
        'CREATE ROLE "owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        'ALTER ROLE "owner" PASSWORD …',
        'CREATE ROLE "user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        'ALTER ROLE "user" PASSWORD …',
        'CREATE ROLE "watch" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        'ALTER ROLE "watch" PASSWORD …',
        'GRANT "pg_monitor" TO "watch"',
        """CREATE DATABASE "shop" OWNER "owner" ENCODING 'UTF8' TEMPLATE template0""",
        'REVOKE ALL ON DATABASE "shop" FROM PUBLIC',
        'GRANT CONNECT ON DATABASE "shop" TO "user"',
        'GRANT CONNECT ON DATABASE "shop" TO "watch"',
        f'{AHEAD} GRANT INSERT, SELECT ON TABLES TO "user"',
        'CREATE EXTENSION "pg_stat_statements"',
    ]


@pytest.mark.parametrize(
    ("found", "statements"),
    [
        (with_login("user", verifier=verifier("old", SALT)), ['ALTER ROLE "user" PASSWORD …']),
        (with_login("user", verifier=None), ['ALTER ROLE "user" PASSWORD …']),
        (with_login("user", verifier="md5d8578edf8458ce06fbc5bb76a58c5ca4"), ['ALTER ROLE "user" PASSWORD …']),
        (
            with_login("user", least=False),
            ['ALTER ROLE "user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'],
        ),
        (with_login("watch", member_of=[]), ['GRANT "pg_monitor" TO "watch"']),
        (
            with_login("user", replication=True),
            ['ALTER ROLE "user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'],
        ),
        (dataclasses.replace(DONE, owner="postgres"), ['ALTER DATABASE "shop" OWNER TO "owner"']),
        (
            dataclasses.replace(DONE, granted=DONE.granted | {("", "TEMPORARY")}),
            ['REVOKE ALL ON DATABASE "shop" FROM PUBLIC'],
        ),
        (
            dataclasses.replace(DONE, granted=frozenset()),
            ['GRANT CONNECT ON DATABASE "shop" TO "user"', 'GRANT CONNECT ON DATABASE "shop" TO "watch"'],
        ),
        (
            dataclasses.replace(
                DONE, privileges={"tables": frozenset({"SELECT", "DELETE"}), "sequences": frozenset({"USAGE"})}
            ),
            [
                f'{AHEAD} GRANT INSERT ON TABLES TO "user"',
                f'{AHEAD} REVOKE DELETE ON TABLES FROM "user"',
                f'{AHEAD} REVOKE USAGE ON SEQUENCES FROM "user"',
            ],
        ),
        (dataclasses.replace(DONE, extensions=frozenset()), ['CREATE EXTENSION "pg_stat_statements"']),
    ],
)
def test_only_what_differs_is_changed(found: Found, statements: list[str]) -> None:
    assert told(found) == statements


def test_a_standby_gets_a_role_and_a_slot_once() -> None:
    wanted = dataclasses.replace(
        WANTED, logins=(*WANTED.logins, Login("stream", "four", replication=True)), slots=("db2",)
    )
    assert told(DONE, wanted) == [
        'CREATE ROLE "stream" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION NOBYPASSRLS',
        'ALTER ROLE "stream" PASSWORD …',
        "SELECT pg_create_physical_replication_slot('db2', true)",
    ]
    stream = {"least": True, "replication": True, "verifier": verifier("four", SALT), "member_of": []}
    assert (
        plan(
            dataclasses.replace(DONE, logins={**DONE.logins, "stream": stream}, slots=frozenset({"db2", "db3"})), wanted
        )
        == []
    )


def test_what_is_told_holds_neither_password_nor_verifier() -> None:
    steps = plan(Found({}, None), WANTED)
    assert any("SCRAM" in step.sql for step in steps)
    assert not any("SCRAM" in step.told for step in steps)
    assert not any(login.password in step.sql.split() for step in steps for login in WANTED.logins)


def test_names_are_quoted() -> None:
    wanted = dataclasses.replace(
        WANTED, logins=(Login('ow"ner', "one"),), owner='ow"ner', extensions=(), privileges={}, connect=()
    )
    assert Statement(
        'CREATE ROLE "ow""ner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
        'CREATE ROLE "ow""ner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
    ) in plan(Found({}, None), wanted)


def test_verifier_signs_as_in_the_rfc() -> None:
    """RFC 7677, section 3: the exchange of user "user" with password "pencil", which the server signs with its key."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    kept = verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    key = base64.b64decode(kept.rsplit(":", 1)[1])
    assert (
        base64.b64encode(hmac.digest(key, exchange.encode(), "sha256"))
        == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    assert matches(kept, "pencil")
    assert not matches(kept, "pencils")


@pytest.mark.parametrize("password", ["", "schön", "two\nlines"])
def test_a_password_that_servers_may_read_otherwise_is_refused(password: str) -> None:
    with pytest.raises(DatabaseError, match="printable ASCII"):
        verifier(password, SALT)
