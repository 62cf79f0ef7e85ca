# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Run backfills: batches as the owner of the schema, watched by a session of the cluster's superuser."""

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

# SQLSTATEs of errors that may be gone on the next try: a lock or statement timeout, a deadlock, a server that restarts
# or is read-only, no free connection.
_TRANSIENT = ("55P03", "57014", "40P01", "40001", "57P01", "57P02", "57P03", "57P05", "25P03", "25006", "53300")
_LOOK_AGAIN = 0.5
REASONS = ("between", "lag", "load", "migration", "held rows", "retries")


class OutOfTime(Exception):
    """The deadline has passed."""


class Runner:
    """One run over the manifest's backfills, in their order. A context manager."""

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
        """The progress of each; reads only. prove: look for rows that are left instead of trusting the record alone;
        this may read a whole table."""
        return [self._told(one, prove) for one in self.backfills]

    def run(self) -> list[dict[str, Any]]:
        """Continue each until all are complete or the deadline has passed. DatabaseError when waiting does not help."""
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
        self._check_deadline()
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
                    "rows were locked, or new rows to change appear behind it; if code still writes them, fill them in"
                    " with a trigger"
                )
            else:
                self._wait_for_holders()

    def _pass(self) -> int:
        """Run from the recorded position to the end of the table. Returns the number of changed rows."""
        self.passes += 1
        changed = 0
        while True:
            self._wait_until_idle()
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
        """One transaction for rows and position. It holds Gradual's lock in shared mode, so no migration runs
        meanwhile."""
        writer = self.sessions.writer
        while True:
            writer.run("BEGIN")
            if writer.value("SELECT pg_try_advisory_xact_lock_shared(%s::int, %s::int)", server.LOCK):
                break
            writer.run("ROLLBACK")
            self.waits["migration"] = "a migration of this database is running"
            self._check_deadline()
            self._sleep("migration", _LOOK_AGAIN)
        known = work.progress(writer, self.one)
        if known is None:
            raise DatabaseError(
                f"the record of backfill {self.one.name} in gradual.backfill is missing, perhaps after a restore; run"
                " this again"
            )
        done = work.batch(writer, self.one, known.position, self.pace.rows, self.kind)
        writer.run("COMMIT")
        return done

    def _try(self, do: Callable[[], Any]) -> Any:
        """Do it, and again after a transient error. After a lost connection the record is read again."""
        while True:
            try:
                return do()
            except Endless:
                self._roll_back()
                raise
            except DatabaseError as error:
                lost = self.sessions.writer.closed
                if not lost and error.sqlstate not in _TRANSIENT:
                    self._roll_back()
                    raise
                self.waits["retries"] = str(error)
            self._roll_back()
            self.retries += 1
            self.pace.failed()
            self._check_deadline()
            self._sleep("retries", _LOOK_AGAIN)
            if lost:
                self._reconnect()

    def _reconnect(self) -> None:
        while True:
            try:
                self.sessions.reconnect()
                return
            except DatabaseError as error:
                self.waits["retries"] = str(error)
            self._check_deadline()
            self._sleep("retries", _LOOK_AGAIN)

    def _roll_back(self) -> None:
        with contextlib.suppress(DatabaseError):
            self.sessions.writer.run("ROLLBACK")

    def _rows_to_do(self) -> bool:
        with self.sessions.reading() as session:
            return work.rows_to_do(session, self.one)

    def _wait_until_idle(self) -> None:
        """Return when no replica is late and the server is not busy."""
        while True:
            self._check_deadline()
            late, active = self._seen()
            if late:
                reason, self.waits["lag"] = "lag", "; ".join(late)
            elif active > self.runner.request.active_sessions:
                reason, self.waits["load"] = (
                    "load",
                    f"{active} active sessions, more than {self.runner.request.active_sessions}",
                )
            else:
                return
            self._sleep(reason, _LOOK_AGAIN)
            self._check_deadline()
            del self.waits[reason]

    def _seen(self) -> tuple[tuple[str, ...], int]:
        while True:
            try:
                watcher = self.sessions.watcher
                return lag.late(lag.behind(watcher), self.runner.request.limits), lag.load(watcher)
            except DatabaseError as error:
                self.waits["retries"] = str(error)
            self._check_deadline()
            self._sleep("retries", _LOOK_AGAIN)
            self._reconnect()

    def _wait_for_holders(self) -> None:
        with contextlib.suppress(DatabaseError):
            holders = self.sessions.holders(self.one)
            self.waits["held rows"] = (
                f"the rows that are left are locked by others ({'; '.join(holders) or 'sessions that have just ended'})"
            )
        self._check_deadline()
        self._sleep("held rows", _LOOK_AGAIN)

    def _check_deadline(self) -> None:
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
