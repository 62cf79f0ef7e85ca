# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A throwaway copy opened to an unprivileged user, and to nobody else.

A throwaway cluster trusts whoever reaches its socket, so its folder is its user's only. Before others may enter,
everybody but that user needs a
password that was made for this drill: who could be a superuser of the copy could run programs as the user of the live
cluster.
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

# What a live address may say that holds for a copy too; everything else in it is about the way.
_KEPT = ("options", "application_name", "connect_timeout", "client_encoding")


def rewritten(url: str, folder: str, port: int, password: str) -> str:
    """The address of the same database, role and driver on the copy's socket."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key in _KEPT]
    way = urlencode([*query, ("host", folder), ("port", str(port))])
    return f"{parts.scheme}://{quote(dsn.role_of(url), safe='')}:{password}@{parts.path}?{way}"


def environment(given: Mapping[str, str], folder: str, port: int, passwords: Mapping[str, str]) -> dict[str, str]:
    """Variables for code that is to work on the copy: what leads to the live database leads here."""
    found = {key: value for key, value in given.items() if not key.startswith("PG")}
    role = dsn.role_of(found["DATABASE_URL"])
    found["DATABASE_URL"] = rewritten(found["DATABASE_URL"], folder, port, passwords[role])
    return {**found, "PGHOST": folder, "PGPORT": str(port)}


@contextlib.contextmanager
def opened(scratch: Scratch, roles: Collection[str]) -> Iterator[dict[str, str]]:
    """Let others in while the block runs; {role: password on the copy}."""
    passwords = {role: secrets.token_hex(24) for role in sorted(set(roles))}
    with Session(scratch.parameters("postgres"), "gradual-drill") as session:
        file = str(session.value("SHOW hba_file"))
        if os.path.commonpath([os.path.realpath(file), os.path.realpath(scratch.folder)]) != os.path.realpath(
            scratch.folder
        ):
            raise DatabaseError(
                f"the copy reads who may connect from {file}, which is not its own; it is not opened to the release"
            )
        _give(session, passwords)
        with open(file, encoding="utf-8") as stream:
            before = stream.read()
        mode = os.stat(scratch.folder).st_mode & 0o7777
        try:
            _write(file, f'local all "{pwd.getpwuid(os.geteuid()).pw_name}" peer\nlocal all all scram-sha-256\n')
            session.run("SELECT pg_reload_conf()")
            for role in passwords:
                _wait_until_closed(scratch, role)
            # Not to be listed, only to be gone through, for the socket; the data folder stays closed by its own mode.
            os.chmod(scratch.folder, 0o711)  # noqa: S103 (as said)
            yield passwords
        finally:
            os.chmod(scratch.folder, mode)
            _write(file, before)
            with contextlib.suppress(DatabaseError):
                session.run("SELECT pg_reload_conf()")


def _give(session: Session, passwords: Mapping[str, str]) -> None:
    session.run("SET password_encryption = 'scram-sha-256'")
    for role, password in passwords.items():
        try:
            session.run(f"ALTER ROLE {quoted(role)} LOGIN PASSWORD '{password}'")
        except DatabaseError as error:
            raise DatabaseError(f"the restored copy has no role {role!r} for the release to work as: {error}") from None


def _write(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def _wait_until_closed(scratch: Scratch, role: str) -> None:
    """A reload is done some time after it was asked for: wait until the role is asked for its password."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            with Session({**scratch.parameters("postgres"), "user": role, "password": "not-it"}, "gradual-drill"):
                pass
        except DatabaseError:
            return
        time.sleep(0.02)
    raise DatabaseError(
        f"the throwaway cluster in {scratch.folder} did not take over who may connect within 20 s; it is not opened to"
        " the release"
    )
