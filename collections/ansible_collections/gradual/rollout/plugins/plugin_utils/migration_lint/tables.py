# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules an ALTER TABLE breaks. It has many sub-commands, so it is in a separate file."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import joined, name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import RULES
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement

# Rules that do not apply to a table of the same revision, which has no rows and which nobody uses.
ABOUT_TABLES = frozenset(RULES) - {
    "ban-concurrent-index-creation-in-transaction", "concurrently-not-alone", "transaction-nesting", "own-timeouts",
    "cluster-wide", "unseen", "dynamic-sql", "calls-function", "asks-database", "phase-missing",
    "reference-to-live-table",
}  # fmt: skip
# Functions with one value for all rows, which PostgreSQL stores once; a volatile one makes it rewrite the table.
_STABLE = frozenset((
    "now", "transaction_timestamp", "statement_timestamp", "current_setting", "lower", "upper", "to_tsvector",
    "jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "make_interval", "make_date",
    "timezone", "date_trunc", "length", "md5", "array_fill", "coalesce", "concat", "to_timestamp", "current_user",
    "version",
))  # fmt: skip
# Squawk reports these for every constraint; one with an index cannot be NOT VALID, and another rule is about its index.
_NO_SUCH_THING = frozenset(("constraint-missing-not-valid", "adding-serial-primary-key-field"))
_SERIAL = frozenset(("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"))
_SIMPLE = {
    "AT_SetExpression": "rewrite-table",
    "AT_SetLogged": "set-logged", "AT_SetUnLogged": "set-logged",
    "AT_SetTableSpace": "rewrite-table", "AT_SetAccessMethod": "rewrite-table",
    "AT_AttachPartition": "attach-partition", "AT_DropNotNull": "ban-drop-not-null",
    **dict.fromkeys(("AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser", "AT_DisableRule"), "disable-trigger"),
    **dict.fromkeys(("AT_EnableRowSecurity", "AT_ForceRowSecurity", "AT_DisableRowSecurity", "AT_NoForceRowSecurity"),
                    "row-security-in-expand"),
    **dict.fromkeys(("AT_DropColumn", "AT_DropConstraint", "AT_DropExpression", "AT_DropIdentity", "AT_DropInherit"),
                    "drop-in-expand"),
}  # fmt: skip
# Short, and without effect on the code of the previous release.
_HARMLESS = frozenset((
    "AT_AddInherit", "AT_AddOf", "AT_AlterConstraint", "AT_ChangeOwner", "AT_ClusterOn", "AT_ColumnDefault",
    "AT_DetachPartitionFinalize", "AT_DropCluster", "AT_DropOf", "AT_EnableAlwaysRule", "AT_EnableAlwaysTrig",
    "AT_EnableReplicaRule", "AT_EnableReplicaTrig", "AT_EnableRule", "AT_EnableTrig", "AT_EnableTrigAll",
    "AT_EnableTrigUser", "AT_GenericOptions", "AT_AlterColumnGenericOptions", "AT_ReplicaIdentity", "AT_ResetOptions",
    "AT_ResetRelOptions", "AT_SetCompression", "AT_SetIdentity", "AT_SetOptions", "AT_SetRelOptions",
    "AT_SetStatistics", "AT_SetStorage",
))  # fmt: skip


def alter(node: Any, statement: Statement, state: State) -> Iterator[str]:
    """Rules that the sub-commands break; updates `state`."""
    if node.objtype.name == "OBJECT_TYPE":
        state.harmless.add("changing-column-type")
        if ("type", name(node.relation)) not in state.created:
            yield "alter-type"
        return
    table = name(node.relation)
    for command in node.cmds:
        what, definition = command.subtype.name, command.def_
        if what in _SIMPLE:
            yield _SIMPLE[what]
            if what in ("AT_DropColumn", "AT_DropNotNull") and (table, str(command.name)) in state.added:
                state.harmless |= {"drop-in-expand", "ban-drop-not-null"}
            # Old code works with fewer constraints, but not without a default or a column.
            if what == "AT_DropConstraint":
                state.harmless.add("drop-in-expand")
        elif what == "AT_AddColumn":
            yield from _add_column(table, definition, state)
            if command.missing_ok or not statement.certain:
                # The column may exist already, with values of the previous release.
                state.added.pop((table, str(definition.colname)), None)
        elif what == "AT_AddConstraint":
            yield from _add_constraint(table, definition, statement, state)
        elif what == "AT_ValidateConstraint":
            yield from _validate(table, str(command.name), statement, state)
        elif what == "AT_AlterColumnType":
            yield "changing-column-type"
        elif what == "AT_SetNotNull":
            yield from _set_not_null(table, str(command.name), state)
        elif what == "AT_AddIdentity":
            yield "not-null-in-expand"
        elif what == "AT_ColumnDefault" and definition is None and (table, str(command.name)) not in state.added:
            yield "drop-default-in-expand"
        elif what == "AT_DetachPartition":
            if not definition.concurrent:
                yield "require-concurrent-partition-detach"
            yield "drop-in-expand"
        elif what not in _HARMLESS:
            yield "unseen"


def only_new(table: str, columns: Sequence[str | None], state: State) -> bool:
    """Whether this revision adds all these columns, and old code leaves them NULL."""
    return bool(columns) and all(column is not None and state.added.get((table, column), False) for column in columns)


def calls(tree: Any) -> Iterator[str]:
    """Names of the functions that an expression or a query calls."""
    if isinstance(tree, (list, tuple)):
        for one in tree:
            yield from calls(one)
    elif hasattr(tree, "__slots__"):
        if type(tree).__name__ == "FuncCall":
            yield joined(tree.funcname)
        for key in tree.__slots__:
            yield from calls(getattr(tree, key, None))


def columns_of(tree: Any) -> list[str]:
    """Names of the columns that an expression names."""
    if isinstance(tree, (list, tuple)):
        return [column for one in tree for column in columns_of(one)]
    if type(tree).__name__ == "ColumnRef":
        return [str(tree.fields[-1].sval)] if hasattr(tree.fields[-1], "sval") else []
    return [column for key in getattr(tree, "__slots__", ()) for column in columns_of(getattr(tree, key, None))]


def _add_column(table: str, column: Any, state: State) -> Iterator[str]:
    constraints = {one.contype.name: one for one in column.constraints or ()}
    kind = str(column.typeName.names[-1].sval)
    default = constraints.get("CONSTR_DEFAULT")
    filled = kind in _SERIAL or bool({"CONSTR_IDENTITY", "CONSTR_GENERATED"} & set(constraints))
    null_default = default is None or (type(default.raw_expr).__name__ == "A_Const" and default.raw_expr.isnull)
    volatile = default is not None and any(called.split(".")[-1] not in _STABLE for called in calls(default.raw_expr))
    if volatile or (filled and not _virtual(constraints)):
        yield "adding-field-with-default"
    elif default is not None:
        # The default is one value for all rows; squawk may judge the function otherwise.
        state.harmless.add("adding-field-with-default")
    required = "CONSTR_NOTNULL" in constraints or "CONSTR_PRIMARY" in constraints
    if required and null_default and not filled:
        yield "adding-required-field"
    if "CONSTR_PRIMARY" in constraints:
        yield "adding-serial-primary-key-field"
        state.harmless.add("disallowed-unique-constraint")
    elif "CONSTR_UNIQUE" in constraints:
        yield "disallowed-unique-constraint"
    if "CONSTR_CHECK" in constraints:
        yield "constraint-missing-not-valid"
    if "CONSTR_FOREIGN" in constraints:
        if null_default and not filled:
            # transformFKConstraints in parse_utilcmd.c: with a null default, no row is checked.
            state.harmless |= {"adding-foreign-key-constraint", "constraint-missing-not-valid"}
            yield "reference-to-live-table"
        else:
            yield "adding-foreign-key-constraint"
    state.added[(table, str(column.colname))] = null_default and not filled


def _virtual(constraints: dict[str, Any]) -> bool:
    made = constraints.get("CONSTR_GENERATED")
    return made is not None and made.generated_kind == "v"


def _add_constraint(table: str, constraint: Any, statement: Statement, state: State) -> Iterator[str]:
    kind = constraint.contype.name
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY"):
        columns = [str(one.sval) for one in constraint.keys or ()]
        state.harmless |= _NO_SUCH_THING
        if constraint.indexname is None:
            yield "disallowed-unique-constraint"
        else:
            # The existing index has enforced the same since it was made.
            state.harmless |= {"disallowed-unique-constraint", "adding-not-nullable-field"}
    elif kind == "CONSTR_EXCLUSION":
        yield "exclusion-constraint"
        state.harmless |= _NO_SUCH_THING
        columns = []
    elif kind in ("CONSTR_FOREIGN", "CONSTR_CHECK", "CONSTR_NOTNULL"):
        columns = [
            str(one.sval) for one in (constraint.fk_attrs if kind == "CONSTR_FOREIGN" else constraint.keys) or ()
        ] or columns_of(constraint.raw_expr)
        if constraint.skip_validation:
            state.unproven[(table, str(constraint.conname))] = statement.transaction
        else:
            yield "adding-foreign-key-constraint" if kind == "CONSTR_FOREIGN" else "constraint-missing-not-valid"
            state.harmless.add("constraint-missing-not-valid" if kind == "CONSTR_FOREIGN" else "")
        _remember(table, constraint, statement, state)
    else:
        return
    # Old code cannot break a constraint on new columns, because it does not write them. But two rows with the same
    # default break a unique constraint.
    unique = kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_EXCLUSION")
    if not (
        only_new(table, columns, state)
        if unique
        else columns and all((table, column) in state.added for column in columns)
    ):
        yield "constraint-in-expand"


def _remember(table: str, constraint: Any, statement: Statement, state: State) -> None:
    """A check that a column is not null makes a later SET NOT NULL quick (since PostgreSQL 12), once it is valid."""
    test = constraint.raw_expr
    if (
        type(test).__name__ == "NullTest"
        and test.nulltesttype.name == "IS_NOT_NULL"
        and type(test.arg).__name__ == "ColumnRef"
    ):
        column = str(test.arg.fields[-1].sval)
        state.checks[(table, str(constraint.conname))] = column
        if statement.certain and not constraint.skip_validation:
            state.proven.add((table, column))


def _validate(table: str, constraint: str, statement: Statement, state: State) -> Iterator[str]:
    added_in = state.unproven.get((table, constraint))
    if added_in is not None and added_in == statement.transaction:
        yield "validate-in-same-transaction"
        state.harmless.add("constraint-missing-not-valid")
    if statement.certain and (table, constraint) in state.checks:
        state.proven.add((table, state.checks[(table, constraint)]))


def _set_not_null(table: str, column: str, state: State) -> Iterator[str]:
    if (table, column) in state.proven:
        state.harmless.add("adding-not-nullable-field")
    else:
        yield "adding-not-nullable-field"
    yield "not-null-in-expand"
