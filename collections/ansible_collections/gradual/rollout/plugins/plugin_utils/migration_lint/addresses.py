# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects a statement is about: those that it drops, renames, moves or grants. An address is (kind, name, …)."""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import column_types
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import MATVIEW, Catalog, index_name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import Address
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, name

_KINDS = {
    "OBJECT_FUNCTION": "function", "OBJECT_PROCEDURE": "function", "OBJECT_ROUTINE": "function", "OBJECT_VIEW": "view",
    "OBJECT_TRIGGER": "trigger", "OBJECT_POLICY": "policy", "OBJECT_TABLE": "table", "OBJECT_MATVIEW": "table",
    "OBJECT_FOREIGN_TABLE": "table", "OBJECT_TYPE": "type", "OBJECT_DOMAIN": "type", "OBJECT_SEQUENCE": "sequence",
    "OBJECT_SCHEMA": "schema", "OBJECT_EXTENSION": "extension", "OBJECT_INDEX": "index",
}  # fmt: skip
PUBLIC = "public"


def address(target: str, one: Any, catalog: Catalog) -> Address:
    """The address of an object that DROP, GRANT, RENAME, SET SCHEMA or OWNER names."""
    what = _KINDS.get(target, "")
    if what == "function":
        return what, catalog.only(joined(one.objname)) if one.args_unspecified else signature(one)
    if what in ("trigger", "policy"):
        return what, joined(one[:-1]), str(one[-1].sval)
    if hasattr(one, "relname"):
        return what, name(one)
    if hasattr(one, "sval"):
        return what, str(one.sval)
    return what, joined(getattr(one, "names", None) or one)


def dropped(node: Any, catalog: Catalog) -> Iterator[Address]:
    """What a statement takes away: DROP, and the sub-commands of ALTER TABLE."""
    if kind(node) == "DropStmt":
        for one in node.objects:
            gone = address(node.removeType.name, one, catalog)
            yield gone
            if node.behavior.name == "DROP_CASCADE":
                yield from _dependent(catalog, gone[-1])
            yield from (("table", part) for part, it in catalog.partitions.items() if ("table", it.parent) == gone)
            if node.removeType.name == "OBJECT_INDEX" and joined(one) in catalog.indexes:
                yield "constraint", catalog.indexes[joined(one)].table, joined(one).rpartition(".")[2]
    if kind(node) != "AlterTableStmt":
        return
    for table in family(node, catalog):
        for command in node.cmds:
            if command.subtype.name == "AT_DropColumn":
                yield "column", table, str(command.name)
                if command.behavior.name == "DROP_CASCADE":
                    yield from _dependent(catalog, table, str(command.name))
            elif command.subtype.name == "AT_DropConstraint":
                yield "constraint", table, str(command.name)
                yield "index", index_name(table, command.name)


def _dependent(catalog: Catalog, relation: str, column: str = "") -> list[Address]:
    """The views that CASCADE drops with a relation, or with a column of it, and those on top of them."""
    found: list[Address] = []
    below = [(relation, column)]
    while below:
        of, part = below.pop()
        users = [one for one, used in catalog.bound.items() if one[0] == "view" and one not in found
                 and any(table == of and part in ("", name_) for table, name_ in used)]  # fmt: skip
        found += users
        below += [(one[1], "") for one in users]
    return found


def moves(node: Any, catalog: Catalog) -> Iterator[tuple[Address, str]]:
    """(address, new name) of what a statement renames, or moves into another schema."""
    if kind(node) == "AlterObjectSchemaStmt":
        target = node.relation if node.relation is not None else node.object
        what = address(node.objectType.name, target, catalog)
        new = _in_schema(what[1].rpartition(".")[2], str(node.newschema))
        for one, index in catalog.indexes.items():
            if index.table == what[1]:
                yield ("index", one), index_name(new, one.rpartition(".")[2])
        yield what, new
    elif kind(node) == "AlterTableStmt":
        for command in node.cmds:
            if command.subtype.name == "AT_AddConstraint" and command.def_.indexname:
                table = name(node.relation)
                new = str(command.def_.conname or command.def_.indexname)
                yield ("constraint", table, str(command.def_.indexname)), new
                yield ("index", index_name(table, command.def_.indexname)), index_name(table, new)
    elif kind(node) == "RenameStmt":
        yield from _renamed(node, catalog)


def _renamed(node: Any, catalog: Catalog) -> Iterator[tuple[Address, str]]:
    what, new, table = node.renameType.name, str(node.newname), name(node.relation)
    if what in ("OBJECT_COLUMN", "OBJECT_ATTRIBUTE"):
        yield from ((("column", one, str(node.subname)), new) for one in family(node, catalog))
    elif what == "OBJECT_TABCONSTRAINT":
        yield ("constraint", table, str(node.subname)), new
        yield ("index", index_name(table, node.subname)), index_name(table, new)
    elif what == "OBJECT_INDEX":
        if table in catalog.indexes:
            yield ("constraint", catalog.indexes[table].table, table.rpartition(".")[2]), new
        yield ("index", table), index_name(table, new)
    elif what in ("OBJECT_TRIGGER", "OBJECT_POLICY"):
        yield (_KINDS[what], table, str(node.subname)), new
    elif what == "OBJECT_SCHEMA":
        yield ("schema", str(node.subname)), new
    elif what in _KINDS:
        known = address(what, node.object if node.relation is None else node.relation, catalog)
        own, parenthesis, arguments = known[1].partition("(")
        yield known, index_name(own, new) + parenthesis + arguments


def _in_schema(bare: str, schema: str) -> str:
    return bare if schema == PUBLIC else f"{schema}.{bare}"


def family(node: Any, catalog: Catalog) -> list[str]:
    """A table and its known partitions, which ALTER TABLE changes too."""
    table = name(node.relation)
    return [table, *(part for part, one in catalog.partitions.items() if one.parent == table)]


def signature(function: Any) -> str:
    """name(types of the input arguments), of CREATE FUNCTION or of the function that a DROP names."""
    if kind(function) == "CreateFunctionStmt":
        given = [
            one for one in function.parameters or () if one.mode.name not in ("FUNC_PARAM_OUT", "FUNC_PARAM_TABLE")
        ]
        return f"{joined(function.funcname)}({','.join(type_of(one.argType) for one in given)})"
    return f"{joined(function.objname)}({','.join(type_of(one) for one in function.objargs or ())})"


def type_of(node: Any) -> str:
    """The name of a type, with [] if it is an array."""
    of = column_types.of(node)
    return of.name + ("[]" if of.array else "")


def granted(node: Any, catalog: Catalog) -> list[Address]:
    """What a GRANT or REVOKE is about; for ALL … IN SCHEMA the relations that are known."""
    if node.targtype.name == "ACL_TARGET_ALL_IN_SCHEMA":
        wanted = "sequence" if node.objtype.name == "OBJECT_SEQUENCE" else "table"
        schemas = {str(one.sval) for one in node.objects}
        return [
            (_sort(what), one) for one, what in catalog.relations.items()
            if (what == "sequence") == (wanted == "sequence") and (one.rpartition(".")[0] or PUBLIC) in schemas
        ]  # fmt: skip
    found = [address(node.objtype.name, one, catalog) for one in node.objects or ()]
    # GRANT ON TABLE names views and sequences too.
    return [(_sort(catalog.relations.get(one[1], "table")), one[1]) if one[0] == "table" else one for one in found]


def _sort(relation: str) -> str:
    """A materialized view is a table to those who name it."""
    return "table" if relation == MATVIEW else relation


def grantees(node: Any) -> list[str]:
    """Roles of a GRANT or REVOKE."""
    return [PUBLIC if one.roletype.name == "ROLESPEC_PUBLIC" else str(one.rolename) for one in node.grantees or ()]
