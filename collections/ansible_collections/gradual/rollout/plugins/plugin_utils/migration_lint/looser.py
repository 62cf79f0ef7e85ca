# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether one CHECK follows from another: what replaces it then refuses nothing that was allowed."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import column_of, kind

_UP, _DOWN = (">", ">="), ("<", "<=")


def follows(new: Any, old: Any) -> bool:
    """Whether every row that satisfies `old` satisfies `new`; False if their text does not show it."""
    if old is None or new is None:
        return False
    if _is(new, "AND_EXPR"):
        return all(follows(one, old) for one in new.args)
    if _is(old, "OR_EXPR"):
        return all(follows(new, one) for one in old.args)
    if _is(new, "OR_EXPR") and any(follows(one, old) for one in new.args):
        return True
    if _is(old, "AND_EXPR"):
        return any(follows(new, one) for one in old.args)
    return _listed(new, old) or _compared(new, old)


def _is(node: Any, operator: str) -> bool:
    return kind(node) == "BoolExpr" and bool(node.boolop.name == operator)


def _plain(node: Any) -> Any:
    while kind(node) == "TypeCast":
        node = node.arg
    return node


def _column(node: Any) -> str:
    bare = _plain(node)
    return column_of(bare) if kind(bare) == "ColumnRef" else ""


def _value(node: Any) -> Any:
    value = getattr(_plain(node), "val", None)
    number = getattr(value, "ival", getattr(value, "fval", None))
    return float(number) if number is not None else getattr(value, "sval", None)


def _values(test: Any) -> frozenset[Any]:
    """The values that `column = value`, IN or = ANY (ARRAY[…]) lets pass; none if it is another test."""
    if kind(test) != "A_Expr" or test.name[-1].sval != "=":
        return frozenset()
    right = _plain(test.rexpr)
    many = {"AEXPR_IN": right, "AEXPR_OP_ANY": getattr(right, "elements", None), "AEXPR_OP": (right,)}
    found = [_value(one) for one in many.get(test.kind.name) or ()]
    return frozenset(found) if None not in found else frozenset()


def _listed(new: Any, old: Any) -> bool:
    before = _values(old)
    return bool(before) and _column(old.lexpr) != "" and _of_same(new, old) and before <= _values(new)


def _of_same(new: Any, old: Any) -> bool:
    return kind(new) == "A_Expr" and _column(new.lexpr) == _column(old.lexpr)


def _compared(new: Any, old: Any) -> bool:
    """column > 0 follows from column > 5 and from column >= 1."""
    if kind(old) != "A_Expr" or not _of_same(new, old) or not _column(old.lexpr):
        return False
    limit, least, after, before = _value(new.rexpr), _value(old.rexpr), new.name[-1].sval, old.name[-1].sval
    if not isinstance(limit, float) or not isinstance(least, float):
        return False
    if after in _UP and before in _UP:
        return limit < least or (limit == least and (after == ">=" or before == ">"))
    if after in _DOWN and before in _DOWN:
        return limit > least or (limit == least and (after == "<=" or before == "<"))
    return False
