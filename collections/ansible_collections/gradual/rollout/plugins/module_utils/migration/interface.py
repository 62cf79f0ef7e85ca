# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What every migration tool has to be able to do for Gradual, and what is known about one of its migrations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Protocol, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

PHASES = ("expand", "data", "contract")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Revision:
    """One migration, as its file tells. `phase` is unknown when the file does not say it; unknown is treated as
    contract.

    concurrent: uses CONCURRENTLY, which wants no lock timeout. transactional: done as a whole or not at all.
    recorded_apart: the tool
    records it in a transaction after the one that does it, so a crash can leave it done and not recorded. repeatable:
    run again then, it
    fails or does no harm. sha256: of the file's bytes.
    """

    revision: str
    parents: tuple[str, ...]
    phase: str
    description: str
    concurrent: bool
    file: str
    # Words in the file's strings: an index that it makes is named in one of them.
    words: frozenset[str] = frozenset()
    transactional: bool = True
    recorded_apart: bool = False
    repeatable: bool = True
    sha256: str = ""

    def told(self) -> dict[str, Any]:
        """As a module returns it."""
        return {
            "revision": self.revision,
            "phase": self.phase,
            "description": self.description,
            "concurrent": self.concurrent,
            "file": self.file,
        }


@dataclass(frozen=True)
class Command:
    """A program that performs one step: argv without any secret, the folder to run it in.

    It gets the settings of its sessions by PGOPTIONS, and as JSON in GRADUAL_SETTINGS for tools that set their own; the
    address as
    DATABASE_URL and, if libpq is set, in libpq's own variables (PGHOST, PGPASSWORD, …). variables: more of them. send:
    what it reads.
    """

    argv: tuple[str, ...]
    folder: str
    libpq: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    send: str = ""


class Adapter(Protocol):
    """A migration tool. It reads files and names commands; it neither opens a connection nor runs anything."""

    # As the manifest has it, and gradual.migration_step.
    name: str
    # All that the release brings.
    revisions: Mapping[str, Revision]

    def recorded(self, session: Session) -> list[str]:
        """What the tool's table in the database holds, read over that session."""

    def named(self, names: Sequence[str]) -> list[str]:
        """What the tool's table holds, as revision_info read it without a release, by the names of the revisions."""

    def position(self, recorded: Sequence[str]) -> str | None:
        """Where the database stands, in a word, as a receipt has it; None for the empty beginning."""

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
