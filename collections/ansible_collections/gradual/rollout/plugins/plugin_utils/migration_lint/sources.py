# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SQL of a release's revisions, on the controller: no database, and nothing of the release's env.py or settings is
run."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import signal
import subprocess
import sys
from typing import Any, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files, sql_parts, sql_text
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import django_files, offline
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.literals import (
    Literal,
    autocommits,
    literals,
    operations,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, Unseen

# For all revisions of a release together, in seconds; half a second is usual, and some for a release whose revisions
# import most of it. Computing, which a busy controller does not change, and all in all, for one that only waits.
COMPUTING = 60
PATIENCE = 300.0
# The folder of ansible_collections, for the program alone: the revisions shall not find it.
COLLECTIONS = os.path.abspath(os.path.join(os.path.dirname(offline.__file__), *[os.pardir] * 6))
PROGRAM = f"import sys; sys.path.insert(0, sys.argv[1]); from {offline.__name__} import main; del sys.path[0]; main()"


def sources(adapter: str, directory: str, revisions: Sequence[Revision], path: str = ".") -> list[Source]:
    """The revisions as they will run, in the order given. adapter, path: as in the manifest; directory: the unpacked
    release."""
    if adapter == "alembic":
        played, ended = (
            _played(directory, revisions)
            if _has_alembic()
            else ({}, "Alembic is not installed on the controller (pip install alembic)")
        )
        return [_alembic(directory, one, played.get(one.revision), ended) for one in revisions]
    if adapter == "django":
        return django_files.sources(directory, path, revisions)
    if adapter in ("sql", "sqitch"):
        return [_sql(directory, one, adapter) for one in revisions]
    raise DatabaseError(f"migration adapter: got {adapter!r}, and nothing here reads its migrations")


def _has_alembic() -> bool:
    return importlib.util.find_spec("alembic") is not None


def _sql(directory: str, revision: Revision, adapter: str) -> Source:
    """A file of SQL; sqitch begins no transaction by itself, psql does unless the file says otherwise. Lines of psql's
    own commands are not seen."""
    if revision.problem:
        return Source(revision.revision, revision.phase, revision.file, (), (Unseen("unseen", 1, revision.problem),))
    text = sql_text.decoded(python_files.content(os.path.join(directory, revision.file)), revision.file)
    if adapter == "sql":
        # Not what undoes it, nor a BEGIN and COMMIT around all of it where Gradual begins a transaction.
        part = sql_parts.split(text, revision.file).up
        text = (sql_parts.unwrapped(part, revision.file) if revision.transactional else part).text
    unseen = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("\\"):
            if line.split()[0] not in ("\\set", "\\echo", "\\qecho", "\\pset", "\\timing"):
                unseen.append(Unseen("unseen", number + 1, f"a psql command: {line}"))
            lines[number] = ""
    transaction = 1 if adapter == "sql" and revision.transactional else None
    return Source(
        revision.revision, revision.phase, revision.file, (Piece("\n".join(lines), 1, transaction),), tuple(unseen)
    )


def _played(directory: str, revisions: Sequence[Revision]) -> tuple[dict[str, dict[str, Any]], str]:
    """What offline.py tells of each revision, and how it ended; revisions that it did not come to are missing."""
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    files = [[one.revision, os.path.join(directory, one.file)] for one in revisions]
    task = {
        "directory": directory,
        "libraries": python_files.libraries(directory),
        "files": files,
        "seconds": COMPUTING,
        "uid": nobody.pw_uid if nobody else None,
        "gid": nobody.pw_gid if nobody else None,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROGRAM, COLLECTIONS],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={},
            cwd="/",
            start_new_session=True,
        )
        said = done.stdout
        ended = (
            f"offline mode was stopped after {COMPUTING} s of computing"
            if done.returncode == -signal.SIGXCPU
            else f"offline mode ended with exit status {done.returncode} before this revision."
            f" {' '.join(done.stderr.split())[-300:]}".strip()
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        ended = f"offline mode was stopped after {PATIENCE:.0f} s"
    found = {}
    for line in said.splitlines():
        try:
            told = json.loads(line)
            found[str(told["revision"])] = told
        except (ValueError, KeyError, TypeError):
            continue
    return found, ended


def _alembic(directory: str, revision: Revision, played: dict[str, Any] | None, ended: str) -> Source:
    """What offline mode wrote, and what stands in the file that it did not come to: a branch that it did not take, what
    an exception cut off."""
    text = python_files.text(os.path.join(directory, revision.file))
    unseen = []
    writes = played["writes"] if played else []
    where = "which offline mode did not come to"
    if played is None:
        unseen.append(Unseen("unseen", 1, f"only SQL that is text in the file was read: {ended}"))
    elif played["failed"]:
        where = "which offline mode did not come to"
        unseen += [
            Unseen(
                "unseen",
                line,
                f"offline mode could not run this statement ({reason}), so only its SQL that is text was read",
            )
            for line, reason in played["failed"]
        ]
    else:
        where = "in a branch that offline mode did not take"
    if played is not None and played["asked"]:
        unseen.append(Unseen("asks-database", min([one[1] for one in writes] or [1]), "op.get_bind()"))
    made = _places(played, "made")
    unseen += [
        Unseen("unseen", line, f"{call}, {where}")
        for line, end, call in operations(text, revision.file)
        if end not in made
    ]
    more, blind = _unvisited(
        literals(text, revision.file), _places(played, "wrote"), autocommits(text, revision.file), where
    )
    # What was made because of an answer may be there already when the answer is another one.
    pieces = [
        Piece(sql, line, transaction, certain, tuple((table, column, kind) for table, column, kind in known))
        for sql, line, transaction, certain, known in writes
    ]
    return Source(revision.revision, revision.phase, revision.file, (*pieces, *more), (*unseen, *blind))


def _places(played: dict[str, Any] | None, which: str) -> set[tuple[int, int]]:
    return {(line, column) for line, column in played[which]} if played else set()


def _unvisited(
    found: Sequence[Literal], wrote: set[tuple[int, int]], autocommit: bool, where: str
) -> tuple[list[Piece], list[Unseen]]:
    """Calls of the file that wrote nothing in offline mode: their SQL where it is written out, else that it was not
    seen."""
    pieces, blind = [], []
    for call in found:
        if call.end in wrote:
            continue
        if call.sql is None:
            blind.append(Unseen("unseen", call.line, f"SQL that is built at run time, {where}"))
        else:
            pieces.append(Piece(call.sql, call.line, None if autocommit else 1, certain=False))
    return pieces, blind
