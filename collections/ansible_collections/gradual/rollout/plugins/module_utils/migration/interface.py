# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What Gradual needs from a migration tool (Adapter), and what it knows of one migration (Revision)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Protocol, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

PHASES = ("expand", "data", "contract")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Revision:
    """One migration, as its file has it. A file that does not name its phase has UNKNOWN, which is treated as contract.

    concurrent: it uses CONCURRENTLY, for which no lock timeout is set. transactional: it is applied completely or not
    at all. recorded_apart: the tool records it in a later transaction, so after a crash it may be applied and not
    recorded. repeatable: to run it again after such a crash fails or does no harm. sha256: of the statements, without
    comments and layout (fingerprint.py).
    """

    revision: str
    parents: tuple[str, ...]
    phase: str
    description: str
    concurrent: bool
    file: str
    # All words in the file's strings; names of the indexes that it makes are among them.
    words: frozenset[str] = frozenset()
    transactional: bool = True
    recorded_apart: bool = False
    repeatable: bool = True
    sha256: str = ""
    # As earlier versions of Gradual recorded it: of other parts of the file, and of the file's bytes.
    former_sha256: str = ""
    file_sha256: str = ""
    # Why it has this phase, when that is not from its file.
    phase_reason: str = ""
    # Why it cannot be run, as one error. An applied revision is not run again, so it does not matter there.
    problem: str = ""

    def told(self) -> dict[str, Any]:
        """As a module returns it."""
        return {
            "revision": self.revision,
            "phase": self.phase,
            "phase_reason": self.phase_reason,
            "description": self.description,
            "concurrent": self.concurrent,
            "file": self.file,
        }


@dataclass(frozen=True)
class Command:
    """A program that does one step: argv without any secret, and the folder to run it in.

    It gets the session settings in PGOPTIONS, and as JSON in GRADUAL_SETTINGS for tools that set their own; the address
    in DATABASE_URL and, if libpq is set, in libpq's variables (PGHOST, PGPASSWORD, …). variables: additional ones.
    send: its standard input. hook: how many words of argv begin a process that does one step after another (worker.py);
    0: each step has a process of its own.
    """

    argv: tuple[str, ...]
    folder: str
    libpq: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    send: str = ""
    hook: int = 0


class Adapter(Protocol):
    """A migration tool. It reads files and returns commands; it opens no connection and runs no program."""

    # As in the manifest and in gradual.migration_step.
    name: str
    # All revisions of the release; those that do not name a phase get it from the manifest (phases.py).
    revisions: Mapping[str, Revision]

    def recorded(self, session: Session) -> list[str]:
        """What the tool's table in the database holds."""

    def named(self, names: Sequence[str]) -> list[str]:
        """The names of the revisions for what revision_info read from the tool's table without a release."""

    def known_as(self, name: str) -> str:
        """The name under which the database has a revision, as far as it was read: a file may have been renamed."""

    def complete(self, session: Session) -> None:
        """Record what the tool would record by itself when it runs, although nothing is to be applied."""

    def position(self, recorded: Sequence[str]) -> str | None:
        """The database's revision, as a receipt has it; None for a database without any."""

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        """All applied revisions, given what the tool's table holds."""

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        """The revisions to apply to reach the target, in order."""

    def ancestors(self, recorded: Sequence[str]) -> frozenset[str | None]:
        """The current revision and all its ancestors, and None for a database without any."""

    def apply(self, revision: Revision) -> Command:
        """The command that applies exactly this revision."""

    def revert(self, revision: Revision) -> Command:
        """The command that reverts exactly this revision."""

    def verify(self, recorded: Sequence[str], revision: Revision) -> bool:
        """Whether the table holds this revision."""

    def sentence(self, output: str) -> str:
        """The tool's own error message, from all its output."""
