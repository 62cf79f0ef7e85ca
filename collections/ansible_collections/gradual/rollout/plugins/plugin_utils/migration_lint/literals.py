# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the SQL texts of a Python migration without running it. SQL that is built at run time is not found."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Iterator

_EXECUTING = frozenset(("execute", "exec_driver_sql", "scalar", "scalars", "executemany"))
_TEXT = frozenset(("text", "DDL"))
# Calls of Alembic's op that change nothing by themselves.
_QUIET = frozenset(("execute", "get_bind", "get_context", "f", "inline_literal", "batch_alter_table", "bulk_insert"))
# What a revision compares its dialect's name with.
_DATABASES = frozenset(("postgresql", "mysql", "mariadb", "sqlite", "mssql", "oracle"))
# `:name` of sqlalchemy.text is no SQL; a parameter in its place is. A cast (::) and a quoted colon stay.
_BOUND = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)\b(?!:)")


@dataclass(frozen=True)
class Literal:
    """A call that executes SQL: the line where it begins, (line, column) where it ends; `sql` is None when it is not a
    text in the file."""

    line: int
    end: tuple[int, int]
    sql: str | None


def literals(source: str, file: str) -> list[Literal]:
    """Every call that executes SQL, outside of downgrade()."""
    tree = ast.parse(source, file)
    known = _constants(tree)
    found = []
    for node in reached(tree):
        given = (
            [*node.args, *(one.value for one in node.keywords)]
            if isinstance(node, ast.Call) and _name(node.func) in _EXECUTING
            else []
        )
        if isinstance(node, ast.Call) and given:
            sql = _text(given[0], known)
            found.append(Literal(node.lineno, _end(node), None if sql is None else _BOUND.sub("NULL", sql)))
    return found


def operations(source: str, file: str) -> Iterator[tuple[int, tuple[int, int], str]]:
    """(line, (line, column) where the call ends, call) of what is done by Alembic's own operations, whose SQL only
    Alembic can write."""
    for node in reached(ast.parse(source, file)):
        called = node.func if isinstance(node, ast.Call) else None
        owner = called.value if isinstance(called, ast.Attribute) else None
        if not isinstance(node, ast.Call) or not isinstance(called, ast.Attribute) or called.attr in _QUIET:
            continue
        if isinstance(owner, ast.Name) and owner.id in ("op", "batch_op", "batch"):
            yield called.lineno, _end(node), f"{owner.id}.{called.attr}"


def _end(node: ast.Call) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def autocommits(source: str, file: str) -> bool:
    """Whether the file leaves its transaction."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == "autocommit_block" for node in reached(ast.parse(source, file))
    )


def reached(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, outside of downgrade(), and of branches for other databases."""
    for node in _live(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade"):
            yield node
            yield from reached(node)


def _live(tree: ast.AST) -> Iterator[ast.AST]:
    chosen = _holds(tree.test) if isinstance(tree, (ast.If, ast.IfExp)) else None
    dead = {True: "orelse", False: "body"}.get(chosen) if chosen is not None else None
    for name, value in ast.iter_fields(tree):
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST) and name != dead:
                yield node


def _holds(test: ast.expr) -> bool | None:
    """Whether a comparison of a dialect's name with constants holds on PostgreSQL; None for another condition."""
    if isinstance(test, ast.BoolOp):
        # One part that is false decides an `and`, one that is true an `or`.
        decisive = isinstance(test.op, ast.Or)
        parts = [_holds(one) for one in test.values]
        return decisive if decisive in parts else None if None in parts else not decisive
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _holds(test.operand)
        return None if inner is None else not inner
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return None
    words = {one.value for one in ast.walk(test.comparators[0]) if isinstance(one, ast.Constant)}
    if not words or not words <= _DATABASES:
        return None
    here = "postgresql" in words
    return here if isinstance(test.ops[0], (ast.Eq, ast.In)) else not here


def _constants(tree: ast.Module) -> dict[str, str]:
    """Names that always have the same text."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for node in reached(tree):
        if not (isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                value = _text(node.value, known)
                if value is None or target.id in known:
                    twice.add(target.id)
                else:
                    known[target.id] = value
    return {name: value for name, value in known.items() if name not in twice}


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _text(node: ast.expr, known: dict[str, str]) -> str | None:
    """The text of an expression; None when it is built at run time."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Call) and _name(node.func) in _TEXT and node.args:
        return _text(node.args[0], known)
    if (
        isinstance(node, ast.Call)
        and _name(node.func) in ("bindparams", "execution_options")
        and isinstance(node.func, ast.Attribute)
    ):
        return _text(node.func.value, known)
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        texts = [_text(part, known) for part in parts]
        return None if None in texts else "".join(str(one) for one in texts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left, known), _text(node.right, known)
        return None if left is None or right is None else left + right
    return None
