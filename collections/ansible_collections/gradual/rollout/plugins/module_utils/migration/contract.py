# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What every migration tool has to be able to do for Gradual, and what is known about one of its migrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Sequence

PHASES = ("expand", "data", "contract")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Revision:
    """One migration, as its file tells. `phase` is unknown when the file does not say it; unknown is treated as contract."""

    revision: str
    parents: tuple[str, ...]
    phase: str
    description: str
    concurrent: bool
    file: str
    # Words in the file's strings: an index that it makes is named in one of them.
    words: frozenset[str] = frozenset()

    def told(self) -> dict[str, Any]:
        """As a module returns it."""
        return {"revision": self.revision, "phase": self.phase, "description": self.description, "concurrent": self.concurrent, "file": self.file}


@dataclass(frozen=True)
class Command:
    """A program that performs one step: argv without any secret, the folder to run it in.

    It gets the settings of its sessions by PGOPTIONS, and as JSON in GRADUAL_SETTINGS for tools that set their own.
    """

    argv: tuple[str, ...]
    folder: str


class Adapter(Protocol):
    """A migration tool. It reads files and names commands; it neither connects nor runs anything."""

    # The table in which the tool keeps the revision.
    table: str

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        """Everything that is applied, given what the tool's table holds."""

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        """What has still to be applied on the way to the target, in the order to do it."""

    def ancestors(self, recorded: Sequence[str]) -> frozenset[str | None]:
        """The present revision and all that lie behind it, None for the empty beginning."""

    def apply(self, revision: Revision) -> Command:
        """Go one step, to exactly this revision."""

    def revert(self, revision: Revision) -> Command:
        """Go back to just before this revision."""

    def verify(self, recorded: Sequence[str], revision: Revision) -> bool:
        """Whether the table holds what it has to after this revision was applied."""

    def sentence(self, output: str) -> str:
        """The tool's own sentence on what went wrong, out of everything that it printed."""
