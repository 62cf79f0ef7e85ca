# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the read revisions say about the schema: columns' types, keys, constraints, indexes and functions.

A later revision is judged with it. What no revision says is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import column_types
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.column_types import Domain, Type
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    calls,
    column_of,
    columns_of,
    joined,
    kind,
    name,
    relations_of,
    walk,
)

Column = tuple[str, str]
UNIQUE, INDEX, OTHER, UNKNOWN = "unique", "index", "other", "unknown"
# Words of usual names of constraints and indexes; the first word of a name counts before the last ones.
_WORDS = {
    **dict.fromkeys(("uq", "uk", "ux", "uix", "uniq", "unique", "pk", "pkey", "key"), UNIQUE),
    **dict.fromkeys(("ix", "idx", "index"), INDEX),
    **dict.fromkeys(("fk", "fkey", "foreign", "ck", "chk", "check", "excl"), OTHER),
}
_FIRST = frozenset(("uq", "uk", "ux", "uix", "pk", "ix", "idx", "fk", "ck", "chk"))
_CONSTRAINTS = {"CONSTR_UNIQUE": UNIQUE, "CONSTR_PRIMARY": UNIQUE}
# Functions with one value for all rows, which PostgreSQL stores once; a volatile one makes it rewrite the table.
_STABLE = frozenset((
    "now", "transaction_timestamp", "statement_timestamp", "current_setting", "lower", "upper", "to_tsvector",
    "jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "make_interval", "make_date",
    "timezone", "date_trunc", "length", "md5", "array_fill", "coalesce", "concat", "to_timestamp", "current_user",
    "version", "abs", "age", "array_append", "btrim", "ceil", "ceiling", "chr", "concat_ws", "convert_from",
    "convert_to", "current_database", "current_schema", "date_part", "daterange", "decode", "div", "encode", "exp",
    "extract", "floor", "greatest", "int4range", "int8range", "jsonb_set", "least", "left", "lpad", "ltrim",
    "make_time", "make_timestamp", "make_timestamptz", "mod", "numrange", "pg_typeof", "point", "power", "repeat",
    "replace", "reverse", "right", "round", "rpad", "rtrim", "sha256", "sign", "split_part", "sqrt",
    "string_to_array", "substr", "substring", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "translate",
    "trunc", "tsrange", "tstzrange", "txid_current", "pg_current_xact_id", "uuid_nil",
))  # fmt: skip


@dataclass
class Index:
    """table and columns; unique."""

    table: str
    columns: tuple[str, ...]
    unique: bool


@dataclass
class Catalog:
    """Facts; a key with a table is (table, column) or (table, constraint)."""

    columns: dict[Column, Type] = field(default_factory=dict)
    filled: set[Column] = field(default_factory=set)
    """Columns that are never NULL: by NOT NULL, or by a valid CHECK."""
    keys: set[Column] = field(default_factory=set)
    """Columns that are unique by themselves."""
    watched: set[Column] = field(default_factory=set)
    """Columns in a CHECK, or in an index with an expression or a condition: a new type scans or rebuilds."""
    constraints: dict[Column, str] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    partitioned: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)
    """Partitioned tables with a default partition."""
    bound: dict[str, set[Column]] = field(default_factory=dict)
    """View, table or trigger → the columns (* for all) that it uses, whose type PostgreSQL then does not change."""
    types: set[str] = field(default_factory=set)
    domains: dict[str, Domain] = field(default_factory=dict)
    steady: set[str] = field(default_factory=set)
    """Functions that are declared IMMUTABLE or STABLE."""
    results: dict[str, str] = field(default_factory=dict)
    """Signature of a function → what it returns."""

    def volatile(self, expression: Any) -> bool:
        """Whether an expression may differ from row to row; a function that was not read may."""
        return any(self.unsteady(one) for one in calls(expression))

    def unsteady(self, function: str) -> bool:
        """Whether a function is not known as one that only computes."""
        return function.split(".")[-1] not in _STABLE and function not in self.steady

    def only(self, function: str) -> str:
        """The signature of a function that is named without its types, if one is known, else the name."""
        found = [one for one in self.results if one.startswith(f"{function}(")]
        return found[0] if len(found) == 1 else function

    def constraint(self, table: str, named: str) -> str:
        """UNIQUE, INDEX or OTHER: as a revision made it, else by its name; UNKNOWN."""
        if (table, named) in self.constraints:
            return self.constraints[(table, named)]
        words = re.split(r"[^a-z0-9]+", named.lower())
        if words[0] in _FIRST:
            return _WORDS[words[0]]
        return next((_WORDS[one] for one in reversed(words) if one in _WORDS), UNKNOWN)

    def bound_to(self, table: str, column: str) -> bool:
        """Whether a view, a generated column or a trigger uses a column."""
        used = {key for keys in self.bound.values() for key in keys}
        return bool({(table, column), (table, "*")} & used)

    def others(self, function: str, signature: str) -> bool:
        """Whether a function of this name with other arguments is known."""
        return any(one.startswith(f"{function}(") and one != signature for one in self.results)

    def learn(self, statement: Statement) -> None:
        """Take in what a statement makes or changes."""
        handler = _LEARN.get(kind(statement.node))
        if handler is not None:
            handler(self, statement.node)


def signature(function: Any) -> str:
    """name(types of the input arguments), of CREATE FUNCTION or of the function that a DROP names."""
    if kind(function) == "CreateFunctionStmt":
        given = [
            one for one in function.parameters or () if one.mode.name not in ("FUNC_PARAM_OUT", "FUNC_PARAM_TABLE")
        ]
        return f"{joined(function.funcname)}({','.join(_text(one.argType) for one in given)})"
    return f"{joined(function.objname)}({','.join(_text(one) for one in function.objargs or ())})"


def result(function: Any) -> str:
    """What CREATE FUNCTION returns, "" for the columns of its OUT arguments alone."""
    return _text(function.returnType) if function.returnType is not None else ""


def _text(node: Any) -> str:
    of = column_types.of(node)
    return of.name + ("[]" if of.array else "")


def _create_table(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    if node.partspec is not None:
        catalog.partitioned.add(table)
    if node.partbound is not None and node.partbound.is_default:
        catalog.defaults |= {name(one) for one in node.inhRelations}
    for one in node.tableElts or ():
        if kind(one) == "ColumnDef":
            _column(catalog, table, one)
        elif kind(one) == "Constraint":
            _constraint(catalog, table, one)


def _column(catalog: Catalog, table: str, column: Any) -> None:
    key = (table, str(column.colname))
    if column.typeName is not None:
        catalog.columns[key] = column_types.of(column.typeName)
    for one in column.constraints or ():
        what = one.contype.name
        if what in ("CONSTR_NOTNULL", "CONSTR_PRIMARY", "CONSTR_IDENTITY"):
            catalog.filled.add(key)
        if what in _CONSTRAINTS:
            catalog.keys.add(key)
        if what == "CONSTR_GENERATED":
            catalog.bound[f"{table}.{key[1]}"] = {(table, used) for used in columns_of(one.raw_expr)}
        _constraint(catalog, table, one)


def _constraint(catalog: Catalog, table: str, constraint: Any) -> None:
    what = constraint.contype.name
    columns = [str(one.sval) for one in constraint.keys or ()]
    if constraint.conname:
        catalog.constraints[(table, str(constraint.conname))] = _CONSTRAINTS.get(what, OTHER)
    if what in _CONSTRAINTS and len(columns) == 1:
        catalog.keys.add((table, columns[0]))
    if what == "CONSTR_PRIMARY":
        catalog.filled |= {(table, one) for one in columns}
    if what == "CONSTR_CHECK":
        catalog.watched |= {(table, one) for one in columns_of(constraint.raw_expr)}


def _alter_table(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    for command in node.cmds:
        what, definition, key = command.subtype.name, command.def_, (table, str(command.name))
        if what == "AT_AddColumn":
            known = catalog.columns.get((table, str(definition.colname))) if command.missing_ok else None
            _column(catalog, table, definition)
            if known is not None:
                catalog.columns[(table, str(definition.colname))] = known
        elif what == "AT_AddConstraint":
            _constraint(catalog, table, definition)
        elif what == "AT_AlterColumnType":
            catalog.columns[key] = column_types.of(definition.typeName)
        elif what == "AT_SetNotNull":
            catalog.filled.add(key)
        elif what == "AT_DropNotNull":
            catalog.filled.discard(key)
        elif what == "AT_DropColumn":
            catalog.columns.pop(key, None)


def _index(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    plain = tuple(str(one.name) for one in node.indexParams if one.name)
    if node.idxname:
        catalog.indexes[str(node.idxname)] = Index(table, plain, bool(node.unique))
    if node.unique and len(plain) == len(node.indexParams) == 1 and node.whereClause is None:
        catalog.keys.add((table, plain[0]))
    if node.whereClause is not None or len(plain) < len(node.indexParams):
        named = {*plain, *columns_of(node.whereClause), *columns_of(node.indexParams)}
        catalog.watched |= {(table, one) for one in named}


def _view(catalog: Catalog, node: Any) -> None:
    view = name(node.view) if kind(node) == "ViewStmt" else name(node.into.rel)
    used = {column_of(one) or "*" for one in walk(node.query) if kind(one) == "ColumnRef"}
    if kind(node) == "ViewStmt" or node.objtype.name == "OBJECT_MATVIEW":
        catalog.bound[view] = {(name(table), one) for table in relations_of(node.query) for one in used}


def _trigger(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    catalog.bound[f"{table}.{node.trigname}"] = {(table, str(one.sval)) for one in node.columns or ()}


def _drop(catalog: Catalog, node: Any) -> None:
    for one in node.objects:
        if node.removeType.name in ("OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_TRIGGER"):
            catalog.bound.pop(joined(one), None)
        elif node.removeType.name == "OBJECT_INDEX":
            catalog.indexes.pop(joined(one), None)


def _rename(catalog: Catalog, node: Any) -> None:
    what, new = node.renameType.name, str(node.newname)
    if what not in ("OBJECT_COLUMN", "OBJECT_TABLE") or node.relation is None:
        return
    table, old = name(node.relation), str(node.subname)
    schema = table.rpartition(".")[0]
    moved = f"{schema}.{new}" if schema else new

    def turned(key: Column) -> Column:
        if what == "OBJECT_TABLE":
            return (moved, key[1]) if key[0] == table else key
        return (table, new) if key == (table, old) else key

    _turn(catalog, turned)
    if what == "OBJECT_TABLE" and table in catalog.partitioned:
        catalog.partitioned.add(moved)


def _turn(catalog: Catalog, turned: Callable[[Column], Column]) -> None:
    catalog.filled = {turned(one) for one in catalog.filled}
    catalog.keys = {turned(one) for one in catalog.keys}
    catalog.watched = {turned(one) for one in catalog.watched}
    catalog.columns = {turned(key): value for key, value in catalog.columns.items()}
    catalog.constraints = {turned(key): value for key, value in catalog.constraints.items()}


def _domain(catalog: Catalog, node: Any) -> None:
    base = column_types.of(node.typeName)
    below = catalog.domains.get(base.name)
    found = {one.contype.name: one for one in node.constraints or ()}
    constrained = bool({"CONSTR_CHECK", "CONSTR_NOTNULL"} & set(found))
    default = found.get("CONSTR_DEFAULT")
    unknown = below is None and not column_types.plain(base, catalog.types)
    catalog.domains[joined(node.domainname)] = Domain(
        base,
        constrained or unknown or (below is not None and below.constrained),
        "CONSTR_NOTNULL" in found or (below is not None and below.required),
        default is not None and catalog.volatile(default.raw_expr),
    )


def _alter_domain(catalog: Catalog, node: Any) -> None:
    domain = joined(node.typeName)
    known = catalog.domains.get(domain)
    if known is not None and node.subtype in ("C", "O"):
        catalog.domains[domain] = Domain(known.base, True, known.required or node.subtype == "O", known.volatile)


def _function(catalog: Catalog, node: Any) -> None:
    words = {str(getattr(one.arg, "sval", "")).lower() for one in node.options or () if one.defname == "volatility"}
    if words & {"immutable", "stable"}:
        catalog.steady.add(joined(node.funcname))
    catalog.results[signature(node)] = result(node)


_LEARN: dict[str, Callable[[Catalog, Any], None]] = {
    "CreateStmt": _create_table, "AlterTableStmt": _alter_table, "IndexStmt": _index, "RenameStmt": _rename,
    "ViewStmt": _view, "CreateTableAsStmt": _view, "CreateTrigStmt": _trigger, "DropStmt": _drop,
    "CreateDomainStmt": _domain, "AlterDomainStmt": _alter_domain, "CreateFunctionStmt": _function,
    "CreateEnumStmt": lambda catalog, node: catalog.types.add(joined(node.typeName)),
    "CreateRangeStmt": lambda catalog, node: catalog.types.add(joined(node.typeName)),
    "CompositeTypeStmt": lambda catalog, node: catalog.types.add(name(node.typevar)),
}  # fmt: skip
