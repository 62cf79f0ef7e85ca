# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a statement may read or write many rows: what is not bounded by a key or a LIMIT may be the whole table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    column_of,
    columns_of,
    kind,
    name,
    relations_of,
    walk,
)

# Rows of one batch; more of them is no short statement.
BATCH = 10000
# Names that are a key by convention; `<table>_id` is one too.
_KEYS = frozenset(("id", "pk", "uuid", "guid", "ctid", "slug", "key", "version_num"))
_RUNS = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CreateTableAsStmt"))
# An index answers these for a key, without reading the rows.
_ENDS = frozenset(("max", "min"))


@dataclass(frozen=True)
class Scope:
    """What a condition is read with.

    live: whether a table has users; unique: whether (table, column) is known as a key; variables: of PL/pgSQL, one
    value each; loop: the statement runs many times, so a bounded one is many rows too.
    """

    live: Callable[[str], bool]
    unique: Callable[[str, str], bool]
    variables: frozenset[str] = frozenset()
    loop: bool = False


_ANYWHERE = Scope(lambda _table: True, lambda _table, _column: False)


def written(node: Any, scope: Scope) -> list[Any]:
    """Each UPDATE, DELETE, MERGE and SELECT FOR UPDATE of live tables, in WITH too, whose rows nothing bounds."""
    if kind(node) not in _RUNS:
        return []
    return [one for one in walk(node) if _writes(one, scope)]


def read(node: Any, scope: Scope) -> bool:
    """Whether a statement reads a live table without bound; COPY FROM writes as many rows as it is given."""
    if kind(node) == "CopyStmt":
        return bool(node.is_from)
    if kind(node) == "RefreshMatViewStmt":
        return not node.skipData
    if kind(node) not in _RUNS or getattr(getattr(node, "into", None), "skipData", False):
        return False
    return any(selects(one, scope) for one in walk(node) if kind(one) == "SelectStmt")


def selects(query: Any, scope: Scope) -> bool:
    """Whether one SELECT reads a live table without bound."""
    live = [one for one in relations_of(query.fromClause) if scope.live(name(one))]
    if not live or _limited(query, scope) or _ends(query):
        return False
    given = _given(query.fromClause)
    return not any(small(query.whereClause, one, scope, given) for one in live)


def whole(node: Any) -> bool:
    """Whether it is an UPDATE, DELETE or SELECT FOR UPDATE without a condition; WHERE true is none."""
    if kind(node) == "SelectStmt":
        return bool(node.lockingClause) and node.whereClause is None and node.limitCount is None
    if kind(node) not in ("UpdateStmt", "DeleteStmt") or columns_of(node.whereClause):
        return False
    return not small(node.whereClause, node.relation, _ANYWHERE)


def _writes(node: Any, scope: Scope) -> bool:
    what = kind(node)
    if what == "SelectStmt":
        return bool(node.lockingClause) and selects(node, scope)
    if what == "MergeStmt":
        return scope.live(name(node.relation)) and bool(relations_of(node.sourceRelation))
    if what not in ("UpdateStmt", "DeleteStmt") or not scope.live(name(node.relation)):
        return False
    others = node.fromClause if what == "UpdateStmt" else node.usingClause
    given = _given(others)
    return not small(node.whereClause, node.relation, scope, given)


def _limited(query: Any, scope: Scope) -> bool:
    most = getattr(getattr(query.limitCount, "val", None), "ival", None)
    return most is not None and most <= BATCH and not scope.loop


def _ends(query: Any) -> bool:
    """SELECT max(id) FROM …, which reads one end of an index."""
    called = [one.val for one in query.targetList or ()]
    functions = [one for value in called for one in walk(value) if kind(one) == "FuncCall"]
    named = [one for one in functions if one.funcname[-1].sval in _ENDS]
    return bool(named) and query.whereClause is None and all(_KEYS & set(columns_of(one.args)) for one in named)


def _given(sources: Any) -> frozenset[str]:
    """Aliases of FROM items that are lists of VALUES."""
    return frozenset(
        str(one.alias.aliasname)
        for one in sources or ()
        if kind(one) == "RangeSubselect" and one.alias is not None and one.subquery.valuesLists
    )


def small(where: Any, table: Any, scope: Scope, given: frozenset[str] = frozenset()) -> bool:
    """Whether a condition selects few rows of the table (a RangeVar): keys by constants, or a LIMIT. given: of
    _given."""
    if where is None:
        return False
    what = kind(where)
    if what == "BoolExpr" and where.boolop.name != "NOT_EXPR":
        parts = [small(one, table, scope, given) for one in where.args]
        return any(parts) if where.boolop.name == "AND_EXPR" else all(parts)
    if what == "CurrentOfExpr":
        return not scope.loop
    if what == "SubLink":
        return where.subLinkType.name == "ANY_SUBLINK" and _limited(where.subselect, scope)
    if what == "A_Const":
        return getattr(where.val, "boolval", None) is False or bool(where.isnull)
    return what == "A_Expr" and _compares(where, table, scope, given)


def _compares(test: Any, table: Any, scope: Scope, given: frozenset[str]) -> bool:
    """A key = constant, IN (constants), = ANY (constants) or BETWEEN two near numbers."""
    how, sides = test.kind.name, [test.lexpr, test.rexpr]
    if how == "AEXPR_BETWEEN":
        return _key(test.lexpr, table, scope) and _near(test.rexpr)
    if how not in ("AEXPR_OP", "AEXPR_IN", "AEXPR_OP_ANY") or test.name[-1].sval != "=":
        return False
    if not (_key(sides[0], table, scope) or (how == "AEXPR_OP" and _key(sides[1], table, scope))):
        # 1 = 0 selects nothing.
        return how == "AEXPR_OP" and len({str(getattr(one, "val", one)) for one in sides}) == 2 and _constants(sides)
    return any(_constant(one, scope, given) for one in sides)


def _constants(sides: list[Any]) -> bool:
    return all(kind(one) == "A_Const" for one in sides)


def _key(node: Any, table: Any, scope: Scope) -> bool:
    """Whether it is a column of this table that is a key, as far as the revisions or its name say so."""
    reference = node.arg if kind(node) == "TypeCast" else node
    if kind(reference) != "ColumnRef":
        return False
    own = {str(table.relname), str(table.alias.aliasname) if table.alias is not None else ""}
    if len(reference.fields) > 1 and getattr(reference.fields[-2], "sval", "") not in own:
        return False
    column, bare = column_of(reference), str(table.relname)
    usual = column in _KEYS or column in (f"{bare}_id", f"{bare[:-1]}_id")
    return bool(usual or scope.unique(name(table), column))


def _constant(node: Any, scope: Scope, given: frozenset[str]) -> bool:
    """Whether it is one value (or a list of values) for all rows: no column in it, and a query only as one value."""
    if isinstance(node, (list, tuple)):
        return all(_constant(one, scope, given) for one in node)
    if kind(node) == "SubLink":
        return bool(node.subLinkType.name == "EXPR_SUBLINK")
    return all(_value(one, scope, given) for one in walk(node) if kind(one) in ("ColumnRef", "SubLink"))


def _value(node: Any, scope: Scope, given: frozenset[str]) -> bool:
    first = str(getattr(node.fields[0], "sval", "")) if kind(node) == "ColumnRef" else ""
    return bool(first) and (first in given or (first in scope.variables and not scope.loop))


def _near(bounds: Any) -> bool:
    low, high = (getattr(getattr(one, "val", None), "ival", None) for one in bounds)
    return low is not None and high is not None and high - low < BATCH
