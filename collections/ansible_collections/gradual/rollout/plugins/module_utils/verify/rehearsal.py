# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Rehearse the pending migrations on a throwaway copy, with the same code that applies them to the live database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import Migrator, Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, socket_parameters
from ansible_collections.gradual.rollout.plugins.module_utils.verify import copy_access
from ansible_collections.gradual.rollout.plugins.module_utils.verify.lock_recorder import (
    AGAINST_WRITES,
    LockRecorder,
    watching,
)

# Warn of a rewrite or a lock that blocks writes on tables with this many rows.
MANY_ROWS = 100_000


@dataclass(frozen=True)
class Copy:
    """A running copy to which unprivileged users have access (copy_access.py).

    passwords: {role: password} on the copy; rows: {"public.orders": 4711}; run_as: the cluster's system user and
    superuser.
    """

    folder: str
    port: int
    database: str
    programs: str
    run_as: str
    passwords: Mapping[str, str]
    rows: Mapping[str, int]

    def parameters(self) -> dict[str, str]:
        return socket_parameters(self.database, self.folder, self.port)

    def user(self) -> str | None:
        """The system user for programs that connect as the copy's superuser; None when not root."""
        return self.run_as if os.geteuid() == 0 else None


class Rehearsal(Migrator):
    """A migrator that records the locks of each step."""

    def __init__(self, request: Request, adapter: Adapter, recorder: LockRecorder, rows: Mapping[str, int]) -> None:
        super().__init__(request, adapter)
        self.recorder = recorder
        self.rows = rows
        self.told: list[dict[str, Any]] = []

    def _step(self, revision: Revision) -> None:
        self.recorder.begin()
        super()._step(revision)
        seen = self.recorder.result(revision.transactional and not revision.concurrent)
        step = {"revision": revision.revision, "phase": revision.phase, "seconds": self.applied[-1]["seconds"], **seen}
        self.told.append({**step, "warnings": warnings(step, self.rows)})


def rehearse(copy: Copy, pending: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Apply the phase's revisions: [{revision, phase, seconds, locks, exact, rewrote, held_seconds, warnings}].

    pending: {adapter, directory, path, target, phase, environment, migrate_as}, and optionally `phases`, and `timeout`
    and `deadline` in seconds. A migration that fails raises DatabaseError with the tool's own message.
    """
    request = Request(
        database=copy.database,
        target=pending.get("target") or "head",
        phase=pending.get("phase") or "expand",
        receipt=None,
        rehearsal=True,
        variables=copy_access.environment(pending["environment"], copy.folder, copy.port, copy.passwords),
        max_age=0,
        run_as=copy.run_as,
        migrate_as=pending.get("migrate_as") or "nobody",
        socket_directory=copy.folder,
        port=copy.port,
        lock_timeout_ms=50,
        pause_ms=100,
        deadline=float(pending.get("deadline") or 60),
        timeout=float(pending.get("timeout") or 3600),
    )
    tool = adapters.of(
        pending["adapter"], os.path.realpath(pending["directory"]), pending["path"], pending.get("phases") or ()
    )
    with effective_user(copy.run_as):
        session = Session(copy.parameters(), "gradual-witness")
    with session:
        migrator = Rehearsal(request, tool, LockRecorder(session), copy.rows)
        with migrator, watching(session, os.path.join(copy.programs, "psql"), copy.parameters(), copy.user()):
            try:
                migrator.apply()
            except DatabaseError as error:
                raise DatabaseError(
                    f"the pending migrations fail on a restored copy of this database: {error}"
                ) from None
        return migrator.told


def warnings(step: Mapping[str, Any], rows: Mapping[str, int], many: int = MANY_ROWS) -> list[str]:
    """Warnings about large tables that a step rewrites or locks, one sentence per table.

    rows: rows of each table when the backup was taken. Only tables with `many` rows or more are named.
    """
    found = []
    held = (
        f", for at most {step['held_seconds']:.1f} s"
        if step.get("held_seconds") is not None
        else f", within {step['seconds']:.1f} s"
    )
    for name in step["rewrote"]:
        if rows.get(name, 0) >= many:
            found.append(
                f"{step['revision']} rewrites the table {name} ({rows[name]} rows); nobody can use it meanwhile{held}"
            )
    for lock in step["locks"]:
        name = lock["table"]
        if lock["mode"] not in AGAINST_WRITES or rows.get(name, 0) < many or name in step["rewrote"]:
            continue
        who = "nobody can read or write it" if lock["mode"] == "AccessExclusiveLock" else "nobody can write it"
        found.append(f"{step['revision']} holds {lock['mode']} on {name} ({rows[name]} rows); {who} meanwhile{held}")
    return found
