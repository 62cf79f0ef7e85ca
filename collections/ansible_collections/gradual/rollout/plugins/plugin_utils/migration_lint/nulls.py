# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a CHECK accepts the rows that old code writes, which does not know the new columns: SQL's logic with NULL."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import column_of, kind

NULL, FILLED, MAYBE, TRUE, FALSE = "null", "filled", "maybe", "true", "false"
_NOT_STRICT = frozenset(("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_NULLIF"))
_NEGATED = {TRUE: FALSE, FALSE: TRUE}
# Functions that are NULL when an argument is.
_STRICT = frozenset(("lower", "upper", "length", "char_length", "octet_length", "abs", "round", "btrim", "trim",
                     "jsonb_typeof", "array_length", "cardinality", "date_trunc"))  # fmt: skip


def accepts(check: Any, value: Callable[[str], str]) -> bool:
    """Whether a CHECK is true or NULL. value: of a column: NULL, FILLED (with a default of the migration, which its
    author made to fit) or MAYBE."""
    return outcome(check, value) in (TRUE, NULL, FILLED)


def outcome(tree: Any, value: Callable[[str], str]) -> str:
    """NULL, FILLED (some value), TRUE, FALSE or MAYBE."""
    what = kind(tree)
    if what == "ColumnRef":
        return value(column_of(tree))
    if what == "A_Const":
        return _constant(tree)
    if what in ("TypeCast", "CollateClause"):
        return outcome(tree.arg, value)
    if what == "NullTest":
        return _null_test(tree, outcome(tree.arg, value))
    if what == "BoolExpr":
        return _logic(tree.boolop.name, [outcome(one, value) for one in tree.args])
    if what == "A_Expr" and tree.kind.name not in _NOT_STRICT:
        return _strict([outcome(one, value) for one in _operands(tree)])
    if what == "FuncCall" and tree.funcname[-1].sval in _STRICT:
        return _strict([outcome(one, value) for one in tree.args or ()])
    return MAYBE


def _operands(tree: Any) -> list[Any]:
    """Both sides of an operator; of IN and BETWEEN only the left one, which decides when it is NULL."""
    right = tree.rexpr
    sides = [tree.lexpr] if isinstance(right, tuple) else [tree.lexpr, right]
    return [one for one in sides if one is not None]


def _constant(tree: Any) -> str:
    if tree.isnull:
        return NULL
    truth = getattr(tree.val, "boolval", None)
    return FILLED if truth is None else TRUE if truth else FALSE


def _null_test(tree: Any, of: str) -> str:
    if of == MAYBE:
        return MAYBE
    return TRUE if (of == NULL) == (tree.nulltesttype.name == "IS_NULL") else FALSE


def _strict(operands: list[str]) -> str:
    return NULL if NULL in operands else MAYBE if MAYBE in operands else FILLED


def _logic(operator: str, parts: list[str]) -> str:
    if operator == "NOT_EXPR":
        return _NEGATED.get(parts[0], parts[0])
    decisive = FALSE if operator == "AND_EXPR" else TRUE
    # FILLED: a comparison with the default, which the author made to fit.
    truths = [TRUE if one == FILLED else one for one in parts]
    if decisive in truths:
        return decisive
    return MAYBE if MAYBE in truths else NULL if NULL in truths else _NEGATED[decisive]
