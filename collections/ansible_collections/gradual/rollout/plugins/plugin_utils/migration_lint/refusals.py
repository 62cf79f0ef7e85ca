# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What PostgreSQL refuses whatever the rows are: a statement in the wrong place, or against what the revisions made.

Sources: PreventInTransactionBlock and RequireTransactionBlock in PostgreSQL's src/backend, and each command's page.
tests/database/test_lint_refusals.py holds the answers against a server.
"""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import bounds, learning, views
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.addresses import signature
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import MATVIEW, Catalog, index_name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import (
    ParseError,
    Statement,
    pglast,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    columns_of,
    kind,
    name,
    relations_of,
    walk,
)

_NEVER_INSIDE = {
    "AlterSystemStmt": "ALTER SYSTEM", "CreatedbStmt": "CREATE DATABASE", "DropdbStmt": "DROP DATABASE",
    "CreateTableSpaceStmt": "CREATE TABLESPACE", "DropTableSpaceStmt": "DROP TABLESPACE",
}  # fmt: skip
_WHOLE = frozenset(("REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_DATABASE", "REINDEX_OBJECT_SYSTEM"))
_SAVEPOINTS = frozenset(("TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO"))
# CURSOR_OPT_HOLD (parsenodes.h).
_HOLD = 0x0020
_SUPERUSERS = {
    "CreateOpClassStmt": "CREATE OPERATOR CLASS", "CreateOpFamilyStmt": "CREATE OPERATOR FAMILY",
    "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER", "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "CreateAmStmt": "CREATE ACCESS METHOD",
}  # fmt: skip
_INHERITED = {"AT_AddColumn": "add a column to", "AT_DropColumn": "drop an inherited column of",
              "AT_AlterColumnType": "change the type of an inherited column of"}  # fmt: skip
_MAKES = {"CreateStmt": "relation", "CreateSeqStmt": "sequence", "ViewStmt": "view", "IndexStmt": "relation"}


def refused(node: Any, statement: Statement, catalog: Catalog) -> Iterator[str]:
    """Reasons why PostgreSQL refuses a statement; none where a condition may leave it out."""
    yield from _place(node, statement)
    if not statement.certain:
        return
    if kind(node) in _SUPERUSERS or _base_type(node):
        yield f"{_SUPERUSERS.get(kind(node), 'CREATE TYPE without a definition')} needs a superuser"
    if kind(node) in _MAKES and not getattr(node, "if_not_exists", False) and not getattr(node, "replace", False):
        yield from _there(node, catalog)
    if kind(node) == "AlterTableStmt" and node.objtype.name != "OBJECT_TYPE":
        yield from _altered(node, catalog)
    handler = {"CreateStmt": _partition, "ViewStmt": _view, "CreateFunctionStmt": _function}.get(kind(node))
    if handler is not None:
        yield from handler(node, catalog)
    if kind(node) == "RefreshMatViewStmt" and node.concurrent:
        view = name(node.relation)
        unique = [one for one in catalog.indexes.values() if one.table == view and one.unique and not one.partial]
        if catalog.relations.get(view) == MATVIEW and not unique:
            yield f"REFRESH … CONCURRENTLY needs a unique index of plain columns on {view}"
    part = name(node.relation) if kind(node) == "RenameStmt" and node.renameType.name == "OBJECT_COLUMN" else ""
    if part in catalog.partitions:
        yield f"it cannot rename an inherited column of {part}, which is a partition"


def _place(node: Any, statement: Statement) -> Iterator[str]:
    inside = statement.transaction is not None or statement.nested
    alone = _only_outside(node)
    if inside and alone:
        yield f"{alone} cannot run inside a transaction block"
    if kind(node) == "DoStmt" and statement.transaction is not None and statement.commits:
        yield "the block commits, and cannot inside a transaction"
    if not inside and _only_inside(node):
        yield f"{_only_inside(node)} can only be used in a transaction block"


def _only_outside(node: Any) -> str:
    """The command that cannot run in a transaction block; those with CONCURRENTLY have a rule of their own."""
    what = kind(node)
    if what == "VacuumStmt":
        return "VACUUM" if node.is_vacuumcmd else ""
    if what == "ReindexStmt" and node.kind.name in _WHOLE:
        return "REINDEX of a schema or a database"
    if what == "ClusterStmt" and node.relation is None:
        return "CLUSTER of every table"
    if what == "DiscardStmt" and node.target.name == "DISCARD_ALL":
        return "DISCARD ALL"
    if what == "AlterDatabaseStmt" and any(one.defname == "tablespace" for one in node.options or ()):
        return "ALTER DATABASE SET TABLESPACE"
    if what == "CreateSubscriptionStmt" and not _off(node.options, ("connect", "create_slot")):
        return "CREATE SUBSCRIPTION with a slot"
    if what == "DropSubscriptionStmt":
        return "DROP SUBSCRIPTION with a slot"
    if what == "AlterSubscriptionStmt" and _refreshes(node):
        return "ALTER SUBSCRIPTION with a refresh"
    return _NEVER_INSIDE.get(what, "")


def _refreshes(node: Any) -> bool:
    what = node.kind.name.removeprefix("ALTER_SUBSCRIPTION_")
    return what == "REFRESH" or (what.endswith("_PUBLICATION") and not _off(node.options, ("refresh",)))


def _off(options: Any, names: tuple[str, ...]) -> bool:
    """Whether one of these options is switched off."""
    off = ("false", "off", "0", "none")
    return any(
        one.defname in names and str(getattr(one.arg, "sval", getattr(one.arg, "boolval", True))).lower() in off
        for one in options or ()
    )


def _only_inside(node: Any) -> str:
    what = kind(node)
    if what == "LockStmt":
        return "LOCK TABLE"
    if what == "TransactionStmt" and node.kind.name in _SAVEPOINTS:
        return "SAVEPOINT"
    return "DECLARE CURSOR" if what == "DeclareCursorStmt" and not node.options & _HOLD else ""


def _base_type(node: Any) -> bool:
    return kind(node) == "DefineStmt" and node.kind.name == "OBJECT_TYPE"


def _there(node: Any, catalog: Catalog) -> Iterator[str]:
    """CREATE of a relation whose name is taken; indexes share the names of tables."""
    if kind(node) == "IndexStmt":
        made = index_name(name(node.relation), node.idxname)
    else:
        made = name(getattr(node, {"CreateSeqStmt": "sequence", "ViewStmt": "view"}.get(kind(node), "relation")))
    index = catalog.indexes.get(made)
    if made and (made in catalog.relations or (index is not None and index.certain)):
        yield f"the {_MAKES[kind(node)]} {made} already exists"


def _altered(node: Any, catalog: Catalog) -> Iterator[str]:
    table = name(node.relation)
    for command in node.cmds:
        what, definition = command.subtype.name, command.def_
        if what == "AT_AddColumn" and not command.missing_ok and (table, str(definition.colname)) in catalog.columns:
            yield f"the column {definition.colname} of {table} already exists"
        if what in _INHERITED and table in catalog.partitions:
            yield f"it cannot {_INHERITED[what]} {table}, which is a partition"
        if what == "AT_AttachPartition" and definition.bound is not None:
            yield from _overlap(table, definition.bound, catalog)
        if what == "AT_AddConstraint" and definition.indexname:
            index = catalog.indexes.get(index_name(table, definition.indexname))
            if index is not None and (index.partial or not index.unique):
                yield f"{definition.indexname} is no unique index of plain columns and all rows"


def _partition(node: Any, catalog: Catalog) -> Iterator[str]:
    if node.partbound is not None:
        yield from _overlap(name(node.inhRelations[0]), node.partbound, catalog)


def _overlap(parent: str, bound: Any, catalog: Catalog) -> Iterator[str]:
    for part, one in catalog.partitions.items():
        if one.parent == parent and bounds.overlap(one.bound, bound):
            yield f"the partition would overlap {part}"


def _view(node: Any, catalog: Catalog) -> Iterator[str]:
    before = catalog.views.get(name(node.view))
    old, new = (views.columns(before) if before is not None else None), views.columns(node)
    if node.replace and old is not None and new is not None and new[: len(old)] != old:
        yield f"CREATE OR REPLACE VIEW must keep the columns {', '.join(old)}, and in this order"


def _function(node: Any, catalog: Catalog) -> Iterator[str]:
    before, now = catalog.functions.get(signature(node)), learning.function(node)
    if before is not None and not node.replace:
        yield f"the function {signature(node)} already exists"
    elif before is not None and before.returns != now.returns:
        yield f"CREATE OR REPLACE FUNCTION must return {before.returns}, as before"
    if now.language == "c" or any(one.defname == "leakproof" for one in node.options or ()):
        yield "a function in C, or LEAKPROOF, needs a superuser"
    if now.language == "sql" and now.body:
        yield from _body(now.body, {str(one.name) for one in node.parameters or () if one.name}, catalog)


def _body(body: str, own: set[str], catalog: Catalog) -> Iterator[str]:
    """PostgreSQL checks bodies in SQL (check_function_bodies): a query of one table must name its columns."""
    try:
        queries = [one.stmt for one in pglast.parse_sql(body)]
    except ParseError as error:
        yield f"it does not understand the body: {error.args[0]}"
        return
    for query in queries:
        tables = [name(one) for one in relations_of(query)]
        selects = [one for one in walk(query) if kind(one) == "SelectStmt"]
        if len(tables) == 1 and len(selects) == 1 and kind(query) == "SelectStmt" and len(query.fromClause or ()) == 1:
            given = own | {str(one.name) for one in query.targetList or () if one.name} | set(tables)
            missing = [one for one in columns_of(query) if catalog.lacks(tables[0], one) and one not in given]
            yield from (f"the body names {tables[0]}.{one}, which does not exist" for one in missing[:1])
