# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules an ALTER TABLE breaks: one function for each of its sub-commands. columns.py has those about columns."""

from __future__ import annotations

from typing import Any, Callable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import columns, nulls
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.addresses import dropped
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import (
    KEYLESS,
    OTHER,
    UNIQUE,
    index_name,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.constraints import foreign_key, key_of
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import RULES
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import name

# Rules that do not apply to a table of the same rollout, which has no rows and which nobody uses.
ABOUT_TABLES = frozenset(RULES) - {
    "ban-concurrent-index-creation-in-transaction", "concurrently-not-alone", "transaction-nesting", "own-timeouts",
    "cluster-wide", "unseen", "dynamic-sql", "calls-function", "asks-database", "phase-missing",
    "postgresql-refuses", "several-tables",
    "no-lock-timeout", "reference-to-live-table", "other-answers-in-expand",
    "rows-under-lock", "enum-value-in-same-transaction", "concurrently-on-partitioned",
}  # fmt: skip
# Squawk reports these for every constraint; one with an index cannot be NOT VALID, and another rule is about its index.
_NO_SUCH_THING = frozenset(("constraint-missing-not-valid", "adding-serial-primary-key-field"))
_SIMPLE = {
    "AT_SetExpression": "rewrite-table",
    "AT_SetTableSpace": "rewrite-table", "AT_ChangeOwner": "owner-in-expand",
    "AT_DisableRule": "disable-trigger",
    # These then fire for replication alone.
    "AT_EnableReplicaTrig": "disable-trigger", "AT_EnableReplicaRule": "disable-trigger",
    **dict.fromkeys(("AT_DropExpression", "AT_DropIdentity", "AT_DropInherit"), "drop-in-expand"),
}  # fmt: skip
_DROPS = ("AT_DropColumn", "AT_DropConstraint")
# Short, and without effect on the code of the previous release.
_HARMLESS = frozenset((
    "AT_AddOf", "AT_AlterConstraint", "AT_ClusterOn", "AT_DetachPartitionFinalize", "AT_DropCluster",
    "AT_DropOf", "AT_EnableAlwaysRule", "AT_EnableAlwaysTrig",
    "AT_EnableRule", "AT_EnableTrig", "AT_EnableTrigAll", "AT_EnableTrigUser", "AT_GenericOptions",
    "AT_AlterColumnGenericOptions", "AT_ResetOptions", "AT_ResetRelOptions", "AT_DropOids",
    "AT_SetCompression", "AT_SetOptions", "AT_SetRelOptions", "AT_SetStatistics", "AT_SetStorage",
))  # fmt: skip


DEFAULT = "; the partitioned table has a default partition, whose rows are all read under AccessExclusiveLock"


def alter(node: Any, statement: Statement, state: State) -> Iterator[str]:
    """Rules that the sub-commands break; updates `state`."""
    if node.objtype.name == "OBJECT_TYPE":
        yield from _alter_type(node, state)
        return
    if node.objtype.name == "OBJECT_INDEX" and all(one.subtype.name == "AT_AttachPartition" for one in node.cmds):
        return
    table = name(node.relation)
    # PostgreSQL drops first, wherever in the statement it is said (AlterTablePass in tablecmds.c).
    drops = [one for one in node.cmds if one.subtype.name in _DROPS]
    for command in drops:
        yield from _COMMANDS[command.subtype.name](table, command, statement, state)
    if statement.certain:
        for gone in list(dropped(node, state.catalog)):
            state.forget(gone)
    for command in node.cmds:
        what = command.subtype.name
        if what in _DROPS:
            continue
        if what in _SIMPLE:
            yield _SIMPLE[what]
        elif what in _COMMANDS:
            yield from _COMMANDS[what](table, command, statement, state)
        elif what not in _HARMLESS:
            yield "unseen"


def _alter_type(node: Any, state: State) -> Iterator[str]:
    state.harmless.add("changing-column-type")
    if ("type", name(node.relation)) not in state.created:
        yield "alter-type"


def _add_constraint(table: str, command: Any, statement: Statement, state: State) -> Iterator[str]:
    constraint = command.def_
    what = constraint.contype.name
    if what in ("CONSTR_UNIQUE", "CONSTR_PRIMARY"):
        yield from _add_key(table, constraint, state)
    elif what == "CONSTR_EXCLUSION":
        state.harmless |= _NO_SUCH_THING
        yield from ("exclusion-constraint", "constraint-in-expand")
    elif what in ("CONSTR_FOREIGN", "CONSTR_CHECK", "CONSTR_NOTNULL"):
        yield from _add_check(table, constraint, statement, state)


def _add_key(table: str, constraint: Any, state: State) -> Iterator[str]:
    state.harmless |= _NO_SUCH_THING
    named = [str(one.sval) for one in constraint.keys or ()]
    if constraint.indexname is None:
        yield "disallowed-unique-constraint"
    else:
        # The existing index has enforced the same since it was made.
        state.harmless |= {"disallowed-unique-constraint", "adding-not-nullable-field"}
        index = state.catalog.indexes.get(index_name(table, constraint.indexname))
        named = list(index.columns) if index is not None else []
        if constraint.contype.name == "CONSTR_PRIMARY" and not _filled(table, named, state):
            # PRIMARY KEY USING INDEX sets NOT NULL, which reads the table.
            state.harmless.discard("adding-not-nullable-field")
            yield "adding-not-nullable-field"
            yield "constraint-in-expand"
        return
    known = state.refuses_already(table, key_of(constraint))
    if constraint.contype.name == "CONSTR_PRIMARY":
        spared = known and _filled(table, named, state)
    else:
        spared = known or columns.distinct([state.value(table, one) for one in named], constraint)
    if not spared:
        yield "constraint-in-expand"


def _filled(table: str, named: list[str], state: State) -> bool:
    return bool(named) and all((table, one) in state.catalog.filled for one in named)


def _add_check(table: str, constraint: Any, statement: Statement, state: State) -> Iterator[str]:
    foreign = constraint.contype.name == "CONSTR_FOREIGN"
    if foreign and state.new(table) and state.live(name(constraint.pktable)):
        yield "reference-to-live-table"
    if constraint.skip_validation:
        state.unproven[(table, str(constraint.conname))] = statement.transaction
    else:
        yield "adding-foreign-key-constraint" if foreign else "constraint-missing-not-valid"
        state.harmless.add("constraint-missing-not-valid" if foreign else "")
    if not _accepted(table, constraint, state):
        yield "constraint-in-expand"


def _accepted(table: str, constraint: Any, state: State) -> bool:
    """Whether the rows of old code, which does not write new columns, satisfy a constraint."""
    if constraint.contype.name == "CONSTR_FOREIGN":
        key = foreign_key(constraint, state.catalog.primary(name(constraint.pktable)))
        if state.refuses_already(table, key):
            return True
        values = [state.value(table, str(one.sval)) for one in constraint.fk_attrs]
        return nulls.NULL in values or nulls.MAYBE not in values
    if constraint.contype.name == "CONSTR_NOTNULL":
        return all(state.value(table, str(one.sval)) == nulls.FILLED for one in constraint.keys)
    return state.refuses_already(table, constraint.raw_expr) or nulls.accepts(
        constraint.raw_expr, lambda column: state.value(table, column)
    )


def _validate(table: str, command: Any, statement: Statement, state: State) -> Iterator[str]:
    key = (table, str(command.name))
    added_in = state.unproven.get(key)
    if added_in is not None and added_in == statement.transaction:
        yield "validate-in-same-transaction"
        state.harmless.add("constraint-missing-not-valid")
    elif state.locked(statement.transaction) and state.live(table):
        state.notes["rows-under-lock"] = f" ({state.locked(statement.transaction)})"
        yield "rows-under-lock"


def _drop_constraint(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    # Old code works with fewer constraints, but its ON CONFLICT needs the unique ones.
    state.harmless.add("drop-in-expand")
    named = str(command.name)
    again = state.made_again(table, named)
    state.lived_with(table, named)
    if ("constraint", table, named) in state.created:
        return
    sort = state.catalog.constraint(table, named)
    if sort == UNIQUE and not again:
        yield "drop-key-in-expand"
    elif sort not in (UNIQUE, OTHER) and not state.checks_again(table, named):
        yield "dropping-unknown-constraint"


def _attach(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    part = name(command.def_.name)
    if state.new(part) and state.new(table):
        return
    if table in state.catalog.defaults:
        state.notes["attach-partition"] = DEFAULT
        yield "attach-partition"
    elif state.new(part) or state.catalog.excludes(part, table):
        yield "create-partition-of"
    else:
        yield "attach-partition"


def _detach(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    if not command.def_.concurrent:
        yield "require-concurrent-partition-detach"
    if state.live(table):
        yield "drop-in-expand"


def _identity(_table: str, command: Any, _statement: Statement, _state: State) -> Iterator[str]:
    """Only ALWAYS refuses the values that old code writes."""
    definition = command.def_
    if command.subtype.name == "AT_SetIdentity":
        given = {one.defname: one.arg for one in definition}
        if "restart" in given:
            yield "sequence-restart"
        if getattr(given.get("generated"), "ival", None) == ord("a"):
            yield "constraint-in-expand"
    elif definition.generated_when == "a":
        yield "constraint-in-expand"


def _logged(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """Nothing happens to a table that is so already."""
    logged = command.subtype.name == "AT_SetLogged"
    if table in state.catalog.relations and logged == (table not in state.catalog.unlogged):
        state.harmless.add("set-logged")
    else:
        yield "set-logged"


def _access_method(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    if command.name != "heap" or table not in state.catalog.heap:
        yield "rewrite-table"


def _disable_trigger(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """Nobody else writes before the end of the transaction, which may enable it again. ALL means those of foreign keys
    too, which PostgreSQL lets a superuser disable alone."""
    enabled = command.subtype.name.replace("Disable", "Enable")
    again = state.later(table, enabled, "AT_EnableTrigAll")
    whole = command.subtype.name == "AT_DisableTrigAll"
    if not whole and any(one.subtype.name != enabled or one.name == command.name for one in again):
        state.harmless.add("disable-trigger")
    else:
        yield "disable-trigger"


def _row_security(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """FORCE does nothing without row security; neither does row security if a policy lets everybody pass."""
    catalog, forces = state.catalog, command.subtype.name in ("AT_ForceRowSecurity", "AT_NoForceRowSecurity")
    if catalog.open(table) or (not catalog.secure(table) and (forces or "Disable" in command.subtype.name)):
        state.harmless.add("row-security-in-expand")
    else:
        yield "row-security-in-expand"


def _replica_identity(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    how = str(command.def_.identity_type)
    if table in state.catalog.published and state.catalog.keyless(table, how):
        state.notes["other-answers-in-expand"] = KEYLESS.format(table)
        yield "other-answers-in-expand"


def _inherit(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """The parent then has the child's rows too."""
    parent = name(command.def_)
    if state.live(parent) and (state.live(table) or table in state.written):
        state.notes["other-answers-in-expand"] = f": {parent} then has the rows of {table} too"
        yield "other-answers-in-expand"


_COMMANDS: dict[str, Callable[[str, Any, Statement, State], Iterator[str]]] = {
    **dict.fromkeys(("AT_EnableRowSecurity", "AT_ForceRowSecurity", "AT_DisableRowSecurity", "AT_NoForceRowSecurity"),
                    _row_security),
    **dict.fromkeys(("AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser"), _disable_trigger),
    "AT_ReplicaIdentity": _replica_identity,
    "AT_SetLogged": _logged, "AT_SetUnLogged": _logged, "AT_SetAccessMethod": _access_method,
    "AT_AddInherit": _inherit, "AT_AddColumn": columns.add, "AT_AddConstraint": _add_constraint,
    "AT_AddIdentity": _identity,
    "AT_AlterColumnType": columns.change_type, "AT_AttachPartition": _attach, "AT_ColumnDefault": columns.default,
    "AT_DetachPartition": _detach, "AT_DropColumn": columns.drop, "AT_DropConstraint": _drop_constraint,
    "AT_DropNotNull": columns.drop_not_null, "AT_SetIdentity": _identity, "AT_SetNotNull": columns.set_not_null,
    "AT_ValidateConstraint": _validate,
}  # fmt: skip
