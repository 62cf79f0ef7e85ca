# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a statement adds to the facts about the schema, and changes in them."""

from __future__ import annotations

from typing import Any, Callable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import column_types
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.addresses import (
    PUBLIC,
    granted,
    grantees,
    signature,
    type_of,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import (
    MATVIEW,
    OPEN,
    OTHER,
    RESTRICTS,
    UNIQUE,
    Catalog,
    Check,
    Function,
    Partition,
    index_name,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.column_types import Domain
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.constraints import foreign_key
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import Index
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    column_of,
    columns_of,
    joined,
    kind,
    name,
    relations_of,
    walk,
)

_CONSTRAINTS = {"CONSTR_UNIQUE": UNIQUE, "CONSTR_PRIMARY": UNIQUE}
# How PostgreSQL names a constraint that has no name (ChooseConstraintName, ChooseIndexName).
_SUFFIXES = {"CONSTR_UNIQUE": "key", "CONSTR_CHECK": "check", "CONSTR_FOREIGN": "fkey", "CONSTR_EXCLUSION": "excl"}


def learn(catalog: Catalog, node: Any) -> None:
    """Take in what a statement makes or changes; DROP and RENAME are of facts.turn."""
    handler = _LEARN.get(kind(node))
    if handler is not None:
        handler(catalog, node)


def function(node: Any) -> Function:
    """CREATE FUNCTION as a fact; it returns "" if its OUT arguments alone say what."""
    options = {str(one.defname): one.arg for one in node.options or ()}
    words = [str(getattr(one, "sval", "")) for one in options.get("as") or () if hasattr(one, "sval")]
    return Function(
        type_of(node.returnType) if node.returnType is not None else "",
        str(getattr(options.get("volatility"), "sval", "")).lower() in ("immutable", "stable"),
        bool(getattr(options.get("security"), "boolval", False)),
        str(getattr(options.get("language"), "sval", "sql")).lower(),
        words[0] if len(words) == 1 else "",
    )


def constraint_name(table: str, constraint: Any, columns: list[str]) -> str:
    """The name of a constraint, as PostgreSQL chooses it if it has none."""
    if constraint.conname:
        return str(constraint.conname)
    what, bare = constraint.contype.name, table.rpartition(".")[2]
    if what == "CONSTR_PRIMARY":
        return f"{bare}_pkey"
    # A CHECK of several columns is named after the table alone.
    named = columns if what != "CONSTR_CHECK" or len(set(columns)) == 1 else []
    return "_".join([bare, *dict.fromkeys(named), _SUFFIXES.get(what, "")])


def _create_table(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    catalog.relations[table] = "table"
    if node.relation.relpersistence == "u":
        catalog.unlogged.add(table)
    if node.partspec is not None:
        catalog.partitioned[table] = tuple(str(one.name or "") for one in node.partspec.partParams)
    if node.partbound is not None:
        _partition(catalog, table, name(node.inhRelations[0]), node.partbound)
    if not node.tablespacename and not node.accessMethod:
        catalog.heap.add(table)
    elements = node.tableElts or ()
    if (
        not node.inhRelations
        and node.ofTypename is None
        and not any(kind(one) == "TableLikeClause" for one in elements)
    ):
        catalog.complete[table] = frozenset()
    for one in elements:
        if kind(one) == "ColumnDef":
            _column(catalog, table, one)
    for one in elements:
        if kind(one) == "Constraint":
            _constraint(catalog, table, one)


def _partition(catalog: Catalog, table: str, parent: str, bound: Any) -> None:
    catalog.partitions[table] = Partition(parent, bound)
    if bound.is_default:
        catalog.defaults[parent] = table


def _column(catalog: Catalog, table: str, column: Any) -> None:
    key = (table, str(column.colname))
    if table in catalog.complete:
        catalog.complete[table] |= {key[1]}
    if column.typeName is not None:
        catalog.columns[key] = column_types.of(column.typeName)
        catalog.bare.add(key)
        for one in serial(table, column):
            catalog.relations[one] = "sequence"
            catalog.bare.discard(key)
            _because(catalog.filled, key, "")
    for one in column.constraints or ():
        what = one.contype.name
        if what in ("CONSTR_NOTNULL", "CONSTR_IDENTITY"):
            _because(catalog.filled, key, "")
        if what in ("CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"):
            catalog.bare.discard(key)
        if what == "CONSTR_GENERATED":
            catalog.bound[("column", *key)] = frozenset((table, used) for used in columns_of(one.raw_expr))
        if what in (*_CONSTRAINTS, "CONSTR_CHECK", "CONSTR_FOREIGN"):
            _constraint(catalog, table, one, key[1])


def serial(table: str, column: Any) -> Iterator[str]:
    """The name of the sequence that a serial or identity column makes (ChooseRelationName); none if it would be cut."""
    made = str(column.typeName.names[-1].sval) in column_types.SERIAL
    identity = any(one.contype.name == "CONSTR_IDENTITY" for one in column.constraints or ())
    own = f"{table.rpartition('.')[2]}_{column.colname}_seq"
    if (made or identity) and len(own.encode()) < 64:
        yield index_name(table, own)


def _because(facts: dict[tuple[str, str], frozenset[str]], key: tuple[str, str], reason: str) -> None:
    facts[key] = facts.get(key, frozenset()) | {reason}


def _constraint(catalog: Catalog, table: str, constraint: Any, of_column: str = "") -> None:
    what = constraint.contype.name
    columns = [str(one.sval) for one in constraint.keys or ()] or ([of_column] if of_column else [])
    tested = columns_of(constraint.raw_expr) if what == "CONSTR_CHECK" else []
    foreign = [str(one.sval) for one in constraint.fk_attrs or ()]
    named = constraint_name(table, constraint, tested or foreign or columns)
    if constraint.indexname:
        # Its index has the constraint's name by now.
        index = catalog.indexes.get(index_name(table, named))
        columns = list(index.columns) if index is not None else []
    catalog.constraints[(table, named)] = _CONSTRAINTS.get(what, OTHER)
    if what in _CONSTRAINTS and columns:
        catalog.indexes[index_name(table, named)] = Index(
            table, tuple(columns), True, deferrable=bool(constraint.deferrable)
        )
        if len(columns) == 1:
            _because(catalog.keys, (table, columns[0]), named)
    if what == "CONSTR_PRIMARY":
        catalog.primaries.add((table, named))
        for one in columns:
            # It stays NOT NULL without the key.
            _because(catalog.filled, (table, one), "")
    if what == "CONSTR_NOTNULL":
        for one in columns:
            _because(catalog.filled, (table, one), "")
    if what == "CONSTR_FOREIGN":
        primary = catalog.primary(name(constraint.pktable))
        catalog.foreign[(table, named)] = foreign_key(constraint, primary, of_column)
    if what == "CONSTR_CHECK":
        for one in tested:
            _because(catalog.watched, (table, one), named)
        _add_check(catalog, table, named, constraint)


def _add_check(catalog: Catalog, table: str, named: str, constraint: Any) -> None:
    test = constraint.raw_expr
    plain = kind(test) == "NullTest" and test.nulltesttype.name == "IS_NOT_NULL" and kind(test.arg) == "ColumnRef"
    catalog.checks[(table, named)] = Check(test, column_of(test.arg) if plain else "", False)
    if not constraint.skip_validation:
        _validated(catalog, table, named)


def _validated(catalog: Catalog, table: str, named: str) -> None:
    """A valid check that a column is not NULL makes a later SET NOT NULL quick (since PostgreSQL 12)."""
    check = catalog.checks.get((table, named))
    if check is None:
        return
    catalog.checks[(table, named)] = Check(check.test, check.column, True)
    if check.column:
        _because(catalog.filled, (table, check.column), named)


def _alter_table(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    if node.objtype.name == "OBJECT_TYPE":
        return
    for command in node.cmds:
        handler = _COMMANDS.get(command.subtype.name)
        if handler is not None:
            handler(catalog, table, command)


def _add_column(catalog: Catalog, table: str, command: Any) -> None:
    if command.missing_ok and (table, str(command.def_.colname)) in catalog.columns:
        return
    _column(catalog, table, command.def_)


def _change_type(catalog: Catalog, table: str, command: Any) -> None:
    """PostgreSQL checks the constraints again, but not whether they still prove that a column is never NULL: of a
    composite value, IS NOT NULL says something else."""
    key = (table, str(command.name))
    catalog.columns[key] = column_types.of(command.def_.typeName)
    own = catalog.filled.pop(key, frozenset()) & {""}
    if own:
        catalog.filled[key] = own
    for constraint, check in list(catalog.checks.items()):
        if constraint[0] == table and key[1] in columns_of(check.test):
            catalog.checks.pop(constraint)


def _set_default(catalog: Catalog, table: str, command: Any) -> None:
    key = (table, str(command.name))
    if command.def_ is not None:
        catalog.bare.discard(key)
    elif key in catalog.columns:
        catalog.bare.add(key)


def _drop_not_null(catalog: Catalog, table: str, command: Any) -> None:
    key = (table, str(command.name))
    left = catalog.filled.pop(key, frozenset()) - {""}
    if left:
        catalog.filled[key] = left


def _detach(catalog: Catalog, table: str, command: Any) -> None:
    part = name(command.def_.name)
    catalog.partitions.pop(part, None)
    if catalog.defaults.get(table) == part:
        catalog.defaults.pop(table)


_COMMANDS: dict[str, Callable[[Catalog, str, Any], Any]] = {
    "AT_AddColumn": _add_column,
    "AT_AddConstraint": lambda catalog, table, command: _constraint(catalog, table, command.def_),
    "AT_ValidateConstraint": lambda catalog, table, command: _validated(catalog, table, str(command.name)),
    "AT_AlterColumnType": _change_type, "AT_ColumnDefault": _set_default, "AT_DropNotNull": _drop_not_null,
    "AT_SetNotNull": lambda catalog, table, command: _because(catalog.filled, (table, str(command.name)), ""),
    "AT_AddIdentity": lambda catalog, table, command: catalog.bare.discard((table, str(command.name))),
    "AT_DropExpression": lambda catalog, table, command: catalog.bound.pop(("column", table, str(command.name)), None),
    "AT_AttachPartition": lambda catalog, table, command: _partition(
        catalog, name(command.def_.name), table, command.def_.bound
    ) if command.def_.bound is not None else None,
    "AT_ReplicaIdentity": lambda catalog, table, command: catalog.identities.update(
        {table: str(command.def_.identity_type)}
    ),
    "AT_DetachPartition": _detach,
    "AT_AddInherit": lambda catalog, table, _command: catalog.complete.pop(table, None),
    "AT_SetUnLogged": lambda catalog, table, _command: catalog.unlogged.add(table),
    "AT_SetLogged": lambda catalog, table, _command: catalog.unlogged.discard(table),
    "AT_SetAccessMethod": lambda catalog, table, _command: catalog.heap.discard(table),
    "AT_SetTableSpace": lambda catalog, table, _command: catalog.heap.discard(table),
    "AT_EnableRowSecurity": lambda catalog, table, _command: catalog.secured.add(table),
    "AT_DisableRowSecurity": lambda catalog, table, _command: catalog.secured.discard(table),
}  # fmt: skip


def _index(catalog: Catalog, node: Any) -> None:
    table = name(node.relation)
    plain = tuple(str(one.name) for one in node.indexParams if one.name)
    partial = node.whereClause is not None or len(plain) < len(node.indexParams)
    # Without a name it cannot be dropped by one that is known.
    own = str(node.idxname or "")
    if own:
        catalog.indexes[index_name(table, own)] = Index(table, plain, bool(node.unique), partial)
    if node.unique and len(plain) == 1 and not partial:
        _because(catalog.keys, (table, plain[0]), own)
    if partial:
        for one in {*plain, *columns_of(node.whereClause), *columns_of(node.indexParams)}:
            _because(catalog.watched, (table, one), own)


def _view(catalog: Catalog, node: Any) -> None:
    view = name(node.view) if kind(node) == "ViewStmt" else name(node.into.rel)
    used = {column_of(one) or "*" for one in walk(node.query) if kind(one) == "ColumnRef"}
    plain = kind(node) == "ViewStmt"
    matview = not plain and node.objtype.name == "OBJECT_MATVIEW"
    catalog.relations[view] = "view" if plain else MATVIEW if matview else "table"
    if plain:
        catalog.views[view] = node
    elif not node.into.accessMethod and not node.into.tableSpaceName:
        catalog.heap.add(view)
    if plain or matview:
        catalog.bound[("view", view)] = frozenset(
            (name(table), one) for table in relations_of(node.query) for one in used
        )


def _trigger(catalog: Catalog, node: Any) -> None:
    key = (name(node.relation), str(node.trigname))
    catalog.bound[("trigger", *key)] = frozenset((key[0], str(one.sval)) for one in node.columns or ())
    catalog.triggers[key] = joined(node.funcname)


def _policy(catalog: Catalog, node: Any) -> None:
    how = OPEN if _open(node) else "" if node.permissive else RESTRICTS
    catalog.policies[(name(node.table), str(node.policy_name))] = how


def _open(node: Any) -> bool:
    """Whether CREATE POLICY lets everybody see and write every row."""
    roles = [one.roletype.name for one in node.roles or ()]
    tests = [one for one in (node.qual, node.with_check) if one is not None]
    passes = [getattr(getattr(one, "val", None), "boolval", False) is True for one in tests]
    return bool(
        node.permissive and node.cmd_name == "all" and roles == ["ROLESPEC_PUBLIC"] and node.qual and all(passes)
    )


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
        default is not None or (below is not None and below.default),
    )


def _alter_domain(catalog: Catalog, node: Any) -> None:
    domain = joined(node.typeName)
    known = catalog.domains.get(domain)
    if known is None:
        return
    if node.subtype in ("C", "O"):
        required = known.required or node.subtype == "O"
        catalog.domains[domain] = Domain(known.base, True, required, known.volatile, known.default)
    elif node.subtype == "T":
        volatile = node.def_ is not None and catalog.volatile(node.def_)
        given = node.def_ is not None
        catalog.domains[domain] = Domain(known.base, known.constrained, known.required, volatile, given)


def _sequence(catalog: Catalog, node: Any) -> None:
    catalog.relations[name(node.sequence)] = "sequence"


def _function(catalog: Catalog, node: Any) -> None:
    catalog.functions[signature(node)] = function(node)


def _alter_function(catalog: Catalog, node: Any) -> None:
    catalog.functions.pop(signature(node.func), None)


def _grant(catalog: Catalog, node: Any) -> None:
    for what in granted(node, catalog):
        for role in grantees(node):
            if node.is_grant:
                catalog.granted.add((what, role))
            else:
                catalog.granted.discard((what, role))


def publishes(node: Any, catalog: Catalog) -> list[str]:
    """Tables whose UPDATE or DELETE a publication sends from now on."""
    what = next((str(one.arg.sval) for one in node.options or () if one.defname == "publish"), "update, delete")
    if not {"update", "delete"} & {one.strip() for one in what.split(",")}:
        return []
    if getattr(getattr(node, "action", None), "name", "") == "AP_DropObjects":
        return []
    given = [name(one.pubtable.relation) for one in node.pubobjects or () if one.pubtable is not None]
    schemas = {str(one.name) for one in node.pubobjects or () if one.pubtable is None}
    whole = [one for one, sort in catalog.relations.items() if sort == "table"
             and (node.for_all_tables or (one.rpartition(".")[0] or PUBLIC) in schemas)]  # fmt: skip
    return [*given, *whole]


def _default_grant(catalog: Catalog, node: Any) -> None:
    if node.action.is_grant:
        catalog.granted |= {(("default", ""), role) for role in grantees(node.action)}


_LEARN: dict[str, Callable[[Catalog, Any], Any]] = {
    "CreateStmt": _create_table, "AlterTableStmt": _alter_table, "IndexStmt": _index, "ViewStmt": _view,
    "CreateTableAsStmt": _view, "CreateTrigStmt": _trigger, "CreateDomainStmt": _domain,
    "AlterDomainStmt": _alter_domain, "CreateFunctionStmt": _function, "AlterFunctionStmt": _alter_function,
    "CreatePublicationStmt": lambda catalog, node: catalog.published.update(publishes(node, catalog)),
    "AlterPublicationStmt": lambda catalog, node: catalog.published.update(publishes(node, catalog)),
    "CreateSeqStmt": _sequence, "CreatePolicyStmt": _policy, "GrantStmt": _grant,
    "AlterDefaultPrivilegesStmt": _default_grant,
    "AlterPolicyStmt": lambda catalog, node: catalog.policies.pop((name(node.table), str(node.policy_name)), None),
    "CreateEnumStmt": lambda catalog, node: catalog.types.add(joined(node.typeName)),
    "CreateRangeStmt": lambda catalog, node: catalog.types.add(joined(node.typeName)),
    "CompositeTypeStmt": lambda catalog, node: catalog.types.add(name(node.typevar)),
}  # fmt: skip
