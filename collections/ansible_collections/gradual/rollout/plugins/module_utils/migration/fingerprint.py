# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Checksums of what a revision does. A comment or another layout is no edit of it. Pure functions."""

from __future__ import annotations

import ast
import hashlib
import re
from typing import Any, Sequence

# In front of each checksum: what it is of. Earlier versions of Gradual recorded one of the whole file, without any, and
# of_python of Django's files.
PREFIX = "statements:"
DJANGO = "operations:"
_LITERAL = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (\$(?:[A-Za-z_]\w*)?\$).*?\1""",
    re.VERBOSE | re.DOTALL,
)
# Names by which a file names its phase. It may be added later.
_PHASE = frozenset({"phase", "gradual_phase"})
# What a migration of Django says of its place among the others. Django's manual has it edited in applied files when
# squashed migrations take the place of others (howto "writing migrations", "Squashing migrations").
_PLACE = frozenset({"dependencies", "run_before", "replaces", "initial"})


def of_sql(statements: Sequence[str]) -> str:
    """Of statements without comments."""
    return _sum([_plain(one) for one in statements])


def of_python(tree: ast.Module) -> str:
    """Of a Python file, by its syntax tree: no comments, no docstrings, no layout, and no phase."""
    return _sum(_shape(tree, _PHASE))


def of_django(tree: ast.Module) -> str:
    """As of_python, and without the migration's place among the others."""
    return _sum(_shape(tree, _PHASE | _PLACE), DJANGO)


def kind(checksum: str) -> str:
    """What a checksum is of."""
    return checksum.rpartition(":")[0]


def _sum(value: Any, prefix: str = PREFIX) -> str:
    return prefix + hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).hexdigest()


def _plain(statement: str) -> list[str]:
    """A statement without the white space between its words; literals as they are."""
    parts: list[str] = []
    place = 0
    for literal in _LITERAL.finditer(statement):
        parts += [_close(statement[place : literal.start()]), literal[0]]
        place = literal.end()
    return [*parts, _close(statement[place:])]


def _close(text: str) -> str:
    return re.sub(r"\s*([^\w\s])\s*", r"\1", " ".join(text.split()))


def _shape(node: Any, silent: frozenset[str]) -> Any:
    """A syntax tree as lists that are the same in all versions of Python: fields by name, without empty ones. silent:
    names whose assignments do nothing to a database."""
    if isinstance(node, ast.JoinedStr):
        # Python 3.12 has empty texts here where other versions have none.
        parts = [one for one in node.values if not (isinstance(one, ast.Constant) and one.value == "")]
        return ["JoinedStr", _shape(parts, silent)]
    if isinstance(node, ast.AST):
        fields = [
            (name, _shape(value, silent)) for name, value in sorted(ast.iter_fields(node)) if value not in (None, [])
        ]
        return [type(node).__name__, [one for one in fields if one[0] not in ("ctx", "kind", "type_comment")]]
    if isinstance(node, list):
        return [_shape(one, silent) for one in node if not _silent(one, silent)]
    return ascii(node)


def _silent(node: Any, silent: frozenset[str]) -> bool:
    """Whether it does nothing to a database: a docstring, or one of these names."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    names = {ast.unparse(one) for one in _targets(node)}
    return bool(names) and names <= silent


def _targets(node: Any) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []
