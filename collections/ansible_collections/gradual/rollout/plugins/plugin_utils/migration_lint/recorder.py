# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stands where a revision of Alembic expects the database's connection: writes down what is executed."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.tape import Tape

# Parameters in the text of a statement: of the database's driver, and as SQLAlchemy writes them.
DRIVER = re.compile(r"%s|%\(\w+\)s")
# A query that has one row on an empty database too: COUNT of everything, without other columns.
COUNTS = re.compile(r"\s*SELECT\s+COUNT\s*\([^(),]*\)(?!\s*,)(?!.*\bGROUP\s+BY\b)", re.IGNORECASE | re.DOTALL)
NAMED = re.compile(r"(?<![:\w]):\w+\b")


class Answer:
    """What a database says that is not there: no rows, or one zero if they are counted. Whoever looks at it has asked
    the database."""

    returns_rows = False

    def __init__(self, tape: Tape, sql: str = "") -> None:
        self._tape = tape
        self._rows = [(0,)] if COUNTS.match(sql) else []

    def _all(self, *_arguments: Any, **_more: Any) -> list[Any]:
        self._tape.asked = True
        return list(self._rows)

    def _first(self, *_arguments: Any, **_more: Any) -> Any:
        return next(iter(self._all()), None)

    def _value(self, *_arguments: Any, **_more: Any) -> Any:
        return next((row[0] for row in self._all()), None)

    def scalar_one(self) -> int:
        self._tape.asked = True
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    rowcount = property(scalar_one)
    scalar = scalar_one_or_none = _value
    first = fetchone = one_or_none = _first
    fetchall = fetchmany = all = _all

    def scalars(self, *_arguments: Any) -> Answer:
        return self

    mappings = unique = tuples = scalars

    def close(self) -> None:
        """Does nothing: there is no cursor."""


class Inspection:
    """What sqlalchemy.inspect(op.get_bind()) returns: an empty database."""

    def __init__(self, connection: Recorder) -> None:
        self._tape, self.bind = connection.tape, connection

    def _inspection_context(self) -> contextlib.AbstractContextManager[Inspection]:
        """For Table(…, autoload_with=bind)."""
        return contextlib.nullcontext(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def answer(*_arguments: Any, **_more: Any) -> Any:
            self._tape.asked = True
            return False if name.startswith("has_") else {} if name == "get_pk_constraint" else []

        return answer


class Recorder:
    """Stands where op.get_bind() gives a connection: writes down what is executed, and answers nothing."""

    name = "postgresql"

    def __init__(self, tape: Tape, dialect: Any) -> None:
        self.tape, self.dialect = tape, dialect

    @property
    def engine(self) -> Recorder:
        return self

    def execute(self, statement: Any, parameters: Any = None, **_more: Any) -> Answer:
        from sqlalchemy import text

        clause = text(statement) if isinstance(statement, str) else statement
        sql = rendered(bound(clause, parameters), self.dialect)
        self.tape.write(sql)
        return Answer(self.tape, sql)

    def exec_driver_sql(self, statement: str, parameters: Any = None, **_more: Any) -> Answer:
        self.tape.write(DRIVER.sub("NULL", statement).replace("%%", "%") if parameters else statement)
        return Answer(self.tape, statement)

    def scalar(self, statement: Any, parameters: Any = None, **_more: Any) -> Any:
        return self.execute(statement, parameters).scalar()

    def scalars(self, statement: Any, parameters: Any = None, **_more: Any) -> Answer:
        return self.execute(statement, parameters)

    def _run_ddl_visitor(self, visitor: Any, element: Any, **options: Any) -> None:
        """For Enum.create(bind) and Table.create(bind): with checkfirst, SQLAlchemy asks whether the object is there,
        so that nobody knows whether the statement runs."""
        asks = bool(options.pop("checkfirst", False))
        with self.tape.uncertain(asks):
            visitor(dialect=self.dialect, connection=self, checkfirst=False, **options).traverse_single(element)

    def schema_for_object(self, element: Any) -> Any:
        return element.schema

    def commit(self) -> None:
        """Does nothing: there is no transaction to end."""

    rollback = close = commit

    def execution_options(self, **_options: Any) -> Recorder:
        return self

    def connect(self, **_options: Any) -> Recorder:
        return self

    get_transaction = get_nested_transaction = connect

    def in_transaction(self) -> bool:
        return True

    def in_nested_transaction(self) -> bool:
        return False

    is_active = True
    closed = False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_details: object) -> None:
        """Does nothing: there is no transaction to end."""

    def begin(self) -> Recorder:
        return self

    begin_nested = begin


def answered(state: Any) -> Any:
    """What a session of SQLAlchemy's ORM gets for a statement on a Recorder: its listener for do_orm_execute.

    The ORM makes objects of the answer in a way that only its own results know, so it gets one of those: no row, or
    one zero if it counts.
    """
    from sqlalchemy import func
    from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

    recorder = state.session.get_bind(**state.bind_arguments)
    if not isinstance(recorder, Recorder) or not state.is_orm_statement:
        return None
    recorder.execute(state.statement, state.parameters)
    if not state.is_select:
        return Answer(recorder.tape)
    recorder.tape.asked = True
    columns = [one["expr"] for one in state.statement.column_descriptions]
    counts = len(columns) == 1 and isinstance(columns[0], type(func.count()))
    names = [str(number) for number in range(len(columns))]
    return IteratorResult(SimpleResultMetaData(names), iter([(0,)] if counts else []))


def bound(clause: Any, parameters: Any) -> Any:
    """A statement with its parameters; of many rows the first, since the statement is the same."""
    from sqlalchemy.sql.dml import Insert, Update
    from sqlalchemy.sql.elements import TextClause

    one = parameters[0] if isinstance(parameters, (list, tuple)) and parameters else parameters
    if not isinstance(one, dict) or not one:
        return clause
    if isinstance(clause, TextClause):
        return clause.bindparams(**one)
    return clause.values(**one) if isinstance(clause, (Insert, Update)) else clause.params(**one)


def rendered(clause: Any, dialect: Any) -> str:
    """The SQL of a statement. A parameter without a value is NULL."""
    from sqlalchemy.exc import CompileError

    try:
        return str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    except CompileError:
        return NAMED.sub("NULL", str(clause.compile(dialect=dialect)))
