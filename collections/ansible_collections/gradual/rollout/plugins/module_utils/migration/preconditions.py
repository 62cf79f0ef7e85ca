# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What must hold before a step: a receipt that allows it, no dump, no late replica, no session of a dead run."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Collection, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import (
    running_sessions,
    terminate_sessions,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import lag, records, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

NEEDED_LEVEL = "restored"
_PAUSE = 0.5


def allowed(
    given: Any, identity: Mapping[str, Any], ancestors: Collection[str | None], max_age: float, session: Session
) -> None:
    """Refuse a migration (P1) unless the receipt is of this database, recent and proven. given: a receipt or its
    path."""
    if not given:
        raise DatabaseError(
            "there is no receipt of a backup, so nothing is migrated; take a backup with gradual.rollout.backup, verify"
            " it with gradual.rollout.backup_verify, and write its receipt or its folder as receipt"
        )
    receipt = receipts.read(given) if isinstance(given, str) else receipts.checked(given, "the receipt")
    found = receipts.objections(receipt, identity, ancestors, NEEDED_LEVEL, max_age)
    canary = receipt.get("canary")
    if not found and canary and not records.has_canary(session, canary):
        found.append("its canary row (gradual.canary) is not in this database, so the database was replaced since then")
    if not found and receipt["host"] == os.uname().nodename:
        try:
            # A proven backup may have been found damaged later.
            now = receipts.read(receipt["path"])
            if not receipts.reached(now, NEEDED_LEVEL):
                found.append(
                    f"its level was withdrawn: {now.get('problem', 'it is at the level ' + str(now['level']))}"
                )
            store.present_files(receipt, receipt["path"])
        except DatabaseError as error:
            found.append(str(error))
    if found:
        raise DatabaseError(
            f"the receipt {receipt['id']} does not allow it: {'; '.join(found)}. Nothing was changed. Take a new backup"
            " and verify it."
        )


def no_dump(session: Callable[[], Session], until: float, deadline: float, stands: Callable[[], str]) -> None:
    """Wait until no dump runs, since a dump blocks every ALTER. until: by time.monotonic()."""
    while True:
        running = server.dumps_running(session())
        if not running:
            return
        if time.monotonic() > until:
            raise DatabaseError(
                f"a dump of this database is running ({'; '.join(running)}) and blocks every ALTER; it did not end"
                f" within {deadline:.0f} s. {stands()}. Run the same command again when it has ended."
            )
        time.sleep(_PAUSE)


def replicas_caught_up(session: Session, limits: lag.Limits, deadline: float, stands: Callable[[], str]) -> None:
    """Wait until no replica is late: a step would delay it, and its readers, even more."""
    if limits.bytes is None and limits.seconds is None:
        return
    waited = lag.wait(session, limits, deadline)
    if waited.late:
        raise DatabaseError(
            f"the replicas did not catch up within {deadline:.0f} s: {'; '.join(waited.late)}. {stands()}. Run the same"
            " command again when they have."
        )


def end_orphans(session: Session) -> None:
    """End the sessions of dead runs: this run has the lock, so every other session of a migration is one."""
    until = time.monotonic() + 3
    while running_sessions(session) and time.monotonic() < until:
        time.sleep(0.2)
    terminate_sessions(session)
