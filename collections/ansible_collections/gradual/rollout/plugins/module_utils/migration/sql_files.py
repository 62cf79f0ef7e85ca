# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Adapter for plain SQL files, `0001_orders.sql` and optionally `0001_orders.down.sql`: psql runs them, and Gradual
keeps the table of applied ones.

A file and its row in that table are one transaction, unless the file asks for none.
"""

from __future__ import annotations

import os
import re
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import sql_text
from ansible_collections.gradual.rollout.plugins.module_utils.migration.graph import Graph, sha256
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_NAME = re.compile(r"(?P<number>\d+)_[A-Za-z0-9_-]+")
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


class SqlFiles(Graph):
    """The files of one folder of the release, in the order of their numbers."""

    name = "sql"

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.path = path
        self.revisions = _read(directory, path)

    def recorded(self, session: Session) -> list[str]:
        return revisions.sql_files(session)

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        found = super().pending(recorded, target)
        done = self.current(recorded)
        late = [one for one in found if any(_number(one.revision) < _number(other) for other in done)]
        if late:
            newest = max(done, key=_number)
            raise DatabaseError(
                f"{late[0].file} is not applied, but {newest}, which comes after it, is; give it a number after"
                f" {newest}"
            )
        return found

    def apply(self, revision: Revision) -> Command:
        row = f"INSERT INTO {_TABLE} (revision, sha256) VALUES ('{revision.revision}', '{revision.sha256}');\n"
        return self._command(f"{_OPEN}\\i {_quoted(revision.file)}\n{row}", revision.transactional)

    def revert(self, revision: Revision) -> Command:
        down = os.path.join(self.path, f"{revision.revision}.down.sql")
        if not os.path.isfile(os.path.join(self.directory, down)):
            raise DatabaseError(
                f"there is no {down} in {self.directory}, so {revision.revision} cannot be reverted; write that file,"
                " or a new migration"
            )
        found = _file(self.directory, down)
        row = f"DELETE FROM {_TABLE} WHERE revision = '{revision.revision}';\n"
        return self._command(f"{_OPEN}\\i {_quoted(down)}\n{row}", found.transactional)

    def sentence(self, output: str) -> str:
        return sql_text.server_sentence(output)

    def _command(self, script: str, transactional: bool) -> Command:
        argv = (*_PSQL, *(["--single-transaction"] if transactional else []), "--file", "-")
        return Command(argv, self.directory, libpq=True, send=script)


def _number(name: str) -> int:
    return int(name.partition("_")[0])


def _quoted(path: str) -> str:
    """A file's name as an argument of psql's \\i, relative to the release."""
    return "'" + path.replace("\\", "\\\\").replace("'", "''") + "'"


def _read(directory: str, path: str) -> dict[str, Revision]:
    folder = os.path.join(directory, path)
    if not os.path.isdir(folder):
        raise DatabaseError(f"there is no folder {folder}; write as path the folder of the SQL files in the release")
    names = sorted(
        (name[:-4] for name in os.listdir(folder) if name.endswith(".sql") and not name.endswith(".down.sql")),
        key=lambda name: (_number(name) if _NAME.fullmatch(name) else -1, name),
    )
    found: dict[str, Revision] = {}
    before: tuple[str, ...] = ()
    for name in names:
        if not _NAME.fullmatch(name):
            raise DatabaseError(
                f"{name}.sql in {folder} has no number; expected a name like 0001_{name or 'orders'}.sql, of letters,"
                " digits, - and _"
            )
        if before and _number(before[0]) == _number(name):
            raise DatabaseError(
                f"{before[0]}.sql and {name}.sql in {folder} have the same number; give one of them another number"
            )
        found[name] = _file(directory, os.path.join(path, f"{name}.sql"), before)
        before = (name,)
    return found


def _file(directory: str, file: str, parents: tuple[str, ...] = ()) -> Revision:
    with open(os.path.join(directory, file), "rb") as opened:
        content = opened.read()
    text = content.decode("utf-8", "replace")
    told = sql_text.told(text, file)
    found = sql_text.statements(text, file)
    transactional = told["transaction"] == "one"
    concurrent = sql_text.concurrent(found)
    if transactional and concurrent:
        raise DatabaseError(
            f"{file} uses CONCURRENTLY, which cannot run in a transaction; write `-- gradual: transaction=none` at its"
            " top"
        )
    if transactional and sql_text.controls_transactions(found):
        seen = " ".join(sql_text.controls_transactions(found)[0].split())[:40]
        raise DatabaseError(
            f"{file} has {seen!r}, but Gradual runs each file in one transaction; remove that statement, or write `--"
            " gradual: transaction=none` at the file's top"
        )
    return Revision(
        revision=os.path.basename(file)[:-4],
        parents=parents,
        phase=told["phase"],
        description=sql_text.description(text),
        concurrent=concurrent,
        file=file,
        words=sql_text.words(found),
        transactional=transactional,
        recorded_apart=not transactional,
        sha256=sha256(content),
    )
