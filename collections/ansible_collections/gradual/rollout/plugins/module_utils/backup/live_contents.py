# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The rows and digests of the live database in the snapshot of a backup, in a file of the backup's folder.

They are computed after the backup was taken, by a process that outlives the module and holds the snapshot until then.
Whoever compares a copy waits for that process and joins its file with the receipt. The process holds a lock on the file
until it ends, however it ends; a file without contents is of a process that did not come to its end.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from typing import IO, Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, errors
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

LACKS = (
    "rows and digests of the live database in the snapshot of this backup: they are computed after it was taken, into"
    f" {store.LIVE}; without them no copy can be compared, so the level restored cannot be reached"
)
_PAUSE = 0.05


def reserved(folder: str) -> IO[str]:
    """The file of a backup that is being taken, empty and locked until no process has it open any more."""
    file = open(os.path.join(folder, store.LIVE), "w", encoding="utf-8")  # noqa: SIM115 (it outlives this process)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def write(
    file: IO[str], session: Session, receipt: Mapping[str, Any], unlogged: bool, limit: int, lock_wait: float
) -> None:
    """Write the rows and digests of the snapshot that the session has, or why they cannot be read. Ends the session.

    limit: seconds after which this process is ended. lock_wait: seconds to wait for a lock.
    """
    begun = time.monotonic()
    signal.alarm(limit)
    found: dict[str, Any] = {"id": receipt["id"]}
    try:
        with session:
            _limit(session, limit, lock_wait)
            found["tables"] = contents.tables(session, receipt["server_version"], unlogged)
    except Exception as error:
        found["problem"] = errors.sentence(error)
    signal.alarm(0)
    found["seconds"] = round(time.monotonic() - begun, 3)
    with file:
        json.dump(receipts.sealed(found), file)
        file.flush()
        os.fsync(file.fileno())


def _limit(session: Session, limit: int, lock_wait: float) -> None:
    """Have the server end what it does for a process that is gone (PostgreSQL 14) or takes too long."""
    settings = {
        "client_connection_check_interval": 1000,
        "statement_timeout": limit * 1000,
        # Nobody queues behind this wait: the tables are locked already, and it is for an index.
        "lock_timeout": int(lock_wait * 1000),
    }
    for name, value in settings.items():
        session.run("SELECT set_config(name, %s, true) FROM pg_settings WHERE name = %s", (str(value), name))


def joined(receipt: Mapping[str, Any], folder: str, timeout: float) -> dict[str, Any]:
    """The receipt with the rows and digests of the live database; waits for them, `timeout` seconds at most."""
    if receipt["tables"] is not None:
        return dict(receipt)
    found = _finished(os.path.join(folder, store.LIVE), timeout)
    if found.get("id") != receipt["id"] or found.get("seal") != receipts.seal(found):
        raise DatabaseError(f"{store.LIVE} is not of this backup, or was changed; take a new backup")
    if "problem" in found:
        raise DatabaseError(f"the live database could not be digested: {found['problem']}")
    return {
        **receipt,
        "tables": found["tables"],
        "lacks": [],
        "durations": {**receipt["durations"], "digest": found["seconds"]},
    }


def _finished(path: str, timeout: float) -> dict[str, Any]:
    """What the file contains once nobody writes it any more."""
    until = time.monotonic() + timeout
    try:
        with open(path, encoding="utf-8") as file:
            while not _free(file):
                if time.monotonic() >= until:
                    raise DatabaseError(
                        f"the digest of the live database is not complete after {timeout:.0f} s; run this again later,"
                        " or raise timeout"
                    )
                time.sleep(_PAUSE)
            found: dict[str, Any] = json.load(file)
            return found
    except OSError as error:
        raise DatabaseError(
            f"{path}, the digest of the live database, cannot be read: {error.strerror}; take a new backup"
        ) from None
    except ValueError:
        raise DatabaseError(
            "the digest of the live database was not completed: its process ended before (by a restart of the host, by"
            " digest_timeout, by a full disk, or at logout by systemd's KillUserProcesses); take a new backup"
        ) from None


def _free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
