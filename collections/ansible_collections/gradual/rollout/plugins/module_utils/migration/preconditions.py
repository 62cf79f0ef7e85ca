# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What has to be so before a step: a receipt that allows it, no dump, no replica far behind, nobody left of a dead
run."""

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
    """Fail closed (P1): a receipt is for this database, now, and proven, or nothing is changed. given: a receipt or
    where it lies."""
    if not given:
        raise DatabaseError(
            "there is no receipt of a backup, so nothing is migrated; take one with gradual.rollout.backup, prove it"
            " with gradual.rollout.backup_verify, and give its receipt (or the folder of the backup)"
        )
    receipt = receipts.read(given) if isinstance(given, str) else receipts.checked(given, "the receipt")
    found = receipts.objections(receipt, identity, ancestors, NEEDED_LEVEL, max_age)
    canary = receipt.get("canary")
    if not found and canary and not records.has_canary(session, canary):
        found.append(
            "the row that was written for it (gradual.canary) is not in this database, so another one took its place"
            " since"
        )
    if not found and receipt["host"] == os.uname().nodename:
        try:
            # What was proven once may have been found damaged later.
            now = receipts.read(receipt["path"])
            if not receipts.reached(now, NEEDED_LEVEL):
                found.append(
                    f"its proof was withdrawn: {now.get('problem', 'it is at the level ' + str(now['level']))}"
                )
            store.present_files(receipt, receipt["path"])
        except DatabaseError as error:
            found.append(str(error))
    if found:
        raise DatabaseError(
            f"the receipt {receipt['id']} does not allow it: {'; '.join(found)}. Nothing was changed. Take a backup and"
            " prove it now."
        )


def no_dump(session: Callable[[], Session], until: float, deadline: float, stands: Callable[[], str]) -> None:
    """Wait for dumps to end: each of them blocks every ALTER. until: by time.monotonic()."""
    while True:
        running = server.dumps_running(session())
        if not running:
            return
        if time.monotonic() > until:
            raise DatabaseError(
                f"a dump of this database runs ({'; '.join(running)}) and blocks every ALTER; it did not end within"
                f" {deadline:.0f} s. {stands()}. Run the same command again when it has ended."
            )
        time.sleep(_PAUSE)


def replicas_near(session: Session, limits: lag.Limits, deadline: float, stands: Callable[[], str]) -> None:
    """A step that begins while a replica is far behind puts it further behind, and with it whoever reads there."""
    if limits.bytes is None and limits.seconds is None:
        return
    waited = lag.wait(session, limits, deadline)
    if waited.late:
        raise DatabaseError(
            f"the replicas did not catch up within {deadline:.0f} s: {'; '.join(waited.late)}. {stands()}. "
            "Run the same command again when they have."
        )


def no_orphan(session: Session) -> None:
    """We hold the lock, so whatever still works under our name belongs to a run that is dead."""
    until = time.monotonic() + 3
    while running_sessions(session) and time.monotonic() < until:
        time.sleep(0.2)
    terminate_sessions(session)
