# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The frame of every backup: room, lock, canary, temporary name, sync, checksums, receipt, name, retention. What is in
it is the method's."""

from __future__ import annotations

import abc
import contextlib
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Callable, ContextManager, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, records, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    beside,
    finished,
    run,
    strictly,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

APPLICATION_NAME = "gradual-backup"
SCHEMA = "schema.sql"
# What pg_dump may say without anything being wrong with the dump. Everything else it says fails the backup.
HARMLESS = (
    "pg_dump: warning: there are circular foreign-key constraints",
    "pg_dump: detail: ",
    "pg_dump: hint: You might not be able to restore the dump without using --disable-triggers",
    "pg_dump: hint: Consider using a full dump instead of a --data-only dump",
)
PATIENCE_MS = 2000
_LOCK_NOT_AVAILABLE = "55P03"
# pg_dump's --lock-wait-timeout is a statement_timeout while it takes its locks.
_LOCK_MESSAGES = ("due to statement timeout", "due to lock timeout", "could not obtain lock")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


@dataclass(frozen=True)
class Request:
    """What to back up and where to. type and options are for methods that know them."""

    application: str
    database: str
    destination: str
    socket_directory: str
    port: int
    keep: int
    reserve_mib: int
    deadline: float
    format: str = "custom"
    jobs: int = 2
    type: str = "full"
    options: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, str]:
        # Even asking for a table's size waits for whoever holds the whole table.
        return {
            "dbname": self.database,
            "host": self.socket_directory,
            "port": str(self.port),
            "options": f"-c lock_timeout={int(self.deadline * 1000)} -c statement_timeout=0",
        }

    def address(self) -> list[str]:
        return ["--host", self.socket_directory, "--port", str(self.port), "--no-password"]


class Clock:
    """Seconds of each part, one after the other."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        at = self._now()
        self.laps[name] = round(self.laps.get(name, 0) + at - self._last, 3)
        self._last = at


@dataclass(frozen=True)
class Work:
    """A backup that is being taken: into `folder`, while `session` holds Gradual's lock of the database."""

    request: Request
    session: Session
    programs: str
    folder: str
    id: str
    clock: Clock

    def program(self, name: str) -> str:
        return os.path.join(self.programs, name)

    def version(self, name: str) -> str:
        return run([self.program(name), "--version"]).output.strip()


class Method(abc.ABC):
    """One way to back up. `fill` makes the files and tells what the receipt says of them; the frame does the rest.

    many_files: whether the files are listed beside the receipt. unlogged: whether rows of unlogged tables are in it.
    """

    name = ""
    many_files = False
    unlogged = True

    def plan(self, request: Request) -> dict[str, Any]:
        """What a backup would do now; reads only. {path, estimated_bytes, free_bytes, would_remove, message}."""
        return plan(self, request)

    def take(self, request: Request) -> dict[str, Any]:
        """Take a backup; {path, size, seconds, receipt, removed}. Nothing is left behind when it fails."""
        return take(self, request)

    def check(self, request: Request, session: Session) -> None:  # noqa: B027 (most have nothing to refuse)
        """Refuse what this method cannot back up; changes nothing."""

    def place(self, request: Request) -> str:
        """The folder whose disk the backup fills."""
        return request.destination

    @abc.abstractmethod
    def estimate(self, session: Session) -> int:
        """An upper bound of the backup's bytes."""

    @abc.abstractmethod
    def fill(self, work: Work) -> dict[str, Any]:
        """Make the backup's files; returns the receipt's keys that the frame does not know. `known` are sums that need
        no reading."""

    def tidy(self, request: Request, taken: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 (for methods that need it)
        """What is to be done where the method keeps its files elsewhere, after the receipt has its name; sentences to
        warn of."""
        return []

    def intact(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:  # noqa: B027 (the sums may be all)
        """What the method can tell of damaged files beyond the sums in the receipt."""

    @abc.abstractmethod
    def readable(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        """Decode every byte."""

    @abc.abstractmethod
    def room(self, receipt: Mapping[str, Any]) -> int:
        """Bytes that the restored copy needs."""

    @abc.abstractmethod
    def materialise(
        self, path: str, receipt: Mapping[str, Any], parent: str, timeout: float, jobs: int = 2
    ) -> ContextManager[Scratch]:
        """A running throwaway cluster in a new folder below `parent` that holds the backup."""


def plan_path(request: Request) -> str:
    """Where a backup that begins now goes."""
    return os.path.join(request.destination, f"{request.application}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")


def plan(method: Method, request: Request) -> dict[str, Any]:
    """See Method.plan."""
    if not _NAME.match(request.application):
        raise DatabaseError(
            f"application {request.application!r} cannot be part of a folder's name; use letters, digits, - and _"
        )
    with Session(request.parameters(), APPLICATION_NAME) as session:
        method.check(request, session)
        estimate = method.estimate(session)
    good, _broken = store.survey(request.destination)
    # The new one counts as one of those that are kept.
    remove = store.removable(good, request.database, request.application, max(0, request.keep - 1))
    path = plan_path(request)
    free = store.need_space(method.place(request), estimate, request.reserve_mib, "the backup")
    return {
        "path": path,
        "estimated_bytes": estimate,
        "free_bytes": free,
        "would_remove": remove,
        "message": (
            f"would {'dump' if method.name == 'dump' else 'back up by ' + method.name} {request.database} to {path}, at"
            f" most about {estimate / store.MIB:.1f} MiB of {free / store.MIB:.0f} MiB free, and remove {len(remove)}"
            " older backups"
        ),
    }


def take(method: Method, request: Request) -> dict[str, Any]:
    """See Method.take."""
    begun = time.monotonic()
    with store.exclusively(request.destination):
        # Before there is room for anything else.
        for orphan in store.leftovers(request.destination):
            store.remove(orphan)
        planned = plan(method, request)
        partial = os.path.join(request.destination, store.PARTIAL + os.path.basename(planned["path"]))
        os.mkdir(partial, 0o700)
        try:
            receipt = _filled(method, request, partial, planned["path"])
            receipt["durations"]["total"] = round(time.monotonic() - begun, 3)
            receipt = receipts.write(partial, receipt)
            store.publish(partial, planned["path"])
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        warnings = _tidied(method, request, receipt)
        good, _broken = store.survey(request.destination)
        removed = store.removable(good, request.database, request.application, request.keep)
        for path in removed:
            store.remove(path)
    return {
        "path": planned["path"],
        "size": receipt["size"],
        "seconds": receipt["durations"]["total"],
        "receipt": receipt,
        "removed": removed,
        "warnings": [*receipt["warnings"], *warnings],
    }


def _filled(method: Method, request: Request, folder: str, path: str) -> dict[str, Any]:
    """Have the method fill the folder; the receipt as far as level `taken`."""
    clock = Clock()
    name = os.path.basename(path)
    with Session(request.parameters(), APPLICATION_NAME) as session:
        server.wait_for_lock(session, shared=True, deadline=request.deadline)
        programs = server.binaries(session)
        contents.fix_text(session)
        session.run("SELECT set_config('lock_timeout', %s, false)", (str(PATIENCE_MS),))
        canary = _canary(session, name)
        held = method.fill(Work(request, session, programs, folder, name, clock))
    known = held.pop("known", {})
    store.sync(folder)
    clock.lap("sync")
    files = store.summed(folder, known)
    _none_empty(files, request)
    size = held.pop("size", 0) + sum(one["bytes"] for one in files.values())
    listed = store.write_listing(folder, files) if method.many_files else files
    clock.lap("checksum")
    return {
        "schema": receipts.SCHEMA,
        "id": name,
        "path": path,
        "application": request.application,
        "host": socket.gethostname(),
        "method": method.name,
        "size": size,
        "files": listed,
        "canary": canary,
        "level": "taken",
        "levels": {"taken": receipts.now()},
        "durations": clock.laps,
        **held,
        "tools": {**held["tools"], "folder": programs},
    }


def _tidied(method: Method, request: Request, receipt: Mapping[str, Any]) -> list[str]:
    """The backup has its name by now, so what goes wrong here is no failure of it."""
    try:
        return method.tidy(request, receipt)
    except DatabaseError as error:
        return [f"{receipt['id']} was taken, but what is older could not be tidied up: {error}"]


def _canary(session: Session, run_name: str) -> dict[str, Any] | None:
    """A row that only this backup and later ones can hold; a standby takes none."""
    if session.value("SELECT pg_is_in_recovery()"):
        return None
    session.run("SELECT set_config('default_transaction_read_only', 'off', false)")
    return records.write_canary(session, run_name)


def patiently(
    work: Callable[[], dict[str, Any]], session: Session, clean: Callable[[], None], deadline: float
) -> dict[str, Any]:
    """Try again, from a new snapshot, while a table's lock is not to be had.

    Whoever wants a whole table waits for us, and everybody else for them; so we wait a short while only, and let them
    pass.
    """
    until = time.monotonic() + deadline
    while True:
        try:
            return work()
        except DatabaseError as error:
            session.run("ROLLBACK")
            if time.monotonic() > until or not is_busy(error):
                raise
        clean()
        time.sleep(0.5)


def is_busy(error: DatabaseError) -> bool:
    """Whether a lock was not to be had, no more."""
    return error.sqlstate == _LOCK_NOT_AVAILABLE or any(one in str(error) for one in _LOCK_MESSAGES)


@contextlib.contextmanager
def schema_beside(work: Work, snapshot: str) -> Iterator[Callable[[], str]]:
    """Write the schema as SQL, for people and for the fingerprint, while the block runs; what it yields waits for the
    end and returns the text."""
    path = os.path.join(work.folder, SCHEMA)
    command = [
        work.program("pg_dump"),
        "--schema-only",
        "--snapshot",
        snapshot,
        "--lock-wait-timeout",
        str(PATIENCE_MS),
        "--no-tablespaces",
        *work.request.address(),
        "--file",
        path,
        work.request.database,
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


def _none_empty(files: Mapping[str, Mapping[str, Any]], request: Request) -> None:
    """A full disk may leave empty files behind a status of 0. PostgreSQL's own files may be empty, and are held against
    its manifest."""
    empty = [path for path, told in files.items() if told["bytes"] == 0 and not path.startswith(store.CLUSTER + "/")]
    if empty or not files:
        raise DatabaseError(
            f"all seems well, but {', '.join(empty) or 'every file'} is empty or missing; is the disk of"
            f" {request.destination} full?"
        )
