# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Backup method `dump`: pg_dump of one database, with the roles, from a snapshot whose contents are digested."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import beside, finished, run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

APPLICATION_NAME = "gradual-backup"
DUMP = {"custom": "database.dump", "directory": "database"}
ROLES = "roles.sql"
SCHEMA = "schema.sql"
# What pg_dump may say without anything being wrong with the dump. Everything else it says fails the backup.
HARMLESS = (
    "pg_dump: warning: there are circular foreign-key constraints",
    "pg_dump: detail: ", "pg_dump: hint: You might not be able to restore the dump without using --disable-triggers",
    "pg_dump: hint: Consider using a full dump instead of a --data-only dump",
)
PATIENCE_MS = 2000
_LOCK_NOT_AVAILABLE = "55P03"
# pg_dump's --lock-wait-timeout is a statement_timeout while it takes its locks.
_LOCK_MESSAGES = ("due to statement timeout", "due to lock timeout", "could not obtain lock")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


@dataclass(frozen=True)
class Request:
    """What to back up and where to."""

    application: str
    database: str
    destination: str
    socket_directory: str
    port: int
    format: str
    jobs: int
    keep: int
    reserve_mib: int
    deadline: float

    def parameters(self) -> dict[str, str]:
        # Even asking for a table's size waits for whoever holds the whole table.
        return {"dbname": self.database, "host": self.socket_directory, "port": str(self.port),
                "options": f"-c lock_timeout={int(self.deadline * 1000)} -c statement_timeout=0"}


def plan(request: Request) -> dict[str, Any]:
    """What a backup would do now; reads only. {path, estimated_bytes, free_bytes, would_remove, message}."""
    if not _NAME.match(request.application):
        raise DatabaseError(f"application {request.application!r} cannot be part of a folder's name; use letters, digits, - and _")
    with Session(request.parameters(), APPLICATION_NAME) as session:
        estimate = _estimate(session)
    good, _broken = store.survey(request.destination)
    # The new one counts as one of those that are kept.
    remove = store.removable(good, request.database, request.application, max(0, request.keep - 1))
    path = plan_path(request)
    free = store.need_space(request.destination, estimate, request.reserve_mib, "the backup")
    return {
        "path": path, "estimated_bytes": estimate, "free_bytes": free, "would_remove": remove,
        "message": f"would dump {request.database} to {path}, at most about {estimate / store.MIB:.1f} MiB of {free / store.MIB:.0f} MiB free, "
                   f"and remove {len(remove)} older backups",
    }


def take(request: Request) -> dict[str, Any]:
    """Take a backup; {path, size, seconds, receipt, removed}. Nothing is left behind when it fails."""
    begun = time.monotonic()
    planned = plan(request)
    with store.exclusively(request.destination):
        for orphan in store.leftovers(request.destination):
            store.remove(orphan)
        partial = os.path.join(request.destination, store.PARTIAL + os.path.basename(planned["path"]))
        os.mkdir(partial, 0o700)
        try:
            receipt = _fill(request, partial, planned)
            receipt["durations"]["total"] = round(time.monotonic() - begun, 3)
            receipt = receipts.write(partial, receipt)
            store.publish(partial, planned["path"])
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        good, _broken = store.survey(request.destination)
        removed = store.removable(good, request.database, request.application, request.keep)
        for path in removed:
            store.remove(path)
    return {"path": planned["path"], "size": receipt["size"], "seconds": receipt["durations"]["total"], "receipt": receipt, "removed": removed}


def wait_for_lock(session: Session, shared: bool, deadline: float, pause: float = 0.5) -> None:
    """Take Gradual's lock of this database, asking again until the deadline (s) has passed."""
    until = time.monotonic() + deadline
    while not server.try_lock(session, shared):
        if time.monotonic() >= until:
            holders = "; ".join(server.lock_holders(session)) or "somebody who has just gone"
            what = "A backup" if shared else "A migration"
            raise DatabaseError(f"{what} and what runs now exclude each other, and {holders} did not end within {deadline:.0f} s; run again later")
        time.sleep(pause)


def _fill(request: Request, folder: str, planned: dict[str, Any]) -> dict[str, Any]:
    """Dump, roles and digests into the folder; returns the receipt as far as level `taken`."""
    clock = _Clock()
    with Session(request.parameters(), APPLICATION_NAME) as session:
        wait_for_lock(session, shared=True, deadline=request.deadline)
        programs = server.binaries(session)
        contents.fix_text(session)
        session.run("SELECT set_config('lock_timeout', %s, false)", (str(PATIENCE_MS),))
        held = _patiently(lambda: _snapshot(request, session, programs, folder, clock), session, folder, request.deadline)
    strictly(run([os.path.join(programs, "pg_dumpall"), "--globals-only", "--no-role-passwords", "--no-tablespaces", "--no-password",
                  *_address(request), "--file", os.path.join(folder, ROLES)]))
    strictly(run([os.path.join(programs, "pg_restore"), "--list", os.path.join(folder, DUMP[request.format])]))
    clock.lap("roles")
    store.sync(folder)
    files = store.summed(folder)
    _plausible(files, request)
    clock.lap("checksum")
    return {
        "schema": receipts.SCHEMA, "id": os.path.basename(planned["path"]), "path": planned["path"], "application": request.application,
        "host": socket.gethostname(), "method": "dump", "format": request.format, "size": sum(one["bytes"] for one in files.values()), **held,
        "files": files, "level": "taken", "levels": {"taken": receipts.now()}, "durations": clock.laps,
        "tools": {"pg_dump": run([os.path.join(programs, "pg_dump"), "--version"]).output.strip(), "folder": programs},
    }


def _snapshot(request: Request, session: Session, programs: str, folder: str, clock: _Clock) -> dict[str, Any]:
    """Dump and digest one snapshot, side by side; what the receipt says of it."""
    contents.hold(session)
    taken_at = receipts.now()
    snapshot = str(session.value("SELECT pg_export_snapshot()"))
    before = contents.sequences(session)
    identity = server.identity(session)
    found = server.revisions(session)
    clock.lap("prepare")
    schema = _dump_schema(request, programs, folder, snapshot)
    command = _dump(request, programs, folder, snapshot)
    with beside(command) as dumping:
        tables = contents.tables(session)
        clock.lap("digest")
        warnings = strictly(finished(dumping, command), HARMLESS)
    clock.lap("dump")
    after = contents.sequences(session)
    session.run("COMMIT")
    return {
        **{key: identity[key] for key in ("database", "system_identifier", "timeline", "lsn", "server_version", "encoding", "bootstrap_role")},
        "database_bytes": identity["bytes"], "revision": ",".join(found) or None, "schema_fingerprint": contents.fingerprint(schema),
        "tables": tables, "sequences": {name: [before[name], after[name]] for name in before if name in after}, "taken_at": taken_at,
        "warnings": warnings,
    }


def _patiently(work: Callable[[], dict[str, Any]], session: Session, folder: str, deadline: float) -> dict[str, Any]:
    """Try again, from a new snapshot, while a table's lock is not to be had.

    Whoever wants a whole table waits for us, and everybody else for them; so we wait a short while only, and let them pass.
    """
    until = time.monotonic() + deadline
    while True:
        try:
            return work()
        except DatabaseError as error:
            session.run("ROLLBACK")
            if time.monotonic() > until or not (error.sqlstate == _LOCK_NOT_AVAILABLE or any(one in str(error) for one in _LOCK_MESSAGES)):
                raise
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        time.sleep(0.5)


def _estimate(session: Session) -> int:
    # Rows uncompressed, without indexes: an upper bound for a compressed dump of ordinary rows.
    return int(session.value(
        "SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint + 1048576 FROM pg_class c WHERE c.relkind IN ('r', 'm')"
        " AND c.oid >= 16384 OR c.relname = 'pg_largeobject'"))


def plan_path(request: Request) -> str:
    """Where a backup that begins now goes."""
    return os.path.join(request.destination, f"{request.application}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")


def _address(request: Request) -> list[str]:
    return ["--host", request.socket_directory, "--port", str(request.port)]


def _dump(request: Request, programs: str, folder: str, snapshot: str) -> list[str]:
    parallel = ["--jobs", str(request.jobs)] if request.format == "directory" else []
    return [
        os.path.join(programs, "pg_dump"), "--format", request.format, "--compress", "1", *parallel, "--snapshot", snapshot,
        "--lock-wait-timeout", str(PATIENCE_MS), "--no-password", "--no-tablespaces", *_address(request),
        "--file", os.path.join(folder, DUMP[request.format]), request.database,
    ]


def _dump_schema(request: Request, programs: str, folder: str, snapshot: str) -> str:
    """The schema as SQL, for people and for the fingerprint; its text."""
    path = os.path.join(folder, SCHEMA)
    strictly(run([os.path.join(programs, "pg_dump"), "--schema-only", "--snapshot", snapshot,
                  "--lock-wait-timeout", str(PATIENCE_MS), "--no-password", "--no-tablespaces", *_address(request),
                  "--file", path, request.database]), HARMLESS)
    return schema_text(path)


def schema_text(path: str) -> str:
    """A schema that pg_dump wrote, whatever its encoding."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()


def _plausible(files: dict[str, dict[str, Any]], request: Request) -> None:
    """A full disk may leave empty files behind a status of 0."""
    name = DUMP[request.format]
    empty = [path for path, facts in files.items() if facts["bytes"] == 0]
    if empty or not any(path == name or path.startswith(name + "/") for path in files):
        raise DatabaseError(f"pg_dump said that all is well, but {', '.join(empty) or name} is empty or missing; is the disk of {request.destination} full?")


class _Clock:
    """Seconds of each part, one after the other."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        at = self._now()
        self.laps[name] = round(at - self._last, 3)
        self._last = at
