# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules the sub-commands of ALTER TABLE break that add, change or drop a column."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import (
    addresses,
    column_types,
    nulls,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.nulls import FILLED, NULL
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import calls, column_of, kind, walk

_TYPE_NOTES = {
    "unknown": "; the old type of {column} is not known, and some changes rewrite nothing: let the release say it"
    " (existing_type= in Alembic, or the revision that creates the column)",
    column_types.INDEXES: "; from {old} the table itself is not rewritten, but every index on the column is",
    column_types.REWRITTEN: "; the old type is {old}",
    "bound": "; from {old} nothing is rewritten, but PostgreSQL refuses it: a view, a generated column or a trigger"
    " uses the column; drop and create that in the same revision",
    "watched": "; from {old} nothing is rewritten, but a CHECK, or an index with an expression or a condition, names"
    " the column, and all rows are read for it",
}


def distinct(values: Sequence[str], made: Any) -> bool:
    """Whether no two rows of old code are equal for a unique constraint or index, since one of the values (as
    nulls.outcome tells them) is NULL in each. made: as the parser has it."""
    return NULL in values and not made.nulls_not_distinct


def add(table: str, command: Any, statement: Statement, state: State) -> Iterator[str]:
    """ADD COLUMN."""
    column = command.def_
    key = (table, str(column.colname))
    constraints = {one.contype.name: one for one in column.constraints or ()}
    filled = _filled(column, constraints)
    state.added[key] = FILLED if filled or not _null_default(constraints) else NULL
    yield from _add_values(column, constraints, state)
    yield from _add_constraints(table, key[1], constraints, state)
    maybe = command.missing_ok and not state.catalog.lacks(*key)
    if (maybe or not statement.certain) and not state.empty:
        # The column may exist already, with values of the previous release.
        state.added.pop(key, None)


def _filled(column: Any, constraints: dict[str, Any]) -> bool:
    """Whether PostgreSQL computes a value for each row."""
    serial = str(column.typeName.names[-1].sval) in column_types.SERIAL
    return serial or bool({"CONSTR_IDENTITY", "CONSTR_GENERATED"} & set(constraints))


def _null_default(constraints: dict[str, Any]) -> bool:
    default = constraints.get("CONSTR_DEFAULT")
    return default is None or (kind(default.raw_expr) == "A_Const" and bool(default.raw_expr.isnull))


def _virtual(constraints: dict[str, Any]) -> bool:
    made = constraints.get("CONSTR_GENERATED")
    return made is not None and made.generated_kind == "v"


def _add_values(column: Any, constraints: dict[str, Any], state: State) -> Iterator[str]:
    """What makes PostgreSQL write a value into each row (ATExecAddColumn in tablecmds.c)."""
    default = constraints.get("CONSTR_DEFAULT")
    volatile = default is not None and state.catalog.volatile(default.raw_expr)
    filled = _filled(column, constraints)
    of = column_types.of(column.typeName)
    domain = state.catalog.domains.get(of.name) if not of.array else None
    if volatile or (filled and not _virtual(constraints)) or (default is None and domain and domain.volatile):
        yield "adding-field-with-default"
    elif default is not None:
        # The default is one value for all rows; squawk may judge the function otherwise.
        state.harmless.add("adding-field-with-default")
    if domain is not None and domain.constrained:
        yield "adding-domain-field"
    elif domain is None and not column_types.plain(of, state.catalog.types):
        state.notes["unknown-type"] = f" ({of.name})"
        yield "unknown-type"
    required = {"CONSTR_NOTNULL", "CONSTR_PRIMARY"} & set(constraints) or (domain is not None and domain.required)
    if required and _null_default(constraints) and not filled:
        yield "adding-required-field"


def _add_constraints(table: str, column: str, constraints: dict[str, Any], state: State) -> Iterator[str]:
    if "CONSTR_PRIMARY" in constraints:
        yield "adding-serial-primary-key-field"
        state.harmless.add("disallowed-unique-constraint")
    elif "CONSTR_UNIQUE" in constraints:
        yield "disallowed-unique-constraint"
        if state.value(table, column) == FILLED:
            # Two rows of old code have the same default.
            yield "constraint-in-expand"
    if "CONSTR_CHECK" in constraints:
        yield "constraint-missing-not-valid"
        if not nulls.accepts(constraints["CONSTR_CHECK"].raw_expr, lambda one: state.value(table, one)):
            yield "constraint-in-expand"
    if "CONSTR_FOREIGN" in constraints:
        if state.value(table, column) == NULL:
            # transformFKConstraints in parse_utilcmd.c: with a null default, no row is checked.
            state.harmless |= {"adding-foreign-key-constraint", "constraint-missing-not-valid"}
            yield "reference-to-live-table"
        else:
            yield "adding-foreign-key-constraint"


def change_type(table: str, command: Any, statement: Statement, state: State) -> Iterator[str]:
    """ALTER COLUMN TYPE. One that rewrites nothing is short, and old code can read and write the wider type."""
    column, new = str(command.name), column_types.of(command.def_.typeName)
    old = state.old_type(statement, table, column)
    how = "unknown" if old is None else column_types.change(old, new, state.catalog.domains)
    if how == column_types.KEPT and (table, column) in state.catalog.watched and old != new:
        how = "watched"
    if how == column_types.KEPT and state.catalog.bound_to(table, column):
        how = "bound"
    if how == column_types.KEPT and not _converts(column, command.def_, new):
        state.harmless.add("changing-column-type")
        return
    note = _TYPE_NOTES.get(how, "; USING or COLLATE makes it more than a wider type")
    state.notes["changing-column-type"] = note.format(column=f"{table}.{column}", old=_text(old))
    yield "changing-column-type"


def _text(of: column_types.Type | None) -> str:
    if of is None:
        return ""
    return of.name + (f"({','.join(map(str, of.modifiers))})" if of.modifiers else "") + ("[]" if of.array else "")


def _converts(column: str, definition: Any, new: column_types.Type) -> bool:
    """Whether USING computes something else than the column in its new type, or the order of texts changes."""
    using = definition.raw_default
    if definition.collClause is not None:
        return True
    if kind(using) == "TypeCast" and column_types.of(using.typeName) == new:
        using = using.arg
    return using is not None and not (kind(using) == "ColumnRef" and column_of(using) == column)


def default(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """SET DEFAULT and DROP DEFAULT."""
    key = (table, str(command.name))
    if command.def_ is not None:
        if key in state.added:
            state.added[key] = FILLED
            if key in state.catalog.keys and not state.catalog.volatile(command.def_):
                # Two rows of old code have the same default.
                yield "constraint-in-expand"
        yield from _unreached(table, command.def_, state)
    elif key in state.catalog.bare or _set_again(*key, state):
        state.harmless.add("drop-default-in-expand")
    elif key not in state.added or key in state.catalog.filled:
        yield "drop-default-in-expand"
    else:
        state.added[key] = NULL
        state.harmless.add("drop-default-in-expand")


def _set_again(table: str, column: str, state: State) -> bool:
    """Whether the transaction gives the column a default again, as it does around a new type."""
    return any(one.name == column and one.def_ is not None for one in state.later(table, "AT_ColumnDefault"))


def _unreached(table: str, value: Any, state: State) -> Iterator[str]:
    """A default from a new sequence, which roles of old code may not use."""
    texts = [str(one.sval) for one in walk(value) if kind(one) == "String"] if "nextval" in calls(value) else []
    for sequence in (("sequence", one.removeprefix("public.")) for one in texts):
        granted = [role for one in state.regranted for role in addresses.grantees(one)
                   if sequence in addresses.granted(one, state.catalog)]  # fmt: skip
        roles = [one for one in state.catalog.unreached("sequence", sequence) if one not in granted]
        if sequence in state.created and state.live(table) and roles:
            state.notes["other-answers-in-expand"] = f": {', '.join(roles)} may not use {sequence[1]}"
            yield "other-answers-in-expand"


def drop(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """DROP COLUMN."""
    if (table, str(command.name)) not in state.added:
        yield "drop-in-expand"
    else:
        state.harmless.add("drop-in-expand")


def set_not_null(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """SET NOT NULL."""
    column = str(command.name)
    if (table, column) in state.catalog.filled:
        state.harmless |= {"adding-not-nullable-field", "not-null-in-expand"}
        return
    yield "adding-not-nullable-field"
    if state.value(table, column) != FILLED:
        yield "not-null-in-expand"


def drop_not_null(table: str, command: Any, _statement: Statement, state: State) -> Iterator[str]:
    """DROP NOT NULL."""
    if (table, str(command.name)) in state.added:
        state.harmless.add("ban-drop-not-null")
    else:
        yield "ban-drop-not-null"
