# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Adapter for plain SQL files, named and divided as golang-migrate, Flyway, dbmate, goose and others do
(sql_names.py, sql_parts.py): psql runs them, and Gradual keeps the table of applied ones.

A file and its row in that table are one transaction, unless the file asks for none. As for all of these tools, the
version tells which file was applied: one with another title is the same migration.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    fingerprint,
    python_files,
    sql_names,
    sql_parts,
    sql_text,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.graph import Graph, sha256
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# VERBOSITY prints the SQLSTATE, which is the same in every language of the server.
_PSQL = ("psql", "--no-psqlrc", "--no-password", "--quiet", "--set", "ON_ERROR_STOP=1", "--set", "VERBOSITY=verbose")
# The file may set another search_path, so the schema is read before. :"…" is psql's quoting.
_OPEN = f"""\
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS {revisions.SQL_TABLE} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, revision text NOT NULL UNIQUE,
  sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
RESET client_min_messages;
SELECT n.nspname AS gradual_schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = '{revisions.SQL_TABLE}'::regclass \\gset
"""
_TABLE = f':"gradual_schema".{revisions.SQL_TABLE}'


# A variable that Flyway would replace: https://documentation.red-gate.com/flyway, "Placeholders".
_PLACEHOLDER = re.compile(r"\$\{[\w:.-]+\}")


@dataclass(frozen=True)
class Script:
    """What psql runs. whole: in one transaction with its record."""

    statements: tuple[str, ...]
    whole: bool

    @property
    def text(self) -> str:
        return "".join(f"{one};\n" for one in self.statements)


class SqlFiles(Graph):
    """The files of one folder of the release, in the order of their versions."""

    name = "sql"

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.path = path
        folder = os.path.join(directory, path)
        if not os.path.isdir(folder):
            raise DatabaseError(
                f"there is no folder {folder}; write as path the folder of the SQL files in the release"
            )
        self.form, listed = sql_names.read([one for one in os.listdir(folder) if one.endswith(".sql")], folder)
        self.files = [SqlFile(directory, path, self.form, one) for one in listed]
        self.tool = _only_tool(self.files)
        names = [one.name for one in self.files]
        before: list[tuple[str, ...]] = [(), *((name,) for name in names)]
        self.revisions = {one.name: one.revision(parents) for one, parents in zip(self.files, before)}
        self._by_version = {one.named.version: one.name for one in self.files if not one.named.repeatable}
        self._former: dict[str, str] = {}

    def recorded(self, session: Session) -> list[str]:
        return self.named(revisions.sql_files(session))

    def named(self, names: Sequence[str]) -> list[str]:
        found = [self._by_version.get(sql_names.version_of(one), one) for one in names]
        self._former.update({now: one for now, one in zip(found, names) if now != one})
        return found

    def known_as(self, name: str) -> str:
        return self._former.get(name, name)

    def ancestors(self, recorded: Sequence[str]) -> frozenset[str | None]:
        """Under both names, since a receipt has the one that was recorded."""
        return super().ancestors([*recorded, *map(self.known_as, recorded)])

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        """Applied files that the release still has. Older ones may be gone, and earlier texts of a repeatable one."""
        recorded = self.named(recorded)
        here = frozenset(one for one in recorded if one in self.revisions)
        newest = max(map(sql_names.version_of, here), default=())
        self._known([one for one in recorded if one not in here and sql_names.version_of(one) > newest])
        return here

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        found = super().pending(recorded, target)
        newest = max(self.current(recorded), key=sql_names.version_of, default="")
        late = [one for one in found if () < sql_names.version_of(one.revision) < sql_names.version_of(newest)]
        # dbmate applies what another branch brought, whatever its time.
        if late and self.tool != "dbmate":
            raise DatabaseError(
                f"{late[0].file} is not applied, but {newest}, which comes after it, is; give it a number after"
                f" {newest}"
            )
        return found

    def apply(self, revision: Revision) -> Command:
        name = revision.revision.replace("'", "''")
        row = f"INSERT INTO {_TABLE} (revision, sha256) VALUES ('{name}', '{revision.sha256}');\n"
        script = self._file(revision).up()
        return self._command(f"{_OPEN}{script.text}{row}", script.whole)

    def revert(self, revision: Revision) -> Command:
        script = self._file(revision).down()
        name = self.known_as(revision.revision).replace("'", "''")
        row = f"DELETE FROM {_TABLE} WHERE revision = '{name}';\n"
        return self._command(f"{_OPEN}{script.text}{row}", script.whole)

    def sentence(self, output: str) -> str:
        return sql_text.server_sentence(output)

    def _file(self, revision: Revision) -> SqlFile:
        return next(one for one in self.files if one.name == revision.revision)

    def _command(self, script: str, whole: bool) -> Command:
        argv = (*_PSQL, *(["--single-transaction"] if whole else []), "--file", "-")
        return Command(argv, self.directory, libpq=True, send=script)


class SqlFile:
    """One migration: the file that applies it, and what undoes it, in the same file or in another one."""

    def __init__(self, directory: str, path: str, form: str, named: sql_names.Named) -> None:
        self.directory, self.path, self.form, self.named = directory, path, form, named
        self.file = os.path.join(path, named.file)
        self.content = python_files.content(os.path.join(directory, self.file))
        self.tool, self.problem = "", ""
        self.sha256 = fingerprint.PREFIX + sha256(self.content)
        try:
            self.tool = self._parts(self.content, self.file).tool
            self.sha256 = fingerprint.of_sql(self.up().statements)
        except DatabaseError as error:
            self.problem = str(error)
        # A repeatable one runs again when its statements have changed, so it has another name then.
        again = f".{self.sha256.partition(':')[2][:8]}" if named.repeatable else ""
        self.name = named.name + again

    def revision(self, parents: tuple[str, ...]) -> Revision:
        text = "" if self.problem else sql_text.decoded(self.content, self.file)
        script = Script((), True) if self.problem else self.up()
        return Revision(
            revision=self.name,
            parents=parents,
            phase=sql_text.told(text, self.file)["phase"],
            description=sql_text.description(text),
            concurrent=sql_text.concurrent(list(script.statements)),
            file=self.file,
            words=sql_text.words(list(script.statements)),
            transactional=script.whole,
            recorded_apart=not script.whole,
            sha256=self.sha256,
            file_sha256=sha256(self.content),
            problem=self.problem,
        )

    def up(self) -> Script:
        return self._script(self._parts(self.content, self.file).up, self.content, self.file)

    def down(self) -> Script:
        part, content, file = self._parts(self.content, self.file).down, self.content, self.file
        if self.named.down:
            file = os.path.join(self.path, self.named.down)
            content = python_files.content(os.path.join(self.directory, file))
            part = self._parts(content, file).up
        script = self._script(part, content, file) if part else Script((), True)
        if not script.statements:
            raise DatabaseError(
                f"{self.name} cannot be reverted: there is no {self.named.name}.down.sql beside {self.file}, and no SQL"
                " that undoes it in the file; write that, or a new migration"
            )
        return script

    def _parts(self, content: bytes, file: str) -> sql_parts.Parts:
        return sql_parts.split(sql_text.decoded(content, file), file)

    def _script(self, part: sql_parts.Part, content: bytes, file: str) -> Script:
        told = sql_text.told(sql_text.decoded(content, file), file)
        whole = part.whole and told["transaction"] == "one" and not self._configured_alone()
        # Where Gradual begins no transaction, the file's own one stays.
        part = sql_parts.unwrapped(part, file) if whole else part
        found = sql_text.statements(part.text, file)
        self._refuse_placeholders(part.text, file)
        controls = sql_text.controls_transactions(found)
        if self.form != sql_names.NUMBERED:
            # Their tools run a file as it is, or find out by themselves.
            return Script(tuple(found), whole and not controls and not sql_text.runs_alone(found))
        if whole and sql_text.concurrent(found):
            raise DatabaseError(
                f"{file} uses CONCURRENTLY, which cannot run in a transaction; write"
                f" {sql_parts.NO_TRANSACTION[self.tool]}"
            )
        if whole and controls:
            raise DatabaseError(
                f"{file} has {' '.join(controls[0].split())[:40]!r}, but Gradual runs each file in one transaction;"
                f" remove that statement, or write {sql_parts.NO_TRANSACTION[self.tool]}"
            )
        return Script(tuple(found), whole)

    def _configured_alone(self) -> bool:
        """Flyway's script configuration."""
        beside = os.path.join(self.directory, self.file + ".conf")
        if self.form != sql_names.FLYWAY or not os.path.isfile(beside):
            return False
        return bool(re.search(rb"(?mi)^\s*executeInTransaction\s*=\s*false\b", python_files.content(beside)))

    def _refuse_placeholders(self, text: str, file: str) -> None:
        match = _PLACEHOLDER.search(text) if self.form == sql_names.FLYWAY else None
        if match:
            raise DatabaseError(
                f"{file} has {match[0]}, which Flyway would replace, but Gradual does not; write the value"
            )


def _only_tool(files: Sequence[SqlFile]) -> str:
    """The tool whose comments the files have, or "" for none. Refuses those of several."""
    found = {one.tool: one.file for one in files if not one.problem}
    if len(found) > 1:
        shown = " and ".join(f"{file} ({tool or 'no such comments'})" for tool, file in sorted(found.items()))
        raise DatabaseError(
            f"SQL files have comments of different tools that divide them: {shown}; write all with those of one tool"
        )
    return next(iter(found), "")
