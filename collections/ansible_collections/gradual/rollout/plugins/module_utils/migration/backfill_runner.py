# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Carry out backfills: one batch after the other as the owner of the schema, watched by a session of the cluster's
superuser."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import backfill as work
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import Backfill, Batch, Endless
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_sessions import Request, Sessions
from ansible_collections.gradual.rollout.plugins.module_utils.migration.pacing import Pace, pause
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import lag, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

# What may be otherwise in a moment: a lock or a statement that took too long, a deadlock, a server that restarts or is
# read-only, no free connection.
_PASSING = ("55P03", "57014", "40P01", "40001", "57P01", "57P02", "57P03", "57P05", "25P03", "25006", "53300")
_LOOK_AGAIN = 0.5
REASONS = ("between", "lag", "load", "migration", "held rows", "retries")


class OutOfTime(Exception):
    """The deadline has passed; the message says what was waited for, if anything was."""


class Runner:
    """One run over the manifest's backfills, in their order. Use as a context manager."""

    def __init__(
        self, request: Request, backfills: Sequence[Backfill], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.request = request
        self.backfills = backfills
        self.clock = clock
        self.begun = clock()
        self.sessions = Sessions(request)
        self.at: Run | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_details: object) -> None:
        self.sessions.close()

    def info(self, prove: bool = False) -> list[dict[str, Any]]:
        """Where each one stands; reads only. prove: look for rows that are left, which may read a whole table, and do
        not trust the record alone."""
        return [self._told(one, prove) for one in self.backfills]

    def run(self) -> list[dict[str, Any]]:
        """Go on with each until all are complete or the deadline has passed. Raises DatabaseError where nothing can be
        done by waiting."""
        self.sessions.prepare()
        results = []
        for one in self.backfills:
            self.at = Run(self, one)
            results.append(self.at.whole())
        return results

    def out_of_time(self) -> bool:
        return self.clock() - self.begun >= self.request.deadline

    def _told(self, one: Backfill, prove: bool) -> dict[str, Any]:
        with self.sessions.reading() as session:
            work.key_type(session, one)
            known = work.progress(session, one)
            left = work.left(session, one)
            finished = known is not None and known.finished
            if prove and finished:
                finished = not work.rows_to_do(session, one)
        return {
            "name": one.name,
            "table": one.table,
            "begun": known is not None,
            "finished": finished,
            "position": known.position if known else None,
            "total_rows": known.rows if known else 0,
            "left": left,
        }


class Run:
    """One backfill in one run."""

    def __init__(self, runner: Runner, one: Backfill) -> None:
        self.runner, self.one, self.sessions, self.clock = runner, one, runner.sessions, runner.clock
        self.begun = self.clock()
        self.paused = dict.fromkeys(REASONS, 0.0)
        self.rows = self.batches = self.retries = self.passes = 0
        self.waits: dict[str, str] = {}
        self.recorded = False
        self.pace = Pace(one.batch, runner.request.batch_ms / 1000)

    def whole(self) -> dict[str, Any]:
        """Until it is complete or the time is over; what was done."""
        finished = False
        try:
            self._pass_until_complete()
            finished = True
        except OutOfTime:
            pass
        return self._result(finished)

    def _pass_until_complete(self) -> None:
        with self.sessions.reading() as session:
            self.kind = work.key_type(session, self.one)
            known = work.progress(session, self.one)
            if known and known.finished and not work.rows_to_do(session, self.one):
                return
        self._insist_on_time()
        self.recorded = True
        if known is None:
            self._try(lambda: work.begin(self.sessions.writer, self.one))
        elif known.finished:
            self._try(lambda: work.finish(self.sessions.writer, self.one, finished=False))
        while True:
            changed = self._pass()
            if not self._try(self._rows_to_do):
                self._try(lambda: work.finish(self.sessions.writer, self.one, finished=True))
                return
            if changed:
                self.waits["held rows"] = (
                    "rows were held, or keep appearing behind it: does code still write them, and should a trigger fill"
                    " them in?"
                )
            else:
                self._wait_for_holders()

    def _pass(self) -> int:
        """From the recorded position to the end of the table; how many rows it changed."""
        self.passes += 1
        changed = 0
        while True:
            self._clear_to_go()
            begun = self.clock()
            done = self._try(self._batch)
            took = self.clock() - begun
            if done.last is None:
                return changed
            changed += done.changed
            self.rows += done.changed
            self.batches += 1
            for reason in ("migration", "retries", *(["held rows"] if done.changed else [])):
                self.waits.pop(reason, None)
            self.pace.took(took)
            self._sleep("between", pause(took, done.changed, self.one.pause_ms))

    def _batch(self) -> Batch:
        """One transaction: rows and position together. It goes with no migration: both hold Gradual's lock, this one
        shared, for a moment."""
        writer = self.sessions.writer
        while True:
            writer.run("BEGIN")
            if writer.value("SELECT pg_try_advisory_xact_lock_shared(%s::int, %s::int)", server.LOCK):
                break
            writer.run("ROLLBACK")
            self.waits["migration"] = "a migration of this database runs"
            self._insist_on_time()
            self._sleep("migration", _LOOK_AGAIN)
        known = work.progress(writer, self.one)
        if known is None:
            raise DatabaseError(
                f"the record of backfill {self.one.name} is gone from gradual.backfill; was the database restored"
                " meanwhile? Run again"
            )
        done = work.batch(writer, self.one, known.position, self.pace.rows, self.kind)
        writer.run("COMMIT")
        return done

    def _try(self, do: Callable[[], Any]) -> Any:
        """Do it, again where that may help. What a lost connection has left undone is seen by the record, which is read
        anew."""
        while True:
            try:
                return do()
            except Endless:
                self._roll_back()
                raise
            except DatabaseError as error:
                lost = self.sessions.writer.closed
                if not lost and error.sqlstate not in _PASSING:
                    self._roll_back()
                    raise
                self.waits["retries"] = str(error)
            self._roll_back()
            self.retries += 1
            self.pace.failed()
            self._insist_on_time()
            self._sleep("retries", _LOOK_AGAIN)
            if lost:
                self._come_back()

    def _come_back(self) -> None:
        while True:
            try:
                self.sessions.reconnect()
                return
            except DatabaseError as error:
                self.waits["retries"] = str(error)
            self._insist_on_time()
            self._sleep("retries", _LOOK_AGAIN)

    def _roll_back(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.sessions.writer.run("ROLLBACK")

    def _rows_to_do(self) -> bool:
        with self.sessions.reading() as session:
            return work.rows_to_do(session, self.one)

    def _clear_to_go(self) -> None:
        """Return when neither a replica is late nor the server busy."""
        while True:
            self._insist_on_time()
            late, active = self._seen()
            if late:
                reason, self.waits["lag"] = "lag", "; ".join(late)
            elif active > self.runner.request.active_sessions:
                reason, self.waits["load"] = (
                    "load",
                    f"{active} sessions are at work, more than {self.runner.request.active_sessions}",
                )
            else:
                return
            self._sleep(reason, _LOOK_AGAIN)
            self._insist_on_time()
            del self.waits[reason]

    def _seen(self) -> tuple[tuple[str, ...], int]:
        while True:
            try:
                watcher = self.sessions.watcher
                return lag.late(lag.behind(watcher), self.runner.request.limits), lag.load(watcher)
            except DatabaseError as error:
                self.waits["retries"] = str(error)
            self._insist_on_time()
            self._sleep("retries", _LOOK_AGAIN)
            self._come_back()

    def _wait_for_holders(self) -> None:
        with contextlib.suppress(DatabaseError):
            holders = self.sessions.holders(self.one)
            self.waits["held rows"] = (
                f"the rows that are left are held by others ({'; '.join(holders) or 'who have just gone'})"
            )
        self._insist_on_time()
        self._sleep("held rows", _LOOK_AGAIN)

    def _insist_on_time(self) -> None:
        if self.runner.out_of_time():
            raise OutOfTime

    def _sleep(self, reason: str, seconds: float) -> None:
        time.sleep(seconds)
        self.paused[reason] += seconds

    def _result(self, finished: bool) -> dict[str, Any]:
        seconds = self.clock() - self.begun
        told: dict[str, Any] = {
            "name": self.one.name,
            "table": self.one.table,
            "finished": finished,
            "recorded": self.recorded,
            "rows": self.rows,
            "batches": self.batches,
            "passes": self.passes,
            "retries": self.retries,
            "seconds": round(seconds, 3),
            "paused": {reason: round(value, 3) for reason, value in self.paused.items() if value},
            "left": {"rows": 0, "how": "proven"},
            "remaining_seconds": 0.0,
            "waits_for": "",
        }
        if finished:
            return told
        with contextlib.suppress(DatabaseError), self.sessions.reading() as session:
            told["left"] = work.left(session, self.one)
        known = told["left"]["rows"]
        told["remaining_seconds"] = round(known * seconds / self.rows, 1) if self.rows else None
        return {**told, "waits_for": "; ".join(self.waits.values())}
