# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Apply revisions one by one, and trust only the tool's table in the database."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Collection

from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    connection_check,
    failure_message,
    indexes,
    phases,
    preconditions,
    steps,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import (
    Attempt,
    Limits,
    attempt,
    connection_lost,
    environment,
    lock_timed_out,
    merged,
    running_sessions,
    settings,
    terminate_sessions,
    transient,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter, Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.request import MigrationFailed, Request
from ansible_collections.gradual.rollout.plugins.module_utils.migration.worker import Workers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn, lag, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.server import wait_for_lock
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, socket_parameters

__all__ = ["MigrationFailed", "Migrator", "Request"]
_WATCHER = "gradual-migration-watcher"


class Migrator:
    """One run. A context manager, because it holds a session with the server."""

    aim = "applied"

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
        # Whether an attempt at this step may have applied it without recording it.
        self.unsure = False
        self.builds = indexes.Builds()
        self.workers = Workers()

    def __enter__(self) -> Migrator:
        return self

    def __exit__(self, *_details: object) -> None:
        self.workers.close()
        self.session.close()

    def info(self) -> dict[str, Any]:
        """The database's revision and what is pending; reads only."""
        recorded = self._recorded()
        pending = self.adapter.pending(recorded, self.request.target)
        return {
            "current": self._name(self.before),
            "pending": [one.told() for one in pending],
            "applied": self.applied,
            "from": self._name(self.before),
            "to": self._name(recorded),
            "left": [one.told() for one in self.left],
            "invalid_indexes": indexes.names(indexes.invalid(self.session)),
            "identity": self.identity,
        }

    def plan(self) -> list[Revision]:
        """The revisions to apply now, after every check that needs no waiting."""
        recorded = self._recorded()
        pending = self.adapter.pending(recorded, self.request.target)
        self._refuse_edited(self.adapter.current(recorded))
        now, self.left = phases.split(pending, self.request.phase, self.adapter.name)
        return now

    def _refuse_edited(self, applied: Collection[str]) -> None:
        known = steps.here(steps.sums(self.session, self.adapter.name), self.adapter)
        steps.refuse_edited({name: known[name] for name in applied if name in known}, self.adapter)

    def apply(self) -> dict[str, Any]:
        """Apply what the phase allows. Returns `info`; raises MigrationFailed with it."""
        if not self.plan():
            self._remember_alone()
            return self.info()
        try:
            if self.identity["standby"]:
                raise DatabaseError(
                    "this server is a standby, where nothing can be migrated; run this on the primary. Nothing was"
                    " changed."
                )
            if not self.request.rehearsal:
                preconditions.allowed(
                    self.request.receipt,
                    self.identity,
                    self.adapter.ancestors(self._recorded()),
                    self.request.max_age,
                    self.session,
                )
            self._check_connection()
            wait_for_lock(self.session, shared=False, deadline=self.request.deadline)
            preconditions.end_orphans(self.session)
            # Only now no other run is at work.
            self._remember()
            for revision in self.plan():
                self._step(revision)
            return self.info()
        except DatabaseError as error:
            told = str(error) + failure_message.notes((self.failed or {}).get("notes", []))
            raise MigrationFailed(dsn.scrubbed(told, dsn.secrets(self.request.variables)), self._last_known()) from None

    def _step(self, revision: Revision) -> None:
        """One revision, with as many attempts as the deadline allows."""
        begun = self.clock()
        before = self._recorded()
        told: dict[str, Any] = {
            "revision": revision.revision,
            "from": self._name(before),
            "phase": revision.phase,
            "phase_reason": revision.phase_reason,
            "seconds": 0.0,
            "attempts": 0,
            "lock_waits": 0,
            "blockers": [],
            "notes": [],
        }
        self.failed = told
        try:
            limits = lag.Limits(self.request.max_lag_bytes, self.request.max_lag_seconds)
            preconditions.replicas_caught_up(self._alive(), limits, self.request.deadline, self._stands)
            self._check_connection()
            self.builds = indexes.Builds(indexes.there(self._alive()))
            self._begin(revision, told)
            self._try(revision, before, told, begun)
        except DatabaseError:
            told["seconds"] = round(self.clock() - begun, 3)
            self._tidy(revision, told)
            raise
        told["seconds"] = round(self.clock() - begun, 3)
        self.applied.append(told)
        self.failed = None
        self._finish(revision)
        broken = indexes.names(indexes.of_revision(indexes.invalid(self.session), revision))
        if broken:
            raise DatabaseError(
                f"revision {revision.revision} is applied, but its index {', '.join(broken)} is invalid and could not"
                f" be rebuilt; type: REINDEX INDEX CONCURRENTLY {broken[0]}"
            )

    def _begin(self, revision: Revision, told: dict[str, Any]) -> None:
        since = steps.unfinished(self._alive(), self.adapter, revision)
        if since and not revision.repeatable:
            raise DatabaseError(failure_message.not_again(revision, self.adapter.name, since))
        steps.begin(self.session, self.adapter, revision)
        if since and not (revision.transactional and not revision.recorded_apart):
            told["notes"].append(failure_message.unfinished(revision, self.adapter.name, since))
        if since and revision.concurrent:
            left = indexes.of_dead_run(self.session, revision)
            told["notes"] += failure_message.foreign(left, "may be of that attempt or of somebody else")
        self.unsure = bool(since) and revision.recorded_apart

    def _command(self, revision: Revision) -> Command:
        return self.adapter.apply(revision)

    def _done(self, recorded: list[str], revision: Revision) -> bool:
        return self.adapter.verify(recorded, revision)

    def _finish(self, revision: Revision) -> None:
        steps.finish(self._alive(), self.adapter, revision, self.applied[-1]["seconds"])

    def _try(self, revision: Revision, before: list[str], told: dict[str, Any], begun: float) -> None:
        """Make attempts until the tool's table has the revision."""
        while True:
            preconditions.no_dump(self._alive, begun + self.request.deadline, self.request.deadline, self._stands)
            if revision.concurrent:
                told["notes"] += indexes.drop_leftovers(self.session, revision, self.request.deadline, self.builds)
            told["attempts"] += 1
            ended = self._attempt(revision)
            self.builds.seen |= ended.built
            self.builds.printed += ended.output
            told["blockers"] = merged(told["blockers"], ended.blockers)
            recorded = self._recorded()
            if self._done(recorded, revision):
                break
            self._judge(revision, ended, before, recorded, told, self.clock() - begun)
            time.sleep(self.request.pause_ms / 1000)
        if ended.status != 0:
            told["notes"].append(
                f"ended with status {ended.status} ({self._sentence(ended)}), but according to the database it is"
                f" {self.aim}"
            )
        if revision.concurrent:
            told["notes"] += indexes.rebuild(self.session, revision)
            told["notes"] += self._foreign(revision)

    def _tidy(self, revision: Revision, told: dict[str, Any]) -> None:
        """Remove what a failed step left: the record of a step that left nothing, and invalid indexes.

        An invalid index slows every write, and an invalid unique one still refuses values.
        """
        if self.session.closed or not told["attempts"] or self.adapter.verify(self._recorded(), revision):
            return
        if revision.transactional and not self.unsure:
            steps.forget(self.session, self.adapter, revision)
        if revision.concurrent:
            try:
                told["notes"] += indexes.drop_leftovers(self._alive(), revision, self.request.deadline, self.builds)
            except DatabaseError as error:
                told["notes"].append(
                    f"{failure_message.KEPT}could not be dropped ({error}). If it is unique, it refuses values that the"
                    f" running code writes. Type in the database:"
                    f" {indexes.to_type(self._alive(), revision, self.builds)}"
                )
            told["notes"] += self._foreign(revision)

    def _foreign(self, revision: Revision) -> list[str]:
        found = self.builds.foreign(indexes.invalid(self._alive()), revision)
        return failure_message.foreign(found, "became invalid in the meantime, and may be of somebody else")

    def _judge(
        self,
        revision: Revision,
        ended: Attempt,
        before: list[str],
        recorded: list[str],
        told: dict[str, Any],
        spent: float,
    ) -> None:
        """Return when the step may be tried again, else raise."""
        waited = ended.ended == "lock timeout" or lock_timed_out(ended.output)
        told["lock_waits"] += int(waited)
        lost = not waited and (bool(ended.ended) or connection_lost(ended.output))
        self.unsure = self.unsure or (lost and revision.recorded_apart)
        # A step without one transaction may have done part of its work before it had to wait.
        passing = not ended.ended and transient(ended.output)
        again = (
            (revision.transactional or revision.repeatable) if waited else passing and (revision.repeatable or not lost)
        )
        # A killed session gets one more attempt even after the deadline, which is only for waits.
        if again and recorded == before and (spent < self.request.deadline or (not waited and told["attempts"] == 1)):
            if not waited:
                told["notes"].append(f"attempt {told['attempts']} ended by: {self._sentence(ended)}")
            return
        stands = self._stands() + (", as before" if recorded == before else "")
        raise DatabaseError(
            failure_message.sentence(
                failure_message.Ending(
                    revision,
                    told,
                    stands,
                    self._sentence(ended),
                    ended.ended,
                    ended.status,
                    waited,
                    again,
                    self.unsure,
                    self.request.deadline,
                    self._command(revision).folder,
                )
            )
        )

    def _attempt(self, revision: Revision) -> Attempt:
        lock_timeout = None if revision.concurrent else self.request.lock_timeout_ms
        limits = Limits(lock_timeout, self.request.lock_timeout_ms, self.request.deadline, self.request.timeout)
        command = self._command(revision)
        variables = environment(self.request.variables, self._settings(lock_timeout), command)
        ended = attempt(command, variables, self._unprivileged(), limits, self._watcher, self.workers)
        if running_sessions(self._alive()):
            terminate_sessions(self.session)
        return ended

    def _settings(self, lock_timeout_ms: int | None) -> dict[str, int]:
        # Without our own statement_timeout the role's could end the statement halfway.
        return settings(lock_timeout_ms, int(self.request.timeout * 1000), self.identity["server_version"])

    def _unprivileged(self) -> str | None:
        return self.request.migrate_as if os.geteuid() == 0 else None

    def _sentence(self, ended: Attempt) -> str:
        return dsn.scrubbed(self.adapter.sentence(ended.output), dsn.secrets(self.request.variables)).rstrip(".")

    def _check_connection(self) -> None:
        connection_check.check(
            self._alive(),
            self.request.variables,
            self._unprivileged() or self.request.run_as,
            self._settings(self.request.lock_timeout_ms),
            self.request.database,
        )

    def _remember(self) -> None:
        self.adapter.complete(self.session)
        steps.remember(self.session, self.adapter, list(self.adapter.current(self._recorded())))

    def _remember_alone(self) -> None:
        """Record applied revisions when nothing is pending, unless another run is at work, which does it."""
        if not self.identity["standby"] and server.try_lock(self.session, shared=False):
            self._remember()

    def _connect(self) -> Session:
        with effective_user(self.request.run_as):
            return Session(
                socket_parameters(self.request.database, self.request.socket_directory, self.request.port), _WATCHER
            )

    def _alive(self) -> Session:
        """Our session; after a restart of the server a new one, with the lock taken again."""
        until = self.clock() + self.request.deadline
        while True:
            try:
                self.session.value("SELECT 1")
                return self.session
            except DatabaseError as error:
                if self.clock() > until:
                    raise DatabaseError(
                        f"the server at {self.request.socket_directory}, port {self.request.port}, does not answer for"
                        f" {self.request.deadline:.0f} s: {error}. If this step runs in a transaction, it is applied"
                        " completely or not at all; check when the server is back. If another server has become the"
                        " primary, take a new backup there and run the same command there"
                    ) from None
            time.sleep(0.5)
            self._reconnect()

    def _reconnect(self) -> None:
        try:
            fresh = self._connect()
            wait_for_lock(fresh, shared=False, deadline=5)
        except DatabaseError:
            return
        try:
            # Check before using it: nothing may be written to another server.
            failure_message.same_server(
                self.identity, server.identity(fresh), self.adapter.position(self.adapter.recorded(fresh))
            )
        except DatabaseError:
            fresh.close()
            raise
        self.session.close()
        self.session = fresh

    def _watcher(self) -> Session | None:
        return None if self.session.closed else self.session

    def _recorded(self) -> list[str]:
        return self.adapter.recorded(self._alive())

    def _name(self, recorded: list[str]) -> str | None:
        return self.adapter.position(recorded)

    def _stands(self) -> str:
        return f"The database is at {self._name(self._recorded()) or 'no revision'}"

    def _last_known(self) -> dict[str, Any]:
        """`info`, as far as it is still known."""
        try:
            return {**self.info(), "failed_step": self.failed}
        except DatabaseError:
            return {
                "failed_step": self.failed,
                "current": self._name(self.before),
                "applied": self.applied,
                "from": self._name(self.before),
            }
