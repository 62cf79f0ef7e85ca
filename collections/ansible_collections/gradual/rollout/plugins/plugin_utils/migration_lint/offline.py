# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program of its own (sources.py starts it): Alembic's offline mode for single revision files, without the release's
env.py.

Revision files are the release's code. They run here without privileges where we have any to give up, without an
environment, without a database, and may open no connection and start no program. That keeps accidents off; it is no
jail for hostile code, which would run on every host anyway.

In: JSON on standard input, {directory, libraries: more places of the release's modules, files: [[revision, path]],
seconds: of computing, uid, gid (null: stay who we are)}.
Out: one JSON line a revision, {revision, writes: [[sql, line, transaction, certain, known]], wrote, made: [[line,
column]], asked: bool, failed: [[line, reason]]}.
certain, known: as in statements.Piece. asked: whether an answer of the database was looked at. made: where each call in
the file ends that was made; wrote: of those, the ones during which a statement was written.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import sys
import types
from typing import Any, Callable, ClassVar, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.guarded import guarded
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.recorder import (
    Inspection,
    Recorder,
    answered,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.tape import Tape

# How the import system reads a folder.
LOADERS = (
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
    (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
)
FORBIDDEN = (
    "socket.connect",
    "socket.bind",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
)


def play(revision: str, file: str, number: int) -> dict[str, Any]:
    """Run upgrade() of one file in offline mode. A statement that fails is told, and the next ones are run."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    tape = Tape(file)
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={"as_sql": True, "literal_binds": True, "output_buffer": tape, "transactional_ddl": True},
    )
    recorder = Recorder(tape, context.dialect)
    context.impl.connection = context.connection = recorder  # type: ignore[assignment]
    context.impl.alter_column = remembering(context.impl.alter_column, tape, context.dialect)  # type: ignore[method-assign]
    module = types.ModuleType(f"revision_{number}")
    module.__dict__.update(__file__=file, gradual_fail=tape.fail, gradual_lack=tape.lack)
    try:
        code = compile(guarded(python_files.tree(file)), file, "exec")
        with Operations.context(context):
            exec(code, module.__dict__)  # noqa: S102 (this is what the program is for)
            sys.setprofile(tape.called)
            module.upgrade()
    except (Exception, SystemExit) as error:
        tape.fail(error)
    finally:
        sys.setprofile(None)
    told = {
        "writes": tape.writes,
        "wrote": sorted(tape.wrote),
        "made": sorted(tape.made),
        "asked": tape.asked,
        "failed": sorted(tape.failed.items()),
    }
    return {"revision": revision, **told}


def remembering(alter_column: Callable[..., None], tape: Tape, dialect: Any) -> Callable[..., None]:
    """alter_column of Alembic's implementation; its statements come with the type that the column has."""
    from sqlalchemy.types import to_instance

    def remembered(table: str, column: str, **given: Any) -> None:
        existing, schema = given.get("existing_type"), given.get("schema")
        whole = str(table) if schema in (None, "public") else f"{schema}.{table}"
        with contextlib.suppress(Exception):
            if existing is not None:
                tape.known = [(whole, str(column), to_instance(existing).compile(dialect=dialect))]
        try:
            alter_column(table, column, **given)
        finally:
            tape.known = []

    return remembered


def keep(folders: Sequence[str]) -> None:
    """Let modules in these folders be imported after privileges are given up, wherever the folders lie.

    A controller's Python may be in a home that only its user enters. The folders stay open, and Linux leads to what is
    below an open folder without asking who may enter those above it.
    """
    opened = {
        os.path.join(one, ""): os.open(one, os.O_RDONLY | os.O_DIRECTORY) for one in folders if os.path.isdir(one)
    }

    def finder(path: str) -> Any:
        for start in sorted(opened, key=len, reverse=True):
            if os.path.join(path, "").startswith(start):
                inside = path[len(start) :]
                return importlib.machinery.FileFinder(f"/proc/self/fd/{opened[start]}/{inside}", *LOADERS)
        raise ImportError(path)

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()


class Lenient(importlib.abc.Loader):
    """Loads a module of the release, once. What a package's __init__ lacks here hides none of its modules."""

    failed: ClassVar[dict[str, Exception]] = {}

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ in self.failed:
            raise self.failed[module.__name__]
        try:
            self.loader.exec_module(module)
        except Exception as error:
            if not hasattr(module, "__path__"):
                self.failed[module.__name__] = error
                raise


class Packages(importlib.abc.MetaPathFinder):
    """Finds the release's own modules, for Lenient."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = tuple(os.path.join(one, "") for one in folders)

    def find_spec(self, name: str, path: Any, _target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None and str(spec.origin).startswith(self.folders):
            spec.loader = Lenient(spec.loader)
        return spec


def quoted(value: Any) -> str:
    """Any value as an SQL text."""
    return "'" + str(value).replace("'", "''") + "'"


def refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    """Refuse connections and other programs."""
    if event in FORBIDDEN:
        raise PermissionError(f"a revision may not do this while it is only read ({event})")


def register() -> None:
    """Let sqlalchemy.inspect(), Inspector.from_engine() and the ORM's sessions take a Recorder."""
    from sqlalchemy import event
    from sqlalchemy.engine.reflection import Inspector
    from sqlalchemy.inspection import _inspects
    from sqlalchemy.orm import Session

    _inspects(Recorder)(Inspection)
    Inspector.from_engine = Inspection  # type: ignore[assignment,method-assign]
    event.listen(Session, "do_orm_execute", answered)


def main() -> None:
    """See above."""
    task = json.load(sys.stdin)
    # One second more as the hard limit, so that the soft one sends SIGXCPU and not SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (task["seconds"], task["seconds"] + 1))
    # What the revisions print must not mix with our output.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from sqlalchemy.types import NullType, TypeEngine

    # The values do not matter here, but a column without a type could not write any.
    TypeEngine.literal_processor = NullType.literal_processor = lambda _type, _dialect: quoted  # type: ignore[method-assign,assignment]

    if task["uid"] is not None:
        keep(sys.path)
        os.setgroups([])
        os.setgid(task["gid"])
        os.setuid(task["uid"])
    sys.path.insert(0, task["directory"])
    # Behind our own libraries, which play the revisions.
    sys.path.extend(task["libraries"])
    sys.meta_path.insert(0, Packages([task["directory"], *task["libraries"]]))
    register()
    sys.dont_write_bytecode = True
    os.chdir(task["directory"])
    sys.addaudithook(refuse)
    for number, (revision, file) in enumerate(task["files"]):
        answer.write(json.dumps(play(revision, file, number)) + "\n")
        answer.flush()
