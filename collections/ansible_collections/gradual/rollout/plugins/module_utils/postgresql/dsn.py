# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The application's environment file and its DATABASE_URL: parts of the address, as libpq takes it, without secrets."""

from __future__ import annotations

import re
from typing import Mapping, Sequence
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import keywords

HIDDEN = "********"
# SQLAlchemy's drivers that use libpq, and so obey PGOPTIONS, which sets the timeouts.
_LIBPQ = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+psycopg_async")
# https://www.postgresql.org/docs/current/libpq-envars.html; Gradual sets options and
# application_name itself.
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
_FORM = "postgresql://role:password@host:5432/database"


def read_variables(file: str, option: str = "environment_file") -> dict[str, str]:
    """The variables of an environment file; `option` names it in the error."""
    try:
        with open(file, encoding="utf-8") as opened:
            return variables(opened.read(), file)
    except OSError as error:
        raise DatabaseError(f"{option} {file} cannot be read: {error.strerror}") from None


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
        raise DatabaseError(f"DATABASE_URL is not a URL; expected {_FORM}")
    if scheme not in _LIBPQ:
        raise DatabaseError(
            f"DATABASE_URL has the driver {scheme!r}, which ignores PGOPTIONS, so no lock timeout can be set; expected"
            " postgresql+psycopg"
        )
    return f"postgresql://{rest}"


def libpq_variables(url: str) -> dict[str, str]:
    """The address as PGHOST, PGPASSWORD and so on, for a program that must get no password as an argument."""
    found = {}
    for key, value in keywords(libpq_url(url)).items():
        if key in _VARIABLES:
            found[_VARIABLES[key]] = value
        elif not key.startswith(_HARMLESS):
            raise DatabaseError(
                f"DATABASE_URL has {key}, for which libpq has no variable, so psql cannot get it; remove it, or set it"
                " with PGSERVICE"
            )
    return found


def database_of(url: str) -> str:
    """The name of the database in the address."""
    name = unquote(urlsplit(libpq_url(url)).path.lstrip("/"))
    if not name:
        raise DatabaseError(f"DATABASE_URL names no database; expected {_FORM}")
    return name


def role_of(url: str) -> str:
    """The role in the address."""
    name = unquote(urlsplit(libpq_url(url)).username or "")
    if not name:
        raise DatabaseError(f"DATABASE_URL names no role; expected {_FORM}")
    return name


def without_password(url: str) -> str:
    """The address for messages, without user, password and options."""
    parts = urlsplit(libpq_url(url))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def pgoptions(settings: Mapping[str, object]) -> str:
    """Settings as the value of PGOPTIONS."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def secrets(environment: Mapping[str, str]) -> list[str]:
    """Every value of the environment that no message may contain, longest first."""
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
    """The text without these secrets, and without the password of any address in it."""
    for one in hidden:
        text = text.replace(one, HIDDEN)
    return re.sub(r"(\w+://[^\s:/@]*):[^\s@/]+@", rf"\1:{HIDDEN}@", text)


def _passwords(url: str) -> list[str]:
    """Passwords before the host, where SQLAlchemy's users write them, and in the query, where libpq takes them."""
    parts = urlsplit(url)
    return [
        one
        for one in (
            parts.password,
            *(value for key, value in parse_qsl(parts.query) if key in ("password", "sslpassword")),
        )
        if one
    ]
