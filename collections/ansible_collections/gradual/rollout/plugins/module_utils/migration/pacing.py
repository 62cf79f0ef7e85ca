# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Size of the next batch of a backfill, and the pause before it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 10
# A window without rows to change may be this many batches large, because it only reads.
MOST = 10


@dataclass
class Pace:
    """rows: size of the next window. wanted: seconds per batch. first: the manifest's batch size."""

    first: int
    wanted: float
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = self.rows or self.first

    def took(self, seconds: float) -> None:
        """Set the next size so that a batch takes the wanted time; at most twice the last size."""
        aim = self.rows * self.wanted / max(seconds, 0.001)
        self.rows = round(min(max(aim, LEAST), 2 * self.rows, MOST * self.first))
        self.rows = max(self.rows, 1)

    def failed(self) -> None:
        """Halve the size after a timeout."""
        self.rows = max(1, self.rows // 2)


def pause(seconds: float, changed: int, least_ms: int) -> float:
    """Seconds to pause after a batch: as long as it took, at least least_ms; 0 after a batch that changed no row."""
    return max(seconds, least_ms / 1000) if changed else 0.0
