# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What every backup method shares: disk space, lock, canary row, partial folder, checksums, receipt and retention."""

from __future__ import annotations

import abc
import contextlib
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Callable, ContextManager, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import live_contents, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import (
    contents,
    digests,
    neutral,
    records,
    server,
    taken_over,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import Unfinished, run
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import (
    Session,
    conninfo,
    socket_parameters,
)

APPLICATION_NAME = "gradual-backup"
# Of the sessions in a throwaway cluster.
DRILL = "gradual-drill"
# How long a session of a backup waits for a table's lock. Whoever waits for the whole table waits behind it.
LOCK_TIMEOUT_MS = 2000
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


@dataclass(frozen=True)
class Request:
    """What to back up and where to. deadline: seconds to wait for locks. type and options: for some methods.

    digest_timeout: seconds for which the snapshot may be held after the backup was taken.
    """

    application: str
    database: str
    destination: str
    socket_directory: str
    port: int
    keep: int
    reserve_mib: int
    deadline: float
    digest_timeout: int = 3600
    format: str = "custom"
    jobs: int = 2
    type: str = "full"
    options: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, str]:
        # Even a query for a table's size waits while another session locks the whole table.
        options = neutral.options({"lock_timeout": int(self.deadline * 1000)})
        return {**socket_parameters(self.database, self.socket_directory, self.port), "options": options}

    def conninfo(self, database: str) -> str:
        """For client programs, which set their own timeouts."""
        return conninfo(socket_parameters(database, self.socket_directory, self.port))

    def address(self) -> list[str]:
        return ["--host", self.socket_directory, "--port", str(self.port), "--no-password"]


class Clock:
    """Measures consecutive parts of one job, in seconds."""

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
    """A backup in progress. It is written into `folder` while `session` holds Gradual's lock of the database.

    `fill` leaves the session in a transaction with the snapshot of the backup, which is digested afterwards.
    """

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
    """One backup method. `take` does what all methods share; a subclass says what is backed up, and how to restore it.

    many_files: list the files beside the receipt, not in it. unlogged: the backup has the rows of unlogged tables.
    """

    name = ""
    many_files = False
    unlogged = True

    def plan(self, request: Request) -> dict[str, Any]:
        """What `take` would do; reads only. {path, estimated_bytes, free_bytes, would_remove, message}."""
        if not _NAME.match(request.application):
            raise DatabaseError(
                f"application is part of a folder's name, got {request.application!r}, expected letters, digits, - and"
                " _"
            )
        with Session(request.parameters(), APPLICATION_NAME) as session:
            self.check(request, session)
            estimate = self.estimate(session)
        good, _broken = store.survey(request.destination)
        # The new backup counts as one of `keep`.
        remove = store.removable(good, request.database, request.application, max(0, request.keep - 1))
        path = plan_path(request)
        free = store.need_space(self.disk_folder(request), estimate, request.reserve_mib, "the backup")
        return {
            "path": path,
            "estimated_bytes": estimate,
            "free_bytes": free,
            "would_remove": remove,
            "message": (
                f"would {'dump' if self.name == 'dump' else 'back up by ' + self.name} {request.database} to {path}, at"
                f" most about {estimate / store.MIB:.1f} MiB of {free / store.MIB:.0f} MiB free, and remove"
                f" {len(remove)} older backups"
            ),
        }

    def take(self, request: Request) -> Unfinished:
        """Take a backup; {path, size, seconds, receipt, removed, warnings}. A failed one leaves no files behind.

        The rest is to digest the live database in the snapshot of the backup, which its session still has.
        """
        begun = time.monotonic()
        with contextlib.ExitStack() as opened, store.exclusively(request.destination):
            # First, because they may fill the disk.
            for orphan in store.leftovers(request.destination):
                store.remove(orphan)
            planned = self.plan(request)
            partial = os.path.join(request.destination, store.PARTIAL + os.path.basename(planned["path"]))
            os.mkdir(partial, 0o700)
            try:
                session = opened.enter_context(Session(request.parameters(), APPLICATION_NAME))
                receipt = self._make(request, session, partial, planned["path"])
                receipt["durations"]["total"] = round(time.monotonic() - begun, 3)
                receipt = receipts.write(partial, receipt)
                live = opened.enter_context(live_contents.reserved(partial))
                store.publish(partial, planned["path"])
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            warnings = self._retention_warnings(request, receipt)
            good, _broken = store.survey(request.destination)
            removed = store.removable(good, request.database, request.application, request.keep)
            for path in removed:
                store.remove(path)
            # The session and the file stay open for the rest.
            opened.pop_all()
        result = {
            "path": planned["path"],
            "size": receipt["size"],
            "seconds": receipt["durations"]["total"],
            "receipt": receipt,
            "removed": removed,
            "warnings": [*receipt["warnings"], *warnings],
        }
        limits = (request.digest_timeout, request.deadline)
        return Unfinished(result, lambda: live_contents.write(live, session, receipt, self.unlogged, *limits))

    def check(self, request: Request, session: Session) -> None:  # noqa: B027 (most have nothing to refuse)
        """Refuse what this method cannot back up; changes nothing."""

    def disk_folder(self, request: Request) -> str:
        """The folder whose disk the backup fills."""
        return request.destination

    @abc.abstractmethod
    def estimate(self, session: Session) -> int:
        """An upper bound of the backup's bytes."""

    @abc.abstractmethod
    def fill(self, work: Work) -> dict[str, Any]:
        """Write the backup's files; keep the snapshot. Returns the receipt's keys that `take` does not know.

        `known` among them: {path: SHA-256} of files that were summed already, so that they are not read again; and
        `synced`: a folder whose files were synced already.
        """

    def apply_retention(self, request: Request, taken: Mapping[str, Any]) -> list[str]:  # noqa: ARG002 (for subclasses)
        """Remove old backups where the method stores its files outside `destination`. Returns warnings."""
        return []

    def intact(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:  # noqa: B027 (the sums may be all)
        """Check the files for damage beyond the checksums in the receipt."""

    @abc.abstractmethod
    def readable(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        """Decode every byte."""

    @abc.abstractmethod
    def copy_bytes(self, receipt: Mapping[str, Any]) -> int:
        """Bytes that a restored copy needs."""

    @abc.abstractmethod
    def restored_copy(
        self, path: str, receipt: Mapping[str, Any], parent: str, timeout: float, jobs: int = 2
    ) -> ContextManager[Scratch]:
        """A running throwaway cluster with the backup's contents, in a new folder below `parent`."""

    def _make(self, request: Request, session: Session, folder: str, path: str) -> dict[str, Any]:
        """Write the files into `folder`; returns the receipt at level `taken`."""
        clock = Clock()
        name = os.path.basename(path)
        server.wait_for_lock(session, shared=True, deadline=request.deadline)
        programs = server.binaries(session)
        # Before the session's own settings hide those of the server.
        settings = taken_over.read(session)
        contents.fix_text(session)
        session.run("SELECT set_config('lock_timeout', %s, false)", (str(LOCK_TIMEOUT_MS),))
        canary = self._write_canary(session, name)
        held = self.fill(Work(request, session, programs, folder, name, clock))
        known = held.pop("known", {})
        store.sync(folder, held.pop("synced", None))
        clock.lap("sync")
        files = store.summed(folder, known)
        self._refuse_empty(files, request)
        size = held.pop("size", 0) + sum(one["bytes"] for one in files.values())
        listed = store.write_listing(folder, files) if self.many_files else files
        clock.lap("checksum")
        return {
            "schema": receipts.SCHEMA,
            "id": name,
            "path": path,
            "application": request.application,
            "host": socket.gethostname(),
            "method": self.name,
            "size": size,
            "files": listed,
            "canary": canary,
            "digest_version": digests.VERSION,
            "tables": None,
            "lacks": [live_contents.LACKS],
            "settings": settings,
            "level": "taken",
            "levels": {"taken": receipts.now()},
            "durations": clock.laps,
            **held,
            "tools": {**held["tools"], "folder": programs},
        }

    def _retention_warnings(self, request: Request, receipt: Mapping[str, Any]) -> list[str]:
        """Apply the retention. The backup is complete by now, so an error here is only a warning."""
        try:
            return self.apply_retention(request, receipt)
        except DatabaseError as error:
            return [f"{receipt['id']} was taken, but older backups could not be removed: {error}"]

    @staticmethod
    def _write_canary(session: Session, run_name: str) -> dict[str, Any] | None:
        """Write a row that only this backup and later ones contain; None on a standby, which takes no writes."""
        if session.value("SELECT pg_is_in_recovery()"):
            return None
        session.run("SELECT set_config('default_transaction_read_only', 'off', false)")
        return records.write_canary(session, run_name)

    @staticmethod
    def _refuse_empty(files: Mapping[str, Mapping[str, Any]], request: Request) -> None:
        """A program on a full disk may end with status 0 and leave empty files.

        PostgreSQL's own files may be empty; its manifest tells which.
        """
        empty = [
            path for path, told in files.items() if told["bytes"] == 0 and not path.startswith(store.CLUSTER + "/")
        ]
        if empty or not files:
            raise DatabaseError(
                f"no program reported an error, but {', '.join(empty) or 'every file'} is empty or missing; is the disk"
                f" of {request.destination} full?"
            )


def plan_path(request: Request) -> str:
    """The folder of a backup that begins now."""
    return os.path.join(request.destination, f"{request.application}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
