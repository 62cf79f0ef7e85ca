# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program of its own (`python -I offline.py`): Alembic's offline mode for single revision files, without the
release's env.py.

Revision files are the release's code. They run here without privileges where we have any to give up, without an
environment, without a database, and
may open no connection and start no program. That keeps accidents off; it is no jail for hostile code, which would run
on every host anyway.

In: JSON on standard input, {directory, files: [[revision, path]], uid, gid (null: stay who we are)}.
Out: one JSON line a revision, {revision, writes: [[sql, line, transaction]], wrote, made: [[line, column]], asked:
bool, failed: [line, reason] or null}.
made: where each call in the file ends that was made; wrote: of those, the ones during which a statement was written.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
from types import FrameType
from typing import Any, Iterator

MOST_WRITES = 20_000
OURS = (
    "alembic.op",
    "alembic.operations",
    "alembic.runtime.migration",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "encodings.idna",
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


class Answer:
    """What a database says that is not there: nothing."""

    rowcount = 0
    returns_rows = False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def scalar(self) -> None:
        return None

    first = fetchone = one_or_none = scalar_one_or_none = scalar

    def scalar_one(self) -> int:
        return 0

    def fetchall(self) -> list[Any]:
        return []

    fetchmany = all = fetchall

    def scalars(self, *_arguments: Any) -> Answer:
        return self

    mappings = unique = scalars


class Recorder:
    """Stands where op.get_bind() gives a connection: writes down what is executed, and answers nothing."""

    def __init__(self, tape: Tape, dialect: Any) -> None:
        self.tape, self.dialect = tape, dialect

    def execute(self, statement: Any, parameters: Any = None, **_more: Any) -> Answer:
        from sqlalchemy import text

        self.tape.asked = True
        clause = text(statement) if isinstance(statement, str) else statement
        if isinstance(parameters, dict) and hasattr(clause, "bindparams"):
            clause = clause.bindparams(**parameters)
        self.tape.write(str(clause.compile(dialect=self.dialect, compile_kwargs={"literal_binds": True})))
        return Answer()

    exec_driver_sql = execute

    def scalar(self, statement: Any, parameters: Any = None, **_more: Any) -> None:
        self.execute(statement, parameters)

    def scalars(self, statement: Any, parameters: Any = None, **_more: Any) -> Answer:
        return self.execute(statement, parameters)

    def commit(self) -> None:
        """Does nothing: there is no transaction to end."""

    rollback = close = commit

    def execution_options(self, **_options: Any) -> Recorder:
        return self

    @contextlib.contextmanager
    def begin(self) -> Iterator[Recorder]:
        yield self

    begin_nested = begin


class Tape(io.StringIO):
    """Alembic's output buffer: each write is one statement, and comes from a line of the revision's file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.asked = file, False
        self.writes: list[tuple[str, int, int | None]] = []
        self.wrote: set[tuple[int, int]] = set()
        self.made: set[tuple[int, int]] = set()
        self.transaction: int | None = 1
        self.count = 1

    def write(self, text: str) -> int:
        word = text.strip().rstrip(";")
        if word == "COMMIT":
            self.transaction = None
        elif word == "BEGIN":
            self.count += 1
            self.transaction = self.count
        elif word:
            if len(self.writes) >= MOST_WRITES:
                raise RuntimeError(f"more than {MOST_WRITES} statements")
            self.writes.append((word, self.line(), self.transaction))
        return len(text)

    def line(self) -> int:
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self.file:
                self.wrote.add(place(frame))
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return 1

    def called(self, frame: FrameType, event: str, _what: Any) -> None:
        """For sys.setprofile: remember the calls that the revision's file makes."""
        caller = frame.f_back if event == "call" else frame if event == "c_call" else None
        if caller is not None and caller.f_code.co_filename == self.file:
            self.made.add(place(caller))


def place(frame: FrameType) -> tuple[int, int]:
    """(line, column) where the call ends that a frame is in the middle of: no two calls end at the same place."""
    _first, last, _begin, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return last or 0, end or 0


def play(revision: str, file: str, number: int) -> dict[str, Any]:
    """Run upgrade() of one file in offline mode."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    tape = Tape(file)
    failed = None
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={"as_sql": True, "literal_binds": True, "output_buffer": tape, "transactional_ddl": True},
    )
    recorder = Recorder(tape, context.dialect)
    context.impl.connection = context.connection = recorder  # type: ignore[assignment]
    try:
        spec = importlib.util.spec_from_file_location(f"revision_{number}", file)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        with Operations.context(context):
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            sys.setprofile(tape.called)
            module.upgrade()
    except (Exception, SystemExit) as error:
        failed = [_line_of(error, file), " ".join(f"{type(error).__name__}: {error}".split())[:300]]
    finally:
        sys.setprofile(None)
    told = {
        "writes": tape.writes,
        "wrote": sorted(tape.wrote),
        "made": sorted(tape.made),
        "asked": tape.asked,
        "failed": failed,
    }
    return {"revision": revision, **told}


def _line_of(error: BaseException, file: str) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def wanted(files: list[list[str]]) -> set[str]:
    """What the Python files beside the revisions import; those of the release itself are not on the path yet, and are
    not found."""
    found: set[str] = set()
    for folder in {os.path.dirname(os.path.dirname(file)) for _revision, file in files}:
        for place, _folders, names in os.walk(folder):
            for name in names:
                if name.endswith(".py"):
                    with (
                        open(os.path.join(place, name), encoding="utf-8", errors="replace") as source,
                        contextlib.suppress(SyntaxError, ValueError),
                    ):
                        for node in ast.walk(ast.parse(source.read())):
                            if isinstance(node, ast.Import):
                                found.update(one.name for one in node.names)
                            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                                found.add(node.module)
    return found


def quoted(value: Any) -> str:
    """Any value as an SQL text."""
    return "'" + str(value).replace("'", "''") + "'"


def refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    """Refuse connections and other programs."""
    if event in FORBIDDEN:
        raise PermissionError(f"a revision may not do this while it is only read ({event})")


def main() -> None:
    """See above."""
    task = json.load(sys.stdin)
    # What the revisions print must not mix with our output.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Before privileges go, since our own libraries may lie where only we can read: they, and what the revisions want of
    # them.
    for name in (*OURS, *wanted(task["files"])):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    from sqlalchemy.types import NullType, TypeEngine

    # The values do not matter here, but a column without a type could not write any.
    TypeEngine.literal_processor = NullType.literal_processor = lambda _type, _dialect: quoted  # type: ignore[method-assign,assignment]

    if task["uid"] is not None:
        os.setgroups([])
        os.setgid(task["gid"])
        os.setuid(task["uid"])
    sys.path.insert(0, task["directory"])
    sys.dont_write_bytecode = True
    os.chdir(task["directory"])
    sys.addaudithook(refuse)
    for number, (revision, file) in enumerate(task["files"]):
        answer.write(json.dumps(play(revision, file, number)) + "\n")
        answer.flush()


if __name__ == "__main__":
    main()
