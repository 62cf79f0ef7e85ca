# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Expressions of Django as SQL, as far as a check of locks needs them: which functions are called, and which columns
are named."""

from __future__ import annotations

import ast
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable

# Django's function → PostgreSQL's; others have their own name in lower case.
_FUNCTIONS = {
    "Now": "statement_timestamp", "TransactionNow": "transaction_timestamp", "RandomUUID": "gen_random_uuid",
    "Random": "random", "JSONObject": "jsonb_build_object", "JSONArray": "jsonb_build_array",
}  # fmt: skip
_UNREADABLE = (Unreadable, TypeError, ValueError, LookupError, AttributeError)


def literal(value: Any) -> str:
    """A plain value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def sql_of(node: ast.expr, module: Module) -> str:
    """A db_default. A call that is not known is written as a function of its name, which counts as volatile."""
    try:
        return literal(module.value(node))
    except _UNREADABLE:
        pass
    if not isinstance(node, ast.Call):
        raise Unreadable(ast.unparse(node)[:80])
    name = (module.dotted(node.func) or "").rpartition(".")[2]
    given = [sql_of(one, module) for one in node.args]
    if name in ("Value", "Cast", "ExpressionWrapper", "Coalesce") and given:
        return given[0] if name != "Coalesce" else f"(coalesce({', '.join(given)}))"
    if name == "Func":
        named = {one.arg: one.value for one in node.keywords}
        name = str(module.value(named["function"])) if "function" in named else "func"
    return f"({_FUNCTIONS.get(name, name.lower())}({', '.join(given)}))"


def columns_in(node: ast.expr, module: Module) -> Iterator[str]:
    """The fields that an expression or a condition names: F("a"), "a" in a function, Q(a__gt=1)."""
    for one in ast.walk(node):
        if not isinstance(one, ast.Call):
            continue
        name = (module.dotted(one.func) or "").rpartition(".")[2]
        if name == "Q":
            yield from (str(each.arg).partition("__")[0] for each in one.keywords if each.arg)
            yield from (str(each.elts[0].value).partition("__")[0] for each in one.args if _is_pair(each))  # type: ignore[attr-defined]
        elif name not in ("Value", "Q"):
            yield from (each.value.lstrip("-") for each in one.args if _is_text(each))  # type: ignore[attr-defined]


def not_null(node: ast.expr) -> str | None:
    """The field of Q(a__isnull=False), which PostgreSQL's SET NOT NULL believes."""
    if isinstance(node, ast.Call) and len(node.keywords) == 1 and not node.args:
        name, value = str(node.keywords[0].arg), node.keywords[0].value
        if name.endswith("__isnull") and isinstance(value, ast.Constant) and value.value is False:
            return name[: -len("__isnull")]
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords and _is_pair(node.args[0]):
        return not_null(ast.Call(node.func, [], [ast.keyword(node.args[0].elts[0].value, node.args[0].elts[1])]))  # type: ignore[attr-defined]
    return None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_pair(node: ast.expr) -> bool:
    return isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == 2 and _is_text(node.elts[0])
