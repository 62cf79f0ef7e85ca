# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Verify a backup level by level, up to a restored throwaway cluster that is compared with the backup's snapshot."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import (
    base,
    compare,
    live_contents,
    registry,
    store,
)
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Clock, Method
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import errors
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch, sweep
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.verify import corruption, soundness

# Levels from this one on need a restored copy.
_COPY = receipts.LEVELS.index("restored")


@dataclass(frozen=True)
class RestoreTest:
    """What to verify, and where. sound: options of the level `sound`, see soundness.prove."""

    path: str
    level: str
    scratch: str
    reserve_mib: int
    jobs: int
    timeout: float
    sound: Mapping[str, Any] | None = None


def plan(test: RestoreTest) -> dict[str, Any]:
    """What a verification would do; reads only."""
    receipt = receipts.read(test.path)
    method = registry.of(receipt["method"])
    needed = method.copy_bytes(receipt) if receipts.LEVELS.index(test.level) >= _COPY else 0
    if (test.sound or {}).get("pending"):
        # A rehearsed migration may rewrite every table.
        needed += int(receipt["database_bytes"])
    if needed:
        store.need_space(test.scratch, needed, test.reserve_mib, "the restored copy")
    return {
        "receipt": receipt,
        "estimated_bytes": needed,
        "message": (
            f"would verify {receipt['id']} to the level {test.level!r}, now at {receipt['level']!r}"
            + (f", by a restore below {test.scratch} of about {needed / store.MIB:.0f} MiB" if needed else "")
        ),
    }


def prove(test: RestoreTest) -> dict[str, Any]:
    """Verify the backup to the level and write the receipt. On failure the receipt has the level that was reached."""
    # First, because leftovers may fill the disk.
    sweep(test.scratch)
    receipt = plan(test)["receipt"]
    begun = time.monotonic()
    # A level is about the files as they are now, so every level is verified again.
    state = {
        **receipt,
        "level": "taken",
        "levels": {"taken": receipt["levels"]["taken"]},
        "restore_seconds": None,
        "rehearsal": None,
        "smoke": None,
        "unchecked": [],
    }
    state.pop("problem", None)
    try:
        with contextlib.ExitStack() as copies:
            proof = _Proof(test, receipt, registry.of(receipt["method"]), copies)
            for level in receipts.LEVELS[1 : receipts.LEVELS.index(test.level) + 1]:
                at = time.monotonic()
                noted = proof.steps[level]()
                laps = {**noted.pop("durations", {}), level: round(time.monotonic() - at, 3)}
                state = {
                    **state,
                    **noted,
                    "durations": {**state["durations"], **laps},
                    "level": level,
                    "levels": {**state["levels"], level: receipts.now()},
                }
    except (DatabaseError, OSError) as error:
        wanted, why = receipts.LEVELS[receipts.LEVELS.index(str(state["level"])) + 1], errors.sentence(error)
        state["problem"] = f"not {wanted}: {why}"
        receipts.write(test.path, state)
        raise DatabaseError(
            f"the backup {test.path} is not {wanted}: {why}. Do not use this backup; older backups are unchanged."
            " Take a new one."
        ) from None
    seconds = round(time.monotonic() - begun, 3)
    return {"receipt": receipts.write(test.path, state), "seconds": seconds, "tables": len(state["tables"] or ())}


class _Proof:
    """One method per level. From `restored` on they share one copy, which lives as long as `copies`."""

    def __init__(
        self, test: RestoreTest, receipt: dict[str, Any], method: Method, copies: contextlib.ExitStack
    ) -> None:
        self.test, self.receipt, self.method, self.copies = test, receipt, method, copies
        self.scratch: Scratch | None = None
        # One sentence for each thing that this copy, or its version of PostgreSQL, does not let us check.
        self.unchecked: list[str] = []
        self.steps: dict[str, Callable[[], dict[str, Any]]] = {
            "intact": self.intact,
            "readable": self.readable,
            "restored": self.restored,
            "sound": self.sound,
        }

    def intact(self) -> dict[str, Any]:
        """Every file exists with the bytes that were written."""
        wanted = store.expected(self.receipt, self.test.path)
        compare.none_of(store.file_differences(wanted, store.summed(self.test.path)))
        store.present_files(self.receipt, self.test.path)
        self.method.intact(self.test.path, self.receipt, self.test.timeout)
        return {}

    def readable(self) -> dict[str, Any]:
        """Every byte can be decoded."""
        self.method.readable(self.test.path, self.receipt, self.test.timeout)
        return {}

    def restored(self) -> dict[str, Any]:
        """A throwaway cluster has the same schema, revision, rows and contents as the backup's snapshot."""
        clock = Clock()
        self.receipt = live_contents.joined(self.receipt, self.test.path, self.test.timeout)
        clock.lap("drill_wait")
        live: dict[str, Any] = {key: self.receipt[key] for key in ("tables", "lacks") if key in self.receipt}
        digest = {key: seconds for key, seconds in self.receipt["durations"].items() if key == "digest"}
        self.scratch = self.copies.enter_context(
            self.method.restored_copy(
                self.test.path, self.receipt, self.test.scratch, self.test.timeout, self.test.jobs
            )
        )
        clock.lap("drill_restore")
        compare.none_of(
            compare.differences(self.test.path, self.receipt, self.scratch, self.method.unlogged, self.test.timeout)
        )
        clock.lap("drill_compare")
        self.unchecked += [
            f"the materialized view {name} was not computed, because it reads another system"
            for name in self.scratch.not_refreshed
        ]
        return {
            **live,
            "durations": {**digest, **clock.laps},
            "restore_seconds": clock.laps["drill_restore"],
            "unchecked": self.unchecked,
        }

    def sound(self) -> dict[str, Any]:
        """The copy has no corruption, and the previous release and the pending migrations work on it."""
        if self.scratch is None:
            raise DatabaseError("level sound needs the copy of level restored")
        clock = Clock()
        with Session(self.scratch.parameters(self.receipt["database"]), base.DRILL) as session:
            checked = corruption.found_in(session, self.test.timeout)
        compare.none_of(checked.corruption)
        self.unchecked += checked.unchecked
        clock.lap("drill_amcheck")
        found = soundness.prove(self.test, self.receipt, self.scratch)
        return {**found, "unchecked": self.unchecked, "durations": {**clock.laps, **found["durations"]}}
