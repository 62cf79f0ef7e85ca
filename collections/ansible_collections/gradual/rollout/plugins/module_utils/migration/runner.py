# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Bring a database forward, one revision after the other, and believe only what the database itself says."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.backup.dump import wait_for_lock
from ansible_collections.gradual.rollout.plugins.module_utils.migration import guards, indexes
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import (
    APPLICATION_NAME,
    Attempt,
    Limits,
    attempt,
    environment,
    merged,
    running_sessions,
    terminate_sessions,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.contract import Adapter, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

NEEDED_LEVEL = "restored"
_WATCHER = "gradual-migration-watcher"


@dataclass(frozen=True)
class Request:
    """What to migrate and within which bounds; seconds unless the name says otherwise.

    rehearsal: the database is a throwaway copy, so no receipt is asked for; everything else is done as it will be.
    """

    database: str
    target: str
    phase: str
    variables: Mapping[str, str]
    receipt: Any
    max_age: float
    run_as: str
    migrate_as: str | None
    socket_directory: str
    port: int
    lock_timeout_ms: int
    pause_ms: int
    deadline: float
    timeout: float
    rehearsal: bool = False


class MigrationFailed(DatabaseError):
    """With what had been done when it failed."""

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.result = dict(result)


class Migrator:
    """One run. Use as a context manager: it holds a session with the server."""

    def __init__(self, request: Request, adapter: Adapter, clock: Callable[[], float] = time.monotonic) -> None:
        self.request = request
        self.adapter = adapter
        self.clock = clock
        self.session = self._connect()
        self.identity = server.identity(self.session)
        self.before = self._recorded()
        self.applied: list[dict[str, Any]] = []
        self.left: list[Revision] = []
        self.failed: dict[str, Any] | None = None

    def __enter__(self) -> Migrator:
        return self

    def __exit__(self, *_details: object) -> None:
        self.session.close()

    def info(self) -> dict[str, Any]:
        """Where the database stands and what is pending; reads only."""
        recorded = self._recorded()
        pending = self.adapter.pending(recorded, self.request.target)
        return {
            "current": _name(self.before), "pending": [one.told() for one in pending], "applied": self.applied, "from": _name(self.before),
            "to": _name(recorded), "left": [one.told() for one in self.left], "invalid_indexes": indexes.names(indexes.invalid(self.session)),
            "identity": self.identity,
        }

    def plan(self) -> list[Revision]:
        """What would be applied now, after every guard that needs no waiting."""
        pending = self.adapter.pending(self._recorded(), self.request.target)
        now, self.left = guards.steps(pending, self.request.phase)
        return now

    def apply(self) -> dict[str, Any]:
        """Apply what the phase allows. Returns `info`; raises MigrationFailed with it."""
        if not self.plan():
            return self.info()
        try:
            if self.identity["standby"]:
                raise DatabaseError("this server is a standby (in recovery), so nothing can be migrated here; run on the primary. Nothing was changed.")
            if not self.request.rehearsal:
                self._check_receipt()
            self._check_connection()
            wait_for_lock(self.session, shared=False, deadline=self.request.deadline)
            self._end_orphans()
            # Only now is nobody else at it.
            for revision in self.plan():
                self._step(revision)
        except DatabaseError as error:
            notes = "".join(f" Gradual {note}." for note in (self.failed or {}).get("notes", []) if note.startswith("dropped"))
            raise MigrationFailed(guards.scrubbed(str(error) + notes, guards.secrets(self.request.variables)), self._last_known()) from None
        return self.info()

    def _step(self, revision: Revision) -> None:
        """One revision, with as many attempts as the deadline allows."""
        begun = self.clock()
        before = self._recorded()
        told: dict[str, Any] = {"revision": revision.revision, "from": _name(before), "phase": revision.phase, "seconds": 0.0, "attempts": 0,
                                "lock_waits": 0, "blockers": [], "notes": []}
        self.failed = told
        try:
            self._try(revision, before, told, begun)
        except DatabaseError:
            told["seconds"] = round(self.clock() - begun, 3)
            self._tidy(revision, told)
            raise
        told["seconds"] = round(self.clock() - begun, 3)
        self.applied.append(told)
        self.failed = None
        broken = indexes.names(indexes.of_revision(indexes.invalid(self.session), revision))
        if broken:
            raise DatabaseError(f"revision {revision.revision} is applied, but its index {', '.join(broken)} is invalid and could not be rebuilt; "
                                f"type: REINDEX INDEX CONCURRENTLY {broken[0]}")

    def _try(self, revision: Revision, before: list[str], told: dict[str, Any], begun: float) -> None:
        """Attempt after attempt, until the database says that the revision is applied."""
        while True:
            self._wait_for_dumps(begun)
            if revision.concurrent:
                told["notes"] += indexes.drop_leftovers(self.session, revision, self.request.deadline)
            told["attempts"] += 1
            ended = self._attempt(revision)
            told["blockers"] = merged(told["blockers"], ended.blockers)
            recorded = self._recorded()
            if self.adapter.verify(recorded, revision):
                break
            self._judge(revision, ended, before, recorded, told, self.clock() - begun)
            time.sleep(self.request.pause_ms / 1000)
        if ended.status != 0:
            told["notes"].append(f"ended with status {ended.status} ({self._sentence(ended)}), but the database says that it is applied")
        if revision.concurrent:
            told["notes"] += indexes.rebuild(self.session, revision)

    def _tidy(self, revision: Revision, told: dict[str, Any]) -> None:
        """An invalid index is in the way of every write, and a unique one forbids values; so none is left behind."""
        if revision.concurrent and self.adapter.verify(self._recorded(), revision) is False:
            try:
                told["notes"] += indexes.drop_leftovers(self._alive(), revision, self.request.deadline)
            except DatabaseError as error:
                told["notes"].append(f"an invalid index of this attempt could not be dropped: {error}")

    def _judge(self, revision: Revision, ended: Attempt, before: list[str], recorded: list[str], told: dict[str, Any], spent: float) -> None:
        """Return when the step may be tried again, raise when not."""
        stands = f"The database stands at {_name(recorded) or 'no revision'}" + (", as before" if recorded == before else "")
        what = f"Revision {revision.revision} ({revision.file})"
        remains = ("It does not run in one transaction, so parts of it may be there. " if revision.concurrent
                   else "It ran in a transaction, nothing of it is left. ")
        waited = ended.ended == "lock timeout" or guards.lock_timeout(ended.output)
        if waited:
            told["lock_waits"] += 1
        again = waited or (not ended.ended and guards.passing(ended.output))
        if again and recorded == before and spent < self.request.deadline:
            if not waited:
                told["notes"].append(f"attempt {told['attempts']} ended by: {self._sentence(ended)}")
            return
        following = "The code that runs now is not concerned. "
        if waited:
            in_the_way = f", held by {'; '.join(told['blockers'])}" if told["blockers"] else ""
            raise DatabaseError(f"{what} did not get its lock in {told['attempts']} attempts within {self.request.deadline:.0f} s{in_the_way}. {stands}. "
                                f"{following}Let that transaction end, or end it with SELECT pg_terminate_backend(pid), and run the same command again.")
        if ended.ended:
            raise DatabaseError(f"{what} was ended: {ended.ended}{_in_the_way(told)}. {stands}. {remains}{following}"
                                "Run the same command again when nothing is in the way.")
        if ended.status == 0:
            raise DatabaseError(f"{what} ended with status 0, but the database did not move to it. {stands}. Does the release's env.py use DATABASE_URL "
                                "and commit what it does? Look in " + self.adapter.apply(revision).folder)
        raise DatabaseError(f"{what} failed: {self._sentence(ended)}. {stands}. {remains}{following}"
                            "Mend the migration in a new artifact and run deploy.yml with it.")

    def _attempt(self, revision: Revision) -> Attempt:
        lock_timeout = None if revision.concurrent else self.request.lock_timeout_ms
        limits = Limits(lock_timeout, self.request.lock_timeout_ms, self.request.deadline, self.request.timeout)
        variables = environment(self.request.variables, self._settings(lock_timeout))
        ended = attempt(self.adapter.apply(revision), variables, self._unprivileged(), limits, self._watcher)
        if running_sessions(self._alive()):
            terminate_sessions(self.session)
        return ended

    def _settings(self, lock_timeout_ms: int | None) -> dict[str, int]:
        # Without a timeout on the whole statement the role's own might end it halfway.
        return guards.settings(lock_timeout_ms, int(self.request.timeout * 1000), self.identity["server_version"])

    def _unprivileged(self) -> str | None:
        return self.request.migrate_as if os.geteuid() == 0 else None

    def _sentence(self, ended: Attempt) -> str:
        return guards.scrubbed(self.adapter.sentence(ended.output), guards.secrets(self.request.variables)).rstrip(".")

    def _check_receipt(self) -> None:
        """Fail closed (P1): a receipt is for this database, now, and proven, or nothing is changed."""
        given = self.request.receipt
        if not given:
            raise DatabaseError("there is no receipt of a backup, so nothing is migrated; take one with gradual.rollout.backup, prove it with "
                                "gradual.rollout.backup_verify, and give its receipt (or the folder of the backup)")
        receipt = receipts.read(given) if isinstance(given, str) else receipts.checked(given, "the receipt")
        found = receipts.objections(receipt, self.identity, self.adapter.ancestors(self._recorded()), NEEDED_LEVEL, self.request.max_age)
        if not found and receipt["host"] == os.uname().nodename:
            try:
                store.present_files(receipt, receipt["path"])
            except DatabaseError as error:
                found.append(str(error))
        if found:
            raise DatabaseError(f"the receipt {receipt['id']} does not allow it: {'; '.join(found)}. Nothing was changed. Take a backup and prove it now.")

    def _check_connection(self) -> None:
        """The way that the tool will go leads to this very database, and the timeouts arrive there."""
        url = guards.libpq_url(self.request.variables["DATABASE_URL"])
        way = f"DATABASE_URL ({guards.address(url)})"
        parameters = {"dsn": url, "options": guards.options(self._settings(self.request.lock_timeout_ms))}
        if "PGPASSFILE" in self.request.variables:
            parameters["passfile"] = self.request.variables["PGPASSFILE"]
        try:
            with effective_user(self._unprivileged() or self.request.run_as), Session(parameters, APPLICATION_NAME) as session:
                timeout, pid = session.rows("SELECT setting, pg_backend_pid() FROM pg_settings WHERE name = 'lock_timeout'")[0]
                known = pid in running_sessions(self.session)
        except DatabaseError as error:
            raise DatabaseError(f"{way} leads nowhere: {error}. Nothing was changed. If a pooler is in the way, name the server itself") from None
        if not known:
            raise DatabaseError(f"{way} leads to another server or database than {self.request.database} at {self.request.socket_directory}. "
                                "Nothing was changed.")
        if timeout != str(self.request.lock_timeout_ms):
            raise DatabaseError(f"{way} goes through something that drops session settings (lock_timeout is {timeout}); name the server itself. "
                                "Nothing was changed.")

    def _end_orphans(self) -> None:
        """We hold the lock, so whatever still works under our name belongs to a run that is dead."""
        until = self.clock() + 3
        while running_sessions(self.session) and self.clock() < until:
            time.sleep(0.2)
        terminate_sessions(self.session)

    def _wait_for_dumps(self, begun: float) -> None:
        while True:
            running = server.dumps_running(self._alive())
            if not running:
                return
            if self.clock() - begun > self.request.deadline:
                raise DatabaseError(f"a dump of this database runs ({'; '.join(running)}) and blocks every ALTER; it did not end within "
                                    f"{self.request.deadline:.0f} s. The database stands at {_name(self._recorded()) or 'no revision'}. "
                                    "Run the same command again when it has ended.")
            time.sleep(0.5)

    def _connect(self) -> Session:
        with effective_user(self.request.run_as):
            return Session({"dbname": self.request.database, "host": self.request.socket_directory, "port": str(self.request.port),
                            "options": "-c statement_timeout=0 -c lock_timeout=0"}, _WATCHER)

    def _alive(self) -> Session:
        """Our session; a new one, with the lock taken again, when the server was restarted meanwhile."""
        until = self.clock() + self.request.deadline
        while True:
            try:
                self.session.value("SELECT 1")
                return self.session
            except DatabaseError as error:
                if self.clock() > until:
                    raise DatabaseError(f"the server has been away for {self.request.deadline:.0f} s: {error}") from None
            time.sleep(0.5)
            self._reconnect()

    def _reconnect(self) -> None:
        try:
            fresh = self._connect()
            wait_for_lock(fresh, shared=False, deadline=5)
        except DatabaseError:
            return
        self.session.close()
        self.session = fresh
        identity = server.identity(fresh)
        if (identity["system_identifier"], identity["timeline"]) != (self.identity["system_identifier"], self.identity["timeline"]):
            raise DatabaseError("the server that came back is another one, or on another timeline (a failover); look at it, take a new backup, and run again")

    def _watcher(self) -> Session | None:
        return None if self.session.closed else self.session

    def _recorded(self) -> list[str]:
        return server.revisions(self._alive(), self.adapter.table)

    def _last_known(self) -> dict[str, Any]:
        """`info` as far as it can still be told."""
        try:
            return {**self.info(), "failed_step": self.failed}
        except DatabaseError:
            return {"failed_step": self.failed, "current": _name(self.before), "applied": self.applied, "from": _name(self.before)}


def _name(recorded: list[str]) -> str | None:
    return ",".join(recorded) or None


def _in_the_way(told: Mapping[str, Any]) -> str:
    return f" ({'; '.join(told['blockers'])})" if told["blockers"] else ""
