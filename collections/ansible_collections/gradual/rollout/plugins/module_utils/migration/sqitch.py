# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Adapter for sqitch (1.x): Gradual reads the plan and the registry, and sqitch deploys one change at a time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import fingerprint, python_files, sql_text
from ansible_collections.gradual.rollout.plugins.module_utils.migration.graph import Graph, sha256
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# sqitch records the deployer's name; without these it would read the system's account.
_WHO = {"SQITCH_FULLNAME": "Gradual", "SQITCH_EMAIL": "gradual@localhost"}
# The address is in libpq's variables, because sqitch passes its target to psql as an argument.
_TARGET = "db:pg:"


@dataclass
class Change:
    """A line of the plan. name: as in the registry. unique: with a tag, which tells a reworked change from the later
    one."""

    name: str
    line: int
    note: str = ""
    tags: list[str] = field(default_factory=list)
    unique: str = ""


class Sqitch(Graph):
    """The plan in `<directory>/<path>`, with its folders deploy, revert and verify."""

    name = "sqitch"

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.folder = os.path.join(directory, path)
        self.path = path
        self.project, self.changes = _plan(self.folder)
        self.revisions = self._read()

    def recorded(self, session: Session) -> list[str]:
        return self.named(revisions.sqitch(session, self.project))

    def named(self, names: Sequence[str]) -> list[str]:
        """A reworked change is in the registry once per version, in the order of the plan."""
        found: list[str] = []
        for name in names:
            same = [one.unique for one in self.changes if one.name == name]
            before = sum(one in same for one in found)
            found.append(same[before] if before < len(same) else name)
        return found

    def apply(self, revision: Revision) -> Command:
        verified = os.path.isfile(os.path.join(self.folder, "verify", f"{revision.revision}.sql"))
        return self._command(
            "deploy",
            "--to-change",
            revision.revision,
            "--mode",
            "change",
            "--verify" if verified else "--no-verify",
            "--set",
            "VERBOSITY=verbose",
        )

    def revert(self, revision: Revision) -> Command:
        to = ("--to-change", revision.parents[0]) if revision.parents else ()
        return self._command("revert", *to, "-y", "--set", "VERBOSITY=verbose")

    def sentence(self, output: str) -> str:
        return sql_text.server_sentence(output)

    def _command(self, word: str, *words: str) -> Command:
        return Command(("sqitch", "--no-pager", word, _TARGET, *words), self.folder, libpq=True, variables=_WHO)

    def _read(self) -> dict[str, Revision]:
        found: dict[str, Revision] = {}
        before: tuple[str, ...] = ()
        for change in self.changes:
            file = os.path.join(self.path, "deploy", f"{change.unique}.sql")
            try:
                content = python_files.content(os.path.join(self.directory, file))
            except DatabaseError as error:
                raise DatabaseError(f"the deploy script of {change.unique} in the plan: {error}") from None
            text, problem = "", ""
            statements: list[str] = []
            try:
                text = sql_text.decoded(content, file)
                statements = sql_text.statements(text, file, plain=False)
            except DatabaseError as error:
                problem = str(error)
            whole = (
                bool(statements)
                and re.match(r"BEGIN\b", statements[0], re.I)
                and re.match(r"COMMIT\b", statements[-1], re.I)
            )
            found[change.unique] = Revision(
                change.unique,
                before,
                sql_text.told(text, file)["phase"],
                change.note,
                sql_text.concurrent(statements),
                file,
                sql_text.words(statements),
                bool(whole),
                recorded_apart=True,
                repeatable=bool(sql_text.concurrent(statements)),
                # psql's own commands are part of what was applied.
                sha256=fingerprint.of_sql([*statements, *re.findall(r"(?m)^\\.*$", text)]),
                file_sha256=sha256(content),
                problem=problem,
            )
            before = (change.unique,)
        return found


def _plan(folder: str) -> tuple[str, list[Change]]:
    """(project, changes) of sqitch.plan; its format is in sqitchplan(5)."""
    file = os.path.join(folder, "sqitch.plan")
    try:
        content = python_files.content(file)
    except DatabaseError as error:
        raise DatabaseError(f"the plan {error}; write as path the folder of sqitch.plan in the release") from None
    lines = [line.rstrip("\r\n") for line in sql_text.lines(sql_text.decoded(content, file))]
    project = ""
    changes: list[Change] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if line.startswith("%"):
            key, _equals, value = line[1:].partition("=")
            project = value.strip() if key.strip() == "project" else project
        elif words and words[0].startswith("@"):
            if not changes:
                raise DatabaseError(f"{file}, line {number}, has the tag {words[0]} before any change")
            changes[-1].tags.append(words[0])
        elif words:
            changes.append(Change(words[0], number, line.partition("# ")[2].strip()))
    if not project:
        raise DatabaseError(
            f"{file} has no line %project=, so it is not a plan of sqitch; write as path the folder of sqitch.plan"
        )
    return project, _unique(file, changes)


def _unique(file: str, changes: list[Change]) -> list[Change]:
    """Give each change a unique name. A change that is reworked later gets the first tag after it, like its scripts."""
    for place, change in enumerate(changes):
        later = next((number for number in range(place + 1, len(changes)) if changes[number].name == change.name), None)
        tags = [tag for one in changes[place:later] for tag in one.tags] if later else [""]
        if not tags:
            raise DatabaseError(
                f"{file}, line {change.line}: {change.name} is reworked without a tag in between; add one with sqitch"
                " tag"
            )
        change.unique = change.name + tags[0]
    return changes
