# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a view returns, and whether another definition of it still returns the same to those who know the old one."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import ast
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import column_of, kind

# A view with one of these cannot be written to, and has other rows than without.
_SHAPES = ("distinctClause", "groupClause", "havingClause", "limitCount", "limitOffset")


def columns(view: Any) -> list[str] | None:
    """The names of a view's columns; None if they are not all in its text."""
    given = [str(one.sval) for one in view.aliases or ()]
    targets = _targets(view.query)
    if targets is None:
        return None
    found = [given[place] if place < len(given) else _named(one) for place, one in enumerate(targets)]
    return None if "" in found else found


def _targets(query: Any) -> list[Any] | None:
    while kind(query) == "SelectStmt" and query.op.name != "SETOP_NONE":
        query = query.larg
    return list(query.targetList or ()) if kind(query) == "SelectStmt" and not query.valuesLists else None


def _named(target: Any) -> str:
    """As FigureColname (parse_target.c) does for columns, casts and functions; "" for a star and all else."""
    if target.name:
        return str(target.name)
    value = target.val
    while kind(value) == "TypeCast":
        value = value.arg
    if kind(value) == "ColumnRef":
        return column_of(value)
    return str(value.funcname[-1].sval) if kind(value) == "FuncCall" else ""


def differs(old: Any, new: Any) -> str:
    """What old code gets otherwise from a view's new definition, "" for nothing that its text shows."""
    before, after = old.query, new.query
    if kind(before) != "SelectStmt" or kind(after) != "SelectStmt":
        return ""
    if before.op.name != after.op.name or any(_text(before, one) != _text(after, one) for one in _SHAPES):
        return "it has other rows, or can no longer be written to"
    if before.op.name == "SETOP_NONE" and _text(before, "whereClause") != _text(after, "whereClause"):
        return "its condition is another one"
    names, targets, later = columns(old), _targets(before), _targets(after)
    for place, one in enumerate(names or ()):
        if targets and later and place < len(later) and _same(targets[place].val) != _same(later[place].val):
            return f"its column {one} has another value"
    return ""


def _text(query: Any, part: str) -> str:
    return _same(getattr(query, part))


def _same(node: Any) -> str:
    """A tree as text, without where in the file it stood."""
    if isinstance(node, (list, tuple)):
        return f"({', '.join(_same(one) for one in node)})"
    if isinstance(node, ast.Node):
        keys = [key for key in node.__slots__ if "location" not in key]
        return f"{kind(node)}[{', '.join(_same(getattr(node, key)) for key in keys)}]"
    return repr(node)
