"""What a fault is, and what was seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stage import Stage

ROWS = {
    1: "long transaction against ALTER",
    2: "lock never free",
    3: "disk full during backup",
    4: "dump cut, bit flipped, file missing",
    5: "tampered, foreign, stale receipt",
    6: "needed WAL missing",
    7: "corrupt source page",
    8: "backend killed in a transactional migration",
    9: "backend killed in CREATE INDEX CONCURRENTLY",
    10: "migrator killed -9",
    11: "crash between two statements of a non-transactional migration",
    12: "connection lost at COMMIT",
    13: "two migrators at once",
    14: "lock left by a dead run",
    15: "PostgreSQL restarted in the middle",
    16: "primary failed over in the middle",
    17: "replica lagging",
    18: "cron's pg_dump running",
    19: "pgbouncer in transaction mode in the way",
    20: "statement_timeout set on the role",
    21: "rc 0 without movement",
    22: "migration file edited after it was applied",
    23: "restore drill on a nearly full disk",
    24: "backfill unfinished at contract",
    25: "an old host alive at contract",
}


class NotHere(Exception):
    """This machine cannot cause the fault: the table says so, and a test is skipped."""


@dataclass(frozen=True)
class Seen:
    """did: what Gradual did, in its own words. state: of the database afterwards. seconds: from the fault until all was
    at rest."""

    did: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Fault:
    """caused: how, in a sentence. cause: does it, raises AssertionError when it did not happen or when what came of it
    is wrong."""

    number: int
    case: str
    caused: str
    cause: Callable[[Stage], Seen]

    @property
    def name(self) -> str:
        return ROWS[self.number] + (f": {self.case}" if self.case else "")


FAULTS: list[Fault] = []


def fault(number: int, caused: str, case: str = "") -> Callable[[Callable[[Stage], Seen]], Callable[[Stage], Seen]]:
    """Declare the function below as one fault of that row."""

    def declare(cause: Callable[[Stage], Seen]) -> Callable[[Stage], Seen]:
        FAULTS.append(Fault(number, case, caused, cause))
        return cause

    return declare


def shortened(message: object, words: int = 60) -> str:
    """The beginning of what was said, on one line."""
    found = str(message).split()
    return " ".join(found[:words]) + (" …" if len(found) > words else "")
