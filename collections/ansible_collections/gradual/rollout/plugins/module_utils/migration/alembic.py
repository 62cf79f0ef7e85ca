# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Adapter for Alembic: Gradual reads revision files as text and never imports them; Alembic runs in the release's own
virtual environment."""

from __future__ import annotations

import ast
import os
import re
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    alembic_folders,
    fingerprint,
    python_files,
    worker,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.graph import Graph, missing_parents, sha256
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import (
    PHASES,
    UNKNOWN,
    Command,
    Revision,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

_ERROR_LINE = re.compile(
    r"^(?:[A-Za-z_][\w.]*\.)?(?:[A-Z]\w*(?:Error|Exception|Violation|Failure|Interrupt)|[A-Z]\w+): (?P<said>.+)$"
)
_CONCURRENT_SQL = re.compile(r"\b(CREATE|DROP|REINDEX|DETACH)\b.*\bCONCURRENTLY\b", re.IGNORECASE | re.DOTALL)
_CLASS = re.compile(r"^\((?:[\w.]+\.)?\w+\) ")

# Every session that the release opens gets our application_name and timeouts, whatever its env.py sets. Without them,
# nobody could tell who waits for whom, or find the session of a dead run. The release's folder is first on the path, as
# with `-m alembic`.
HOOK = f"""{worker.PROGRAM}
import contextlib, importlib, runpy
import alembic.command, alembic.config
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "connect")
def settle(connection, record):
    cursor = connection.cursor()
    for name, value in json.loads(os.environ["GRADUAL_SETTINGS"]).items():
        # Without parameters, whose form is another one in each driver.
        cursor.execute("SELECT set_config('%s', '%s', false)" % (name, str(value).replace("'", "''")))
    cursor.close()
    connection.commit()

# Loaded once for all steps, where the release has them.
for name in ("sqlalchemy.dialects.postgresql", "psycopg", "psycopg2"):
    with contextlib.suppress(Exception):
        importlib.import_module(name)

sys.argv[0] = "alembic"
serve()
runpy.run_module("alembic", run_name="__main__", alter_sys=True)
"""


def constants(tree: ast.Module) -> dict[str, object]:
    """Module-level names of a revision file with constant values."""
    found: dict[str, object] = {}
    for node in tree.body:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                try:
                    found[target.id] = ast.literal_eval(value)
                except ValueError:
                    continue
    return found


def _strings(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(str(one) for one in value) if isinstance(value, (tuple, list)) else ()


def parse(content: bytes, file: str) -> Revision | None:
    """The Revision of a file; None for a Python file without one."""
    with python_files.not_too_deep(file):
        return _revision(python_files.parsed(content, file), content, file)


def _revision(tree: ast.Module, content: bytes, file: str) -> Revision | None:
    found = constants(tree)
    if not isinstance(found.get("revision"), str):
        return None
    # An expression that is only a string is a docstring.
    talk = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in talk
    ]
    document = ast.get_docstring(tree) or ""
    phase = str(found.get("phase", UNKNOWN)).strip().lower()
    if "phase" in found and phase not in PHASES:
        raise DatabaseError(f"{file}: phase, got {found['phase']!r}, expected one of {', '.join(PHASES)}")
    concurrent = _concurrent(tree, texts)
    return Revision(
        revision=str(found["revision"]),
        parents=_strings(found.get("down_revision")) + _strings(found.get("depends_on")),
        phase=phase,
        description=document.splitlines()[0] if document else "",
        file=file,
        words=frozenset(word for text in texts for word in re.findall(r"\w+", text)),
        concurrent=concurrent,
        transactional=not concurrent and b"autocommit_block" not in content,
        sha256=fingerprint.of_python(tree),
        file_sha256=sha256(content),
    )


def _concurrent(tree: ast.Module, texts: Sequence[str]) -> bool:
    """Whether it uses CONCURRENTLY, in SQL or as Alembic's postgresql_concurrently=True. Comments do not count."""
    if any(_CONCURRENT_SQL.search(text) for text in texts):
        return True
    return any(
        isinstance(node, ast.keyword)
        and node.arg == "postgresql_concurrently"
        and not (isinstance(node.value, ast.Constant) and not node.value.value)
        for node in ast.walk(tree)
    )


class Alembic(Graph):
    """The revisions of a staged release, in `<path>/versions` or where its alembic.ini says (alembic_folders.py)."""

    name = "alembic"

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.revisions = _read(alembic_folders.of(directory, path), directory)

    def recorded(self, session: Session) -> list[str]:
        return revisions.alembic(session)

    def position(self, recorded: Sequence[str]) -> str | None:
        return ",".join(recorded) or None

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        """Alembic's table has only the heads, so add all their ancestors."""
        self._known(recorded)
        return self._behind(recorded)

    def ancestors(self, recorded: Sequence[str]) -> frozenset[str | None]:
        return frozenset(self.current(recorded)) | {None, self.position(recorded)}

    def resolve(self, target: str) -> list[str]:
        heads = self.heads()
        if target == "head" and len(heads) > 1:
            raise DatabaseError(
                f"there are several heads ({', '.join(heads)}); merge them with `alembic merge heads`, or write one as"
                " target"
            )
        return super().resolve(target)

    def apply(self, revision: Revision) -> Command:
        return self._command("upgrade", revision.revision)

    def revert(self, revision: Revision) -> Command:
        """Not to what it only depends on, nor to `base`, which would revert the other branches too."""
        file = os.path.join(self.directory, revision.file)
        down = _strings(constants(python_files.tree(file)).get("down_revision"))
        if len(down) > 1:
            raise DatabaseError(f"{revision.revision} is a merge; revert it by hand with alembic downgrade")
        return self._command("downgrade", down[0] if down else f"{revision.revision}@base")

    def sentence(self, output: str) -> str:
        return sentence(output)

    def _command(self, *words: str) -> Command:
        python = os.path.join(self.directory, ".venv", "bin", "python")
        return Command((python, "-c", HOOK, *words), self.directory, hook=3)


def _read(folders: Sequence[str], directory: str) -> dict[str, Revision]:
    found: dict[str, Revision] = {}
    for file in (os.path.join(folder, name) for folder in folders for name in python_files.listed(folder)):
        if not file.endswith(".py") or os.path.basename(file) == "__init__.py":
            continue
        one = parse(python_files.content(file), os.path.relpath(file, directory))
        if one is None:
            continue
        if one.revision in found:
            raise DatabaseError(f"{one.file} and {found[one.revision].file} have the same revision {one.revision!r}")
        found[one.revision] = one
    missing_parents(found)
    return found


def sentence(output: str) -> str:
    """The last error of a traceback with PostgreSQL's detail, without class names and SQL; else the last line."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("FAILED: "):
            return lines[number][len("FAILED: ") :].strip()
        match = _ERROR_LINE.match(lines[number])
        if match and not lines[number].startswith(("INFO", "DETAIL", "HINT", "CONTEXT", "LINE")):
            said = [_CLASS.sub("", match["said"]).strip()]
            said += [line.strip() for line in lines[number + 1 : number + 6] if line.startswith(("DETAIL:", "HINT:"))]
            return " ".join(said)
    return lines[-1].strip() if lines else "it printed nothing"
