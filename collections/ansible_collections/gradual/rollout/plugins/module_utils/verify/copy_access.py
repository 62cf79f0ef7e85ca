# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Give the release's unprivileged user access to a throwaway copy of the database, and nobody else.

A throwaway cluster trusts every process that can reach its socket, so only its own user can enter its folder. Before
others can, all roles but that user's need a password that is made for this restore test: a superuser of the copy could
run programs as the user of the live cluster.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import time
from typing import Collection, Iterator, Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import quote as quoted

# Options of a live address that apply to a copy too; the others say how to connect.
_KEPT = ("options", "application_name", "connect_timeout", "client_encoding")


def rewritten(url: str, folder: str, port: int, password: str) -> str:
    """The same address with the copy's socket and this password."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key in _KEPT]
    options = urlencode([*query, ("host", folder), ("port", str(port))])
    return f"{parts.scheme}://{quote(dsn.role_of(url), safe='')}:{password}@{parts.path}?{options}"


def environment(given: Mapping[str, str], folder: str, port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for code that runs on the copy: the address of the live database becomes the copy's."""
    found = {key: value for key, value in given.items() if not key.startswith("PG")}
    role = dsn.role_of(found["DATABASE_URL"])
    found["DATABASE_URL"] = rewritten(found["DATABASE_URL"], folder, port, passwords[role])
    return {**found, "PGHOST": folder, "PGPORT": str(port)}


@contextlib.contextmanager
def opened(scratch: Scratch, roles: Collection[str]) -> Iterator[dict[str, str]]:
    """Let these roles connect while the block runs. Yields {role: password on the copy}."""
    passwords = {role: secrets.token_hex(24) for role in sorted(set(roles))}
    with Session(scratch.parameters("postgres"), "gradual-drill") as session:
        file = str(session.value("SHOW hba_file"))
        if os.path.commonpath([os.path.realpath(file), os.path.realpath(scratch.folder)]) != os.path.realpath(
            scratch.folder
        ):
            raise DatabaseError(
                f"the copy's hba_file is {file}, expected one below {scratch.folder}; the release gets no access to it"
            )
        _set_passwords(session, passwords)
        with open(file, encoding="utf-8") as stream:
            before = stream.read()
        mode = os.stat(scratch.folder).st_mode & 0o7777
        try:
            _write(file, f'local all "{pwd.getpwuid(os.geteuid()).pw_name}" peer\nlocal all all scram-sha-256\n')
            session.run("SELECT pg_reload_conf()")
            for role in passwords:
                _wait_for_password_check(scratch, role)
            # Others may pass through to the socket, not list the folder; the data folder has its own mode.
            os.chmod(scratch.folder, 0o711)  # noqa: S103 (see above)
            yield passwords
        finally:
            os.chmod(scratch.folder, mode)
            _write(file, before)
            with contextlib.suppress(DatabaseError):
                session.run("SELECT pg_reload_conf()")


def _set_passwords(session: Session, passwords: Mapping[str, str]) -> None:
    session.run("SET password_encryption = 'scram-sha-256'")
    for role, password in passwords.items():
        try:
            session.run(f"ALTER ROLE {quoted(role)} LOGIN PASSWORD '{password}'")
        except DatabaseError as error:
            raise DatabaseError(
                f"the restored copy has no role {role!r}, as which the release connects: {error}"
            ) from None


def _write(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def _wait_for_password_check(scratch: Scratch, role: str) -> None:
    """Wait until the reload has taken effect, so that the role needs its password."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with Session({**scratch.plain_parameters("postgres", role), "password": "not-it"}, "gradual-drill"):
                pass
        except DatabaseError:
            return
        time.sleep(0.02)
    raise DatabaseError(
        f"the throwaway cluster in {scratch.folder} did not reload pg_hba.conf within 20 s; the release gets no access"
        " to it"
    )
