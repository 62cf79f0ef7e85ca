# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Proving a backup, level by level, up to a restore into a throwaway cluster that is compared with the backup's snapshot and tried out."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import comparing, methods, sound, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.taking import Clock, Method
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import errors
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch, sweep

# From here on a restored copy is needed.
_COPY = receipts.LEVELS.index("restored")


@dataclass(frozen=True)
class Drill:
    """What to prove and where. sound: what to try on the copy at the level `sound`, see sound.prove."""

    path: str
    level: str
    scratch: str
    reserve_mib: int
    jobs: int
    timeout: float
    sound: Mapping[str, Any] | None = None


def plan(drill: Drill) -> dict[str, Any]:
    """What a verification would do; reads only."""
    receipt = receipts.read(drill.path)
    method = methods.of(receipt["method"])
    needed = method.room(receipt) if receipts.LEVELS.index(drill.level) >= _COPY else 0
    if (drill.sound or {}).get("pending"):
        # A migration that is rehearsed may write everything anew.
        needed += int(receipt["database_bytes"])
    if needed:
        store.need_space(drill.scratch, needed, drill.reserve_mib, "the restored copy")
    return {
        "receipt": receipt, "estimated_bytes": needed,
        "message": f"would prove {receipt['id']} to the level {drill.level!r}, now at {receipt['level']!r}"
                   + (f", by a restore below {drill.scratch} of about {needed / store.MIB:.0f} MiB" if needed else ""),
    }


def prove(drill: Drill) -> dict[str, Any]:
    """Prove the backup to the level and write the receipt; the receipt says no more than what was seen when it fails."""
    # Before there is room for anything else.
    sweep(drill.scratch)
    receipt = plan(drill)["receipt"]
    begun = time.monotonic()
    # A level counts for what is on the disk now, so it is earned anew each time.
    state = {**receipt, "level": "taken", "levels": {"taken": receipt["levels"]["taken"]}, "restore_seconds": None, "rehearsal": None, "smoke": None}
    state.pop("problem", None)
    try:
        with contextlib.ExitStack() as copies:
            proof = _Proof(drill, receipt, methods.of(receipt["method"]), copies)
            for level in receipts.LEVELS[1:receipts.LEVELS.index(drill.level) + 1]:
                at = time.monotonic()
                noted = proof.steps[level]()
                laps = {**noted.pop("durations", {}), level: round(time.monotonic() - at, 3)}
                state = {**state, **noted, "durations": {**state["durations"], **laps}, "level": level, "levels": {**state["levels"], level: receipts.now()}}
    except (DatabaseError, OSError) as error:
        wanted, why = receipts.LEVELS[receipts.LEVELS.index(str(state["level"])) + 1], errors.sentence(error)
        state["problem"] = f"not {wanted}: {why}"
        receipts.write(drill.path, state)
        raise DatabaseError(
            f"the backup {drill.path} is not {wanted}: {why}. Nothing may rest on it; older backups are as they were. Take a new one."
        ) from None
    seconds = round(time.monotonic() - begun, 3)
    return {"receipt": receipts.write(drill.path, state), "seconds": seconds, "tables": len(receipt["tables"])}


class _Proof:
    """The steps of one proof. Those from `restored` on share one copy, which lives as long as `copies`."""

    def __init__(self, drill: Drill, receipt: dict[str, Any], method: Method, copies: contextlib.ExitStack) -> None:
        self.drill, self.receipt, self.method, self.copies = drill, receipt, method, copies
        self.scratch: Scratch | None = None
        self.steps: dict[str, Callable[[], dict[str, Any]]] = {
            "intact": self.intact, "readable": self.readable, "restored": self.restored, "sound": self.sound}

    def intact(self) -> dict[str, Any]:
        """Every file is there with the bytes that were written."""
        wanted = store.expected(self.receipt, self.drill.path)
        comparing.none_of(store.file_differences(wanted, store.summed(self.drill.path)))
        store.present_files(self.receipt, self.drill.path)
        self.method.intact(self.drill.path, self.receipt, self.drill.timeout)
        return {}

    def readable(self) -> dict[str, Any]:
        """Every byte can be decoded."""
        self.method.readable(self.drill.path, self.receipt, self.drill.timeout)
        return {}

    def restored(self) -> dict[str, Any]:
        """A throwaway cluster holds the same schema, revision, rows and contents as the snapshot of the backup."""
        clock = Clock()
        self.scratch = self.copies.enter_context(
            self.method.materialise(self.drill.path, self.receipt, self.drill.scratch, self.drill.timeout, self.drill.jobs))
        clock.lap("drill_restore")
        comparing.none_of(comparing.differences(self.drill.path, self.receipt, self.scratch, self.method.unlogged, self.drill.timeout))
        clock.lap("drill_compare")
        return {"durations": clock.laps, "restore_seconds": clock.laps["drill_restore"]}

    def sound(self) -> dict[str, Any]:
        """Nothing in the copy is damaged, the release before works on it, and the pending migrations do too."""
        if self.scratch is None:
            raise DatabaseError("there is no restored copy to try anything on; `restored` comes first")
        clock = Clock()
        comparing.none_of(comparing.corruption(self.receipt, self.scratch, self.drill.timeout))
        clock.lap("drill_amcheck")
        found = sound.prove(self.drill, self.receipt, self.scratch)
        return {**found, "durations": {**clock.laps, **found["durations"]}}
