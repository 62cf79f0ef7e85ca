# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An Alembic revision with each statement in a try of its own, so that what fails hides nothing but itself."""

from __future__ import annotations

import ast
from typing import Iterator


def guarded(tree: ast.Module) -> ast.Module:
    """The file with each statement in a try of its own, so that what fails hides nothing but itself.

    Bodies of the file's own try statements stay, since their handlers want the exception.
    """
    tree.body = [
        node
        if _is_docstring(node) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        else _tried(node, "gradual_lack" if isinstance(node, (ast.Import, ast.ImportFrom)) else "gradual_fail")
        for node in _inner(tree.body)
    ]
    return ast.fix_missing_locations(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _inner(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements whose own blocks are guarded. A while loop is not: without what failed it might never end."""
    for node in body:
        for name in ("body", "orelse") if isinstance(node, (ast.If, ast.For)) else ("body",):
            if isinstance(node, (ast.FunctionDef, ast.With, ast.If, ast.For)):
                setattr(node, name, [_tried(one, "gradual_fail") for one in _inner(getattr(node, name))])
    return body


def _binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement binds."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            yield one.id
        elif isinstance(one, ast.alias):
            yield (one.asname or one.name).split(".")[0]
        elif isinstance(one, (ast.FunctionDef, ast.ClassDef)):
            yield one.name


def _tried(node: ast.stmt, handler: str) -> ast.stmt:
    """try: node; except …: handler. The handler has no width, so that it is taken for no call of the file."""
    if isinstance(node, (ast.Raise, ast.Global, ast.Nonlocal, ast.FunctionDef, ast.Pass)):
        return node
    names = " ".join(_binds(node))
    whole = ast.parse(
        f"try:\n  pass\nexcept (Exception, SystemExit) as gradual_error:\n  {handler}(gradual_error, {names!r})"
    ).body[0]
    for one in ast.walk(whole):
        if isinstance(one, (ast.stmt, ast.expr, ast.excepthandler)):
            one.lineno = one.end_lineno = node.lineno
            one.col_offset = one.end_col_offset = 0
    whole.body = [node]  # type: ignore[attr-defined]
    return whole
