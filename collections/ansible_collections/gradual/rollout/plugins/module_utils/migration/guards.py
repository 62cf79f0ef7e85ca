# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What may be done: pure decisions, before anything is."""

from __future__ import annotations

import re
from typing import Mapping, Sequence
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import UNKNOWN, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import keywords

HIDDEN = "********"
# SQLAlchemy's drivers that are libpq underneath and so obey PGOPTIONS, by which the timeouts are set.
_LIBPQ = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+psycopg_async")
# https://www.postgresql.org/docs/current/libpq-envars.html; options and the name of the application are ours.
_VARIABLES = {
    key: f"PG{key.upper()}"
    for key in (
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "passfile",
        "service",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslcrldir",
        "gssencmode",
        "krbsrvname",
        "gsslib",
        "connect_timeout",
        "requirepeer",
    )
}
_VARIABLES.update(
    {
        "dbname": "PGDATABASE",
        "target_session_attrs": "PGTARGETSESSIONATTRS",
        "channel_binding": "PGCHANNELBINDING",
        "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
        "client_encoding": "PGCLIENTENCODING",
    }
)
_HARMLESS = ("keepalives", "tcp_user_timeout", "application_name", "fallback_application_name", "options")
# Told by every driver in every language of the server: the class of the error, or its SQLSTATE.
_LOCK_TIMEOUT = re.compile(r"LockNotAvailable|55P03|canceling statement due to lock timeout")
_AGAIN = re.compile(r"DeadlockDetected|SerializationFailure|CannotConnectNow|40P01|40001|57P03|[Cc]onnection refused")
_LOST = re.compile(
    r"AdminShutdown|CrashShutdown|57P0[12]|server closed the connection unexpectedly|terminating connection|the"
    r" connection is lost"
    r"|consuming input failed|connection to server was lost"
)


def steps(pending: Sequence[Revision], phase: str) -> tuple[list[Revision], list[Revision]]:
    """(what to apply now, what stays pending for a later phase).

    Expand applies what leads up to the first revision of another phase. It refuses where it would have to leave out a
    revision that
    something later rests on, and where a file does not say its phase.
    """
    if phase == "contract":
        return list(pending), []
    for number, one in enumerate(pending):
        if one.phase == "expand":
            continue
        silent = [other for other in pending if other.phase == UNKNOWN]
        if silent:
            raise DatabaseError(
                f"{silent[0].file} does not say its phase, so it counts as one that old code may not survive. If code"
                ' of the previous release can work with what it makes, write phase = "expand" at its top level; else'
                ' phase = "contract", and run it later by contract.yml'
            )
        late = [other for other in pending[number:] if other.phase == "expand"]
        if late:
            raise DatabaseError(
                f"{late[0].revision} ({late[0].file}) is to be applied now, but it comes after {one.revision}, whose"
                f" phase is {one.phase} and whose time has not come; put the expand migration before it, or ship the"
                " other one in a later release"
            )
        return list(pending[:number]), list(pending[number:])
    return list(pending), []


def variables(text: str, file: str) -> dict[str, str]:
    """KEY=value lines as systemd reads them; comments and empty lines are left out."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        key, equals, value = stripped.partition("=")
        key = key.removeprefix("export ").strip()
        if not equals or not key.isidentifier():
            raise DatabaseError(f"{file}, line {number}, is not KEY=value")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[key] = value
    return found


def libpq_url(url: str) -> str:
    """The database's address without SQLAlchemy's driver, as libpq takes it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise DatabaseError("DATABASE_URL is no URL; write postgresql://role:password@host:5432/database")
    if scheme not in _LIBPQ:
        raise DatabaseError(
            f"DATABASE_URL uses {scheme!r}, which does not obey PGOPTIONS, so no lock timeout could be set; migrate"
            " through psycopg"
        )
    return f"postgresql://{rest}"


def libpq_variables(url: str) -> dict[str, str]:
    """The address for a program that is given no argument with a password in it: PGHOST, PGPASSWORD and so on."""
    found = {}
    for key, value in keywords(libpq_url(url)).items():
        if key in _VARIABLES:
            found[_VARIABLES[key]] = value
        elif not key.startswith(_HARMLESS):
            raise DatabaseError(
                f"DATABASE_URL has {key}, for which libpq knows no variable, so psql cannot be told; leave it out, or"
                " set it with PGSERVICE"
            )
    return found


def database_of(url: str) -> str:
    """The name of the database in the address."""
    name = unquote(urlsplit(libpq_url(url)).path.lstrip("/"))
    if not name:
        raise DatabaseError("DATABASE_URL names no database; write postgresql://role:password@host:5432/database")
    return name


def secrets(environment: Mapping[str, str]) -> list[str]:
    """Everything in the environment that must be in no message, longest first."""
    found = set()
    url = environment.get("DATABASE_URL", "")
    if url:
        for password in _passwords(url):
            found |= {url, password, unquote(password), quote_plus(password), quote(password, safe="")}
    for key, value in environment.items():
        if value and re.search(r"PASSWORD|SECRET|TOKEN|(^|_)KEY(_|$)|CREDENTIAL", key):
            found.add(value)
        if "://" in value and urlsplit(value).password:
            found.add(str(urlsplit(value).password))
    return sorted((one for one in found if len(one) > 2), key=len, reverse=True)


def scrubbed(text: str, hidden: Sequence[str]) -> str:
    """The text without any of the secrets, nor a password in any address."""
    for one in hidden:
        text = text.replace(one, HIDDEN)
    return re.sub(r"(\w+://[^\s:/@]*):[^\s@/]+@", rf"\1:{HIDDEN}@", text)


def address(url: str) -> str:
    """The address for people: without the password."""
    parts = urlsplit(libpq_url(url))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _passwords(url: str) -> list[str]:
    """Before the host, as SQLAlchemy's users write it, or in the query, as libpq's may."""
    parts = urlsplit(url)
    return [
        one
        for one in (
            parts.password,
            *(value for key, value in parse_qsl(parts.query) if key in ("password", "sslpassword")),
        )
        if one
    ]


def lock_timeout(output: str) -> bool:
    """Whether it ended because a lock was not to be had in time."""
    return bool(_LOCK_TIMEOUT.search(output))


def lost(output: str) -> bool:
    """Whether the session went away under it, so that nobody was told how its last statement ended."""
    return bool(_LOST.search(output))


def passing(output: str) -> bool:
    """Whether the same step may well succeed when it is tried again: a deadlock, a restart of the server, a lost
    connection."""
    return bool(_AGAIN.search(output)) or lost(output)


def settings(lock_timeout_ms: int | None, statement_timeout_ms: int, server_version: int) -> dict[str, int]:
    """Settings of a step's sessions. They go before what the role or the database sets. None: wait for locks as
    CONCURRENTLY has to."""
    found = {
        "lock_timeout": lock_timeout_ms or 0,
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": 60000,
    }
    if server_version >= 140000:
        # The server itself ends a statement whose client is gone, so that no orphan goes on without its driver.
        found["client_connection_check_interval"] = 1000
    return found


def options(wanted: Mapping[str, object]) -> str:
    """Settings as PGOPTIONS."""
    return " ".join(f"-c {name}={value}" for name, value in wanted.items())
