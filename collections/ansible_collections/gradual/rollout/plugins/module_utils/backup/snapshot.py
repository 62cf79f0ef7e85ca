# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Reading a database for a backup in one snapshot: its identity and its schema, with a retry when a lock is refused."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import LOCK_TIMEOUT_MS, Work
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    beside,
    finished,
    strictly,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

SCHEMA = "schema.sql"
# Messages of pg_dump and pg_restore that do not fail a backup. Any other message does.
HARMLESS = (
    "pg_dump: warning: there are circular foreign-key constraints",
    "pg_dump: detail: ",
    "pg_dump: hint: You might not be able to restore the dump without using --disable-triggers",
    "pg_dump: hint: Consider using a full dump instead of a --data-only dump",
    # The server says these to every new connection: a setting of the database or role does not fit the server, or the
    # locale's library is newer than the database. DETAIL and HINT belong to the line before them.
    'WARNING:  invalid value for parameter "',
    'WARNING:  database "',
    "DETAIL:  ",
    "HINT:  ",
)
_LOCK_NOT_AVAILABLE = "55P03"
# pg_dump's --lock-wait-timeout is a statement_timeout while it takes its locks.
_LOCK_MESSAGES = ("due to statement timeout", "due to lock timeout", "could not obtain lock")


def retry_while_locked(
    work: Callable[[], dict[str, Any]], session: Session, clean: Callable[[], None], deadline: float
) -> dict[str, Any]:
    """Do the work; while a table is locked by others, do it again from a new snapshot, for `deadline` seconds.

    A session that wants to lock a whole table waits for us, and all others wait behind it. So each attempt waits only
    for a short time, and lets that session go first.
    """
    until = time.monotonic() + deadline
    while True:
        try:
            return work()
        except DatabaseError as error:
            session.run("ROLLBACK")
            if time.monotonic() > until or not lock_refused(error):
                raise
        clean()
        time.sleep(0.5)


def lock_refused(error: DatabaseError) -> bool:
    """Whether the only problem is a lock that was not granted in time."""
    return error.sqlstate == _LOCK_NOT_AVAILABLE or any(one in str(error) for one in _LOCK_MESSAGES)


@contextlib.contextmanager
def schema_beside(work: Work, snapshot: str, encoding: str) -> Iterator[Callable[[], str]]:
    """Write the schema as SQL while the block runs. Yields a function that waits for the end and returns the text.

    encoding: the database's, which a setting of it may keep from being the dump's.
    """
    path = os.path.join(work.folder, SCHEMA)
    command = [
        work.program("pg_dump"),
        "--schema-only",
        "--snapshot",
        snapshot,
        "--lock-wait-timeout",
        str(LOCK_TIMEOUT_MS),
        "--no-tablespaces",
        "--encoding",
        encoding,
        "--no-password",
        "--file",
        path,
        "--dbname",
        work.request.conninfo(work.request.database),
    ]
    with beside(command) as dumping:

        def text() -> str:
            strictly(finished(dumping, command), HARMLESS)
            return schema_text(path)

        yield text


def schema_text(path: str) -> str:
    """A schema that pg_dump wrote, whatever its encoding."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()


def facts(identity: Mapping[str, Any], revisions: Sequence[str]) -> dict[str, Any]:
    """What every receipt says of the database that was backed up."""
    return {
        **{
            key: identity[key]
            for key in (
                "database",
                "system_identifier",
                "timeline",
                "lsn",
                "server_version",
                "encoding",
                "bootstrap_role",
            )
        },
        "database_bytes": identity["bytes"],
        "revision": ",".join(revisions) or None,
    }
