# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One attempt at one step: run the migration tool as an unprivileged user, and watch its session from our own."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence, Union

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command
from ansible_collections.gradual.rollout.plugins.module_utils.migration.worker import Step, Workers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    clean_environment,
    credentials,
    die_with_parent,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

Process = Union["subprocess.Popen[bytes]", Step]
APPLICATION_NAME = "gradual-migration"
_PAUSE = 0.02
# pg_blocking_pids is called only while the session waits, because it takes locks of the lock manager.
_SESSIONS = """
SELECT a.pid, coalesce(a.wait_event_type, '')::text,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END,
       CASE WHEN a.wait_event_type = 'Lock' THEN EXISTS (
         SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted AND l.locktype = 'relation'
            AND l.mode = 'AccessExclusiveLock') ELSE false END,
       coalesce((SELECT p.phase FROM pg_stat_progress_create_index p WHERE p.pid = a.pid), '')::text,
       (SELECT p.index_relid::bigint FROM pg_stat_progress_create_index p WHERE p.pid = a.pid)
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.application_name = %s AND a.pid <> pg_backend_pid()
"""
# CONCURRENTLY may wait for this watching session for a moment, which is not a blocker.
_WHO = """
SELECT format('pid %%s (%%s, user %%s, %%s for %%s s)', pid, coalesce(nullif(application_name, ''), backend_type),
              coalesce(usename, '-'), coalesce(state, 'prepared transaction'),
              round(extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start))))
  FROM pg_stat_activity WHERE pid = ANY(%s) AND pid <> pg_backend_pid() ORDER BY pid
"""

# The error's class or SQLSTATE, which every driver prints, in every language of the server.
_LOCK_TIMEOUT = re.compile(r"LockNotAvailable|55P03|canceling statement due to lock timeout")
_TRANSIENT = re.compile(
    r"DeadlockDetected|SerializationFailure|CannotConnectNow|40P01|40001|57P03|[Cc]onnection refused"
    r"|(?:connection )?timeout expired"
)
_LOST = re.compile(
    r"AdminShutdown|CrashShutdown|57P0[12]|server closed the connection unexpectedly|terminating connection"
    r"|the connection is lost|consuming input failed|connection to server was lost"
)


@dataclass(frozen=True)
class Limits:
    """Limits of one attempt, in seconds unless the name says otherwise. lock_timeout_ms: None for CONCURRENTLY."""

    lock_timeout_ms: int | None
    watched_lock_ms: int
    waiting: float
    running: float


@dataclass
class Attempt:
    """How it ended: status, output, the sessions that blocked it, and why Gradual ended it (or ""). built: the oids of
    the indexes that its sessions were seen to build."""

    status: int
    output: str
    blockers: list[str] = field(default_factory=list)
    ended: str = ""
    built: set[int] = field(default_factory=set)


def settings(lock_timeout_ms: int | None, statement_timeout_ms: int, server_version: int) -> dict[str, int]:
    """Settings of the tool's sessions, which override those of the role and the database.

    lock_timeout_ms: None for CONCURRENTLY, which has to wait for locks.
    """
    found = {
        "lock_timeout": lock_timeout_ms or 0,
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": 60000,
    }
    if server_version >= 140000:
        # The server ends a statement whose client is gone, so that no statement runs on without its driver.
        found["client_connection_check_interval"] = 1000
    return found


def environment(
    given: Mapping[str, str], settings: Mapping[str, int], command: Command | None = None
) -> dict[str, str]:
    """The tool's environment: the file's variables, the name of its sessions, and settings that come last, so that
    nothing overrides them."""
    if command is not None:
        address = dsn.libpq_variables(given["DATABASE_URL"]) if command.libpq else {}
        given = {**given, **address, **command.variables}
    own = " ".join(part for part in (given.get("PGOPTIONS", ""), dsn.pgoptions(settings)) if part)
    return {
        **clean_environment(),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
        **given,
        "PGOPTIONS": own,
        "PGAPPNAME": APPLICATION_NAME,
        "GRADUAL_SETTINGS": json.dumps({"application_name": APPLICATION_NAME, **settings}),
    }


def attempt(
    command: Command,
    variables: Mapping[str, str],
    user: str | None,
    limits: Limits,
    watcher: Callable[[], Session | None],
    workers: Workers,
) -> Attempt:
    """Run the tool to its end or to a limit. `watcher` returns our session, or None while the server is down."""
    try:
        if command.hook:
            return _by_worker(workers.start(command, variables, user), limits, watcher)
        return _alone(command, variables, user, limits, watcher)
    except OSError as error:
        as_whom = f" as user {user!r}" if user else ""
        raise DatabaseError(
            f"{command.argv[0]} cannot be run in {command.folder}{as_whom}: {error.strerror}; check that the"
            " release is staged and that this user can read it, or write another user as migrate_as"
        ) from None


def _by_worker(step: Step, limits: Limits, watcher: Callable[[], Session | None]) -> Attempt:
    try:
        result = _watch(step, limits, watcher)
    finally:
        if step.poll() is None:
            step.kill()
            step.wait()
    result.output = step.output().decode(errors="replace")
    return result


def _alone(
    command: Command,
    variables: Mapping[str, str],
    user: str | None,
    limits: Limits,
    watcher: Callable[[], Session | None],
) -> Attempt:
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as sent:
        sent.write(command.send.encode())
        sent.seek(0)
        process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=dict(variables),
            stdin=sent,
            stdout=printed,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (a module has no threads)
            **credentials(user),
        )
        try:
            result = _watch(process, limits, watcher)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        printed.seek(0)
        result.output = printed.read().decode(errors="replace")
    return result


def _watch(process: Process, limits: Limits, watcher: Callable[[], Session | None]) -> Attempt:
    seen = Attempt(0, "")
    begun = time.monotonic()
    waiting_since: dict[str, float] = {}
    while process.poll() is None:
        now = time.monotonic()
        session = watcher()
        if session is not None:
            try:
                _look(session, seen, limits, waiting_since, now)
            except DatabaseError:
                # The server may be stopping. The step's end and the revision after it decide.
                waiting_since.clear()
        if not seen.ended and now - begun > limits.running:
            seen.ended = f"it ran longer than {limits.running:.0f} s; raise `timeout` if this migration needs longer"
        if seen.ended:
            _end(process, session)
        time.sleep(_PAUSE)
    seen.status = process.wait()
    return seen


def _look(session: Session, seen: Attempt, limits: Limits, since: dict[str, float], now: float) -> None:
    """Note whether the step waits for a lock, and for whom; set `ended` when it has waited too long."""
    waits = exclusive = False
    for pid, wait, blocking, wants_all, progress, index in session.rows(_SESSIONS, (APPLICATION_NAME,)):
        seen.built |= {index} if index else set()
        if wait != "Lock" and not progress.startswith("waiting for"):
            continue
        waits = True
        exclusive = exclusive or bool(wants_all)
        who = session.rows(_WHO, ([one for one in blocking if one and one != pid],))
        seen.blockers = merged(seen.blockers, [row[0] for row in who])
    if limits.lock_timeout_ms is not None:
        return
    # CONCURRENTLY waits for transactions without blocking others; a wait for the whole table blocks all behind it.
    for name, is_so, allowed in (
        ("lock", waits, limits.waiting),
        ("exclusive", exclusive, limits.watched_lock_ms / 1000),
    ):
        if not is_so:
            since.pop(name, None)
        elif now - since.setdefault(name, now) > allowed:
            seen.ended = (
                "lock timeout"
                if name == "exclusive"
                else f"it waited longer than {limits.waiting:.0f} s for older transactions to end"
            )


def lock_timed_out(output: str) -> bool:
    """Whether the tool ended because it did not get a lock in time."""
    return bool(_LOCK_TIMEOUT.search(output))


def connection_lost(output: str) -> bool:
    """Whether the connection was lost, so that the result of the last statement is unknown."""
    return bool(_LOST.search(output))


def transient(output: str) -> bool:
    """Whether the same step may succeed next time: a deadlock, a restart of the server, a lost connection."""
    return bool(_TRANSIENT.search(output)) or connection_lost(output)


def merged(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Blocking sessions, each process once, as last seen."""
    return list({one.partition(" (")[0]: one for one in (*earlier, *later)}.values())


def _end(process: Process, session: Session | None) -> None:
    """End the sessions before the tool: without its client, a statement would still run on."""
    if session is not None:
        with contextlib.suppress(DatabaseError):
            terminate_sessions(session)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def running_sessions(session: Session) -> list[int]:
    """Server processes of migrations of this database, of this run or of one that died."""
    return [
        row[0]
        for row in session.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s AND pid <>"
            " pg_backend_pid() ORDER BY pid",
            (APPLICATION_NAME,),
        )
    ]


def terminate_sessions(session: Session) -> None:
    """End these sessions. Returns when they are gone, or after 10 s."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        pids = running_sessions(session)
        if not pids:
            return
        for pid in pids:
            session.run("SELECT pg_terminate_backend(%s::int)", (pid,))
        time.sleep(0.1)
