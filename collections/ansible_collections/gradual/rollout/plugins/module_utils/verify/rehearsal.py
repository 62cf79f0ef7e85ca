# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The pending migrations, applied to a throwaway copy of the live database by the very code that will apply them
later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import Migrator, Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.verify import copy_access
from ansible_collections.gradual.rollout.plugins.module_utils.verify.lock_recorder import (
    AGAINST_WRITES,
    Witness,
    watching,
)

# From so many rows on, a lock that writers wait for, or a rewrite, is worth a word.
MANY_ROWS = 100_000


@dataclass(frozen=True)
class Copy:
    """A running copy that was opened to unprivileged users (copy_access.py).

    passwords: {role: password} on the copy; rows: {"public.orders": 4711}; run_as: who owns the cluster and is its
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
        return {
            "dbname": self.database,
            "host": self.folder,
            "port": str(self.port),
            "options": "-c statement_timeout=0 -c lock_timeout=0",
        }

    def user(self) -> str | None:
        """Whom a program that works with the copy's superuser has to run as."""
        return self.run_as if os.geteuid() == 0 else None


class Rehearsal(Migrator):
    """A migrator that tells of each step what it held while it ran."""

    def __init__(self, request: Request, adapter: Adapter, witness: Witness, rows: Mapping[str, int]) -> None:
        super().__init__(request, adapter)
        self.witness = witness
        self.rows = rows
        self.told: list[dict[str, Any]] = []

    def _step(self, revision: Revision) -> None:
        self.witness.begin()
        super()._step(revision)
        seen = self.witness.tell(revision.transactional and not revision.concurrent)
        step = {"revision": revision.revision, "phase": revision.phase, "seconds": self.applied[-1]["seconds"], **seen}
        self.told.append({**step, "warnings": warnings(step, self.rows)})


def rehearse(copy: Copy, pending: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Apply what the phase would apply. [{revision, phase, seconds, locks, exact, rewrote, held_seconds, warnings}], in
    order.

    pending: {adapter, directory, path, target, phase, environment, migrate_as} and, where they differ from the
    defaults, `timeout` and
    `deadline` in seconds. A migration that fails raises DatabaseError with the tool's own sentence.
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
    tool = adapters.of(pending["adapter"], os.path.realpath(pending["directory"]), pending["path"])
    with effective_user(copy.run_as):
        session = Session(copy.parameters(), "gradual-witness")
    with session:
        migrator = Rehearsal(request, tool, Witness(session), copy.rows)
        with migrator, watching(session, os.path.join(copy.programs, "psql"), copy.parameters(), copy.user()):
            try:
                migrator.apply()
            except DatabaseError as error:
                raise DatabaseError(
                    f"the pending migrations do not work on a restored copy of this database: {error}"
                ) from None
        return migrator.told


def warnings(step: Mapping[str, Any], rows: Mapping[str, int], many: int = MANY_ROWS) -> list[str]:
    """What an operator should know before it meets the users; a sentence a table.

    rows: rows of each table when the backup was taken. Only tables with `many` rows or more are spoken of.
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
                f"{step['revision']} writes the whole table {name} anew ({rows[name]} rows); nobody can use it"
                f" meanwhile{held}"
            )
    for lock in step["locks"]:
        name = lock["table"]
        if lock["mode"] not in AGAINST_WRITES or rows.get(name, 0) < many or name in step["rewrote"]:
            continue
        who = "nobody can read or write it" if lock["mode"] == "AccessExclusiveLock" else "nobody can write it"
        found.append(f"{step['revision']} holds {lock['mode']} on {name} ({rows[name]} rows); {who} meanwhile{held}")
    return found
