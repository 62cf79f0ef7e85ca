# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How large the next batch of a backfill is and how long the pause before it: pure."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 10
# Windows without work may be as large as this many batches: they only read.
MOST = 10


@dataclass
class Pace:
    """rows: how many the next window has. wanted: seconds that a batch should take. first: the rows that the manifest
    names."""

    first: int
    wanted: float
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = self.rows or self.first

    def took(self, seconds: float) -> None:
        """Aim at the wanted duration, at most twice as large as before, and as small as it has to be."""
        aim = self.rows * self.wanted / max(seconds, 0.001)
        self.rows = round(min(max(aim, LEAST), 2 * self.rows, MOST * self.first))
        self.rows = max(self.rows, 1)

    def failed(self) -> None:
        """It ran into a timeout: half of it may not."""
        self.rows = max(1, self.rows // 2)


def pause(seconds: float, changed: int, least_ms: int) -> float:
    """Seconds to leave the server to others after a batch that took `seconds`: as long as it took, `least_ms` at the
    least; none after mere reading."""
    return max(seconds, least_ms / 1000) if changed else 0.0
