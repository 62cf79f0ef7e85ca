# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules a statement breaks: the parser's tree in, names of rules out. Tables that the revision itself made are
exempt, because nobody uses them yet."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import columns, rows, tables
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import UNIQUE, signature
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import locks
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import EXPAND_ONLY
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import Object, State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    calls,
    joined,
    kind,
    name,
    walk,
)

# Statements that can run again after an interruption.
_REPEATABLE = ("VariableSetStmt", "TransactionStmt", "CommentStmt", "SelectStmt", "UpdateStmt", "GrantStmt")
_SESSION = frozenset(
    (
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "deadlock_timeout",
    )
)
_CLUSTER_WIDE = frozenset((
    "AlterSystemStmt", "CreatedbStmt", "DropdbStmt", "AlterDatabaseStmt", "AlterDatabaseSetStmt",
    "CreateTableSpaceStmt", "DropTableSpaceStmt", "CreateRoleStmt", "AlterRoleStmt", "AlterRoleSetStmt", "DropRoleStmt",
    "DropOwnedStmt", "ReassignOwnedStmt",
))  # fmt: skip
# Functions of PostgreSQL that a migration may call without a finding.
_HARMLESS_CALLS = frozenset(
    (
        "setval",
        "set_config",
        "nextval",
        "currval",
        "to_regclass",
        "pg_sleep",
        "now",
        "count",
        "max",
        "min",
        "sum",
        "avg",
        "bool_and",
        "bool_or",
        "string_agg",
        "array_agg",
        "pg_get_serial_sequence",
        "format",
        "current_setting",
    )
)


# Where the value of setval() comes from, if not from the migration's author.
_FROM_ROWS = frozenset(("max", "nextval", "currval", "last_value", "greatest"))
# Names that the application does not use.
_UNUSED_NAMES = frozenset(("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_DOMCONSTRAINT"))
_KINDS = {
    "OBJECT_FUNCTION": "function", "OBJECT_PROCEDURE": "function", "OBJECT_ROUTINE": "function", "OBJECT_VIEW": "view",
    "OBJECT_TRIGGER": "trigger", "OBJECT_POLICY": "policy", "OBJECT_TABLE": "table", "OBJECT_MATVIEW": "table",
    "OBJECT_FOREIGN_TABLE": "table", "OBJECT_TYPE": "type", "OBJECT_DOMAIN": "type", "OBJECT_SEQUENCE": "sequence",
    "OBJECT_SCHEMA": "schema", "OBJECT_EXTENSION": "extension",
}  # fmt: skip
# NAMEDATALEN - 1; and the bytes of the longest character, which PostgreSQL does not cut in two.
MOST_BYTES, MOST_CHARACTER = 63, 3


def rules(statement: Statement, state: State, alone: bool) -> set[str]:
    """Rules that the statement breaks; updates `state`. alone: every other statement of the revision can run again."""
    node = statement.node
    state.next(statement)
    found = set(_broken(kind(node), node, statement, state)) | set(_many_rows(statement, state))
    if _concurrent(node):
        found |= set(_concurrently(node, statement, state, alone))
    touched = [table for _mode, table in locks(node)]
    if touched and all(state.new(table) for table in touched):
        state.harmless |= tables.ABOUT_TABLES
    # On an empty database no old code runs; a table that no revision created shows that it is not empty.
    if state.phase != "expand" or (state.empty and all(state.new(table) for table in touched)):
        state.harmless |= EXPAND_ONLY
    state.learn(statement)
    return found - state.harmless


def _many_rows(statement: Statement, state: State) -> Iterator[str]:
    """What reads or writes rows without bound, and the lock that the transaction meanwhile holds."""
    node, locked = statement.node, state.locked(statement.transaction)
    written = [one for one in rows.written(node, state.scope) if not rows.whole(one)]
    if locked and (written or rows.read(node, state.scope)):
        state.notes["rows-under-lock"] = f" ({locked})"
        yield "rows-under-lock"
    elif any(kind(one) != "MergeStmt" for one in written):
        yield "unbounded-write"
    if kind(node) == "AlterEnumStmt" or statement.transaction is None:
        return
    used = {str(one.sval) for one in walk(node) if kind(one) == "String"}
    if used & state.values.get(statement.transaction, set()):
        yield "enum-value-in-same-transaction"


def _concurrently(node: Any, statement: Statement, state: State, alone: bool) -> Iterator[str]:
    if statement.transaction is not None:
        yield "ban-concurrent-index-creation-in-transaction"
    elif not alone:
        yield "concurrently-not-alone"
    if kind(node) != "IndexStmt":
        return
    if name(node.relation) in state.catalog.partitioned:
        yield "concurrently-on-partitioned"
    if not node.idxname or _cut(str(node.idxname), statement.sql):
        yield "index-name"


def _cut(index: str, sql: str) -> bool:
    """Whether the parser cut a name to 63 bytes, as PostgreSQL does."""
    after = sql.partition(index)[2][:1]
    return len(index.encode()) >= MOST_BYTES - MOST_CHARACTER and (after.isalnum() or after in ("_", "$"))


def repeatable(node: Any) -> bool:
    """Whether the statement can run again without failure or harm."""
    if kind(node) == "AlterTableStmt":
        return all(command.missing_ok for command in node.cmds)
    return (
        kind(node) in _REPEATABLE
        or bool(getattr(node, "if_not_exists", False) or getattr(node, "missing_ok", False))
        or _concurrent(node)
    )


def _concurrent(node: Any) -> bool:
    what = kind(node)
    if what == "ReindexStmt":
        return any(one.defname == "concurrently" for one in node.params or ())
    if what == "AlterTableStmt":
        return any(command.subtype.name == "AT_DetachPartition" and command.def_.concurrent for command in node.cmds)
    return what in ("IndexStmt", "DropStmt") and bool(node.concurrent)


def _broken(what: str, node: Any, statement: Statement, state: State) -> Iterator[str]:
    if what == "AlterTableStmt":
        yield from tables.alter(node, statement, state)
    elif what in _CLUSTER_WIDE:
        yield "cluster-wide"
    elif what in _SIMPLE:
        yield _SIMPLE[what]
    elif what in _CHECKS:
        yield from _CHECKS[what](node, state)
    elif what == "TransactionStmt":
        if statement.transaction is not None and not any(
            word in node.kind.name for word in ("SAVEPOINT", "RELEASE", "ROLLBACK_TO")
        ):
            yield "transaction-nesting"
    elif what not in _HARMLESS:
        # An unknown statement does not pass.
        yield "unseen"


def _index(node: Any, state: State) -> Iterator[str]:
    table = name(node.relation)
    # On the partitioned table itself (ONLY) there are no rows.
    if not node.concurrent and not (table in state.catalog.partitioned and not node.relation.inh):
        yield "require-concurrent-index-creation"
    else:
        state.harmless.add("require-concurrent-index-creation")
    indexed = [one.name for one in node.indexParams]
    if node.unique and not columns.only_new(table, indexed, state):
        yield "constraint-in-expand"


def _drop(node: Any, state: State) -> Iterator[str]:
    target = node.removeType.name
    if target == "OBJECT_INDEX":
        yield from _drop_index(node, state)
        return
    dropped = [_named(target, one, state) for one in node.objects]
    if all(one in state.created for one in dropped):
        state.harmless.add("drop-in-expand")
        return
    state.lost.update(dropped)
    if all(_replaced(one, state) for one in dropped):
        state.harmless.add("drop-in-expand")
        if target not in ("OBJECT_TRIGGER", "OBJECT_POLICY"):
            yield "replace-in-expand"
    else:
        yield "drop-in-expand"


def _replaced(dropped: Object, state: State) -> bool:
    """Whether the revision makes it again; a function with the same arguments, and with the same result where the
    former one is known."""
    what, named = dropped
    if dropped not in state.remade or what in ("table", "type", "sequence", "schema"):
        return False
    before = state.catalog.results.get(named)
    return what != "function" or before is None or before == state.results.get(named)


def _drop_index(node: Any, state: State) -> Iterator[str]:
    for one in node.objects:
        index = state.catalog.indexes.get(joined(one))
        new = ("index", joined(one)) in state.created
        if new and index is not None and state.new(index.table):
            state.harmless |= {"require-concurrent-index-deletion"}
        elif not node.concurrent:
            yield "require-concurrent-index-deletion"
        unique = index.unique if index is not None else state.catalog.constraint("", joined(one)) == UNIQUE
        if unique and not new:
            yield "drop-key-in-expand"


def _named(target: str, one: Any, state: State) -> Object:
    """(kind, name) of an object that DROP, REVOKE or OWNER names, as state.made has it."""
    what = _KINDS.get(target, "")
    if what == "function":
        return what, state.catalog.only(joined(one.objname)) if one.args_unspecified else signature(one)
    if hasattr(one, "relname"):
        return what, name(one)
    if hasattr(one, "sval"):
        return what, str(one.sval)
    return what, joined(getattr(one, "names", None) or one)


def _rename(node: Any, state: State) -> Iterator[str]:
    target = node.renameType.name
    new = node.relation is not None and (name(node.relation), str(node.subname)) in state.added
    if target in ("OBJECT_TABCONSTRAINT", "OBJECT_INDEX"):
        # ON CONFLICT ON CONSTRAINT names a unique constraint, and renaming its index renames it.
        old = str(node.subname) if target == "OBJECT_TABCONSTRAINT" else str(node.relation.relname)
        quiet = state.catalog.constraint(name(node.relation), old) != UNIQUE or ("index", old) in state.created
    else:
        quiet = (
            target in _UNUSED_NAMES
            or new
            or (node.object is not None and _named(target, node.object, state) in state.created)
        )
    if quiet:
        state.harmless.add("rename-in-expand")
    else:
        yield "rename-in-expand"


def _owner(node: Any, state: State) -> Iterator[str]:
    if _named(node.objectType.name, node.object, state) not in state.created:
        yield "owner-in-expand"


def _sequence(node: Any, state: State) -> Iterator[str]:
    if {"restart", "increment"} & {one.defname for one in node.options or ()} and not state.new(name(node.sequence)):
        yield "sequence-restart"


def _update(node: Any, state: State) -> Iterator[str]:
    if rows.whole(node):
        yield "whole-table-update" if kind(node) == "UpdateStmt" else "whole-table-delete"
    yield from _inside(node, state)


def _insert(node: Any, state: State) -> Iterator[str]:
    queries = [one for one in walk(node.selectStmt) if kind(one) == "SelectStmt"]
    if any(rows.selects(one, state.scope) for one in queries):
        yield "insert-from-select"
    if node.selectStmt is not None:
        yield from _inside(node.selectStmt, state)
    yield from _inside(node, state)


def _merge(node: Any, state: State) -> Iterator[str]:
    if rows.written(node, state.scope):
        yield "insert-from-select"


def _replace(node: Any, state: State) -> Iterator[str]:
    new = ("function", signature(node)) if kind(node) == "CreateFunctionStmt" else ("view", name(node.view))
    if node.replace and new not in state.created:
        yield "replace-in-expand"
    else:
        state.harmless.add("replace-in-expand")


def _inside(node: Any, state: State) -> Iterator[str]:
    """Statements in WITH may write too."""
    for one in node.withClause.ctes if node.withClause is not None else ():
        handler = _CHECKS.get(type(one.ctequery).__name__)
        if handler is not None:
            yield from handler(one.ctequery, state)


def _select(node: Any, state: State) -> Iterator[str]:
    yield from _inside(node, state)
    if any(_restarts(one, state) for one in walk(node) if kind(one) == "FuncCall"):
        yield "sequence-restart"
    for called in calls(node):
        known = called.split(".")[-1] in _HARMLESS_CALLS or called.startswith("pg_catalog.")
        if not known and state.catalog.unsteady(called):
            yield "calls-function"
            return


def _restarts(call: Any, state: State) -> bool:
    """setval() to a value that does not come from the rows or from the sequence itself."""
    if call.funcname[-1].sval != "setval":
        return False
    # Also the table that pg_get_serial_sequence() is asked about.
    texts = [str(one.sval) for one in walk(call.args[0]) if kind(one) == "String"]
    if any(state.new(one.removeprefix("public.")) for one in texts):
        return False
    return not _FROM_ROWS & {one.split(".")[-1] for one in calls(call.args[1])}


def _set(node: Any, _state: State) -> Iterator[str]:
    if node.kind.name == "VAR_SET_VALUE" and node.name in _SESSION:
        yield "own-timeouts"
    if node.name == "session_replication_role" and node.kind.name == "VAR_SET_VALUE":
        yield "disable-trigger"


def _vacuum(node: Any, _state: State) -> Iterator[str]:
    if any(mode == "AccessExclusiveLock" for mode, _table in locks(node)):
        yield "vacuum-full"


def _grant(node: Any, state: State) -> Iterator[str]:
    if node.is_grant:
        return
    target = getattr(node, "objtype", None)
    named = [_named(target.name, one, state) for one in node.objects or ()] if target is not None else []
    if named and all(one in state.created or (one[0] == "table" and state.new(one[1])) for one in named):
        state.harmless.add("revoke-in-expand")
    else:
        yield "revoke-in-expand"


def _schema(node: Any, state: State) -> Iterator[str]:
    if node.object is None or _named(node.objectType.name, node.object, state) not in state.created:
        yield "rename-in-expand"
    else:
        state.harmless.add("rename-in-expand")


def _create_table(node: Any, state: State) -> Iterator[str]:
    if node.partbound is not None:
        yield "create-partition-of"
    referenced = {table for mode, table in locks(node) if mode == "ShareRowExclusiveLock"} - {name(node.relation)}
    if any(("table", table) not in state.created for table in referenced):
        yield "reference-to-live-table"


def _domain(node: Any, state: State) -> Iterator[str]:
    """ALTER DOMAIN: C adds a constraint, V validates one, O sets NOT NULL, T changes the default, X drops a
    constraint."""
    domain, what = joined(node.typeName), node.subtype
    state.harmless |= {"ban-alter-domain-with-add-constraint", "drop-in-expand" if what == "X" else ""}
    used = any(of.name == domain and state.live(table) for (table, _), of in state.catalog.columns.items())
    if ("type", domain) in state.created and not used:
        return
    if what in ("O", "V") or (what == "C" and not node.def_.skip_validation):
        state.harmless.discard("ban-alter-domain-with-add-constraint")
        yield "ban-alter-domain-with-add-constraint"
    if what in ("C", "O"):
        yield "constraint-in-expand"
    if what == "T" and node.def_ is None:
        yield "drop-default-in-expand"


def _enum(node: Any, state: State) -> Iterator[str]:
    if ("type", joined(node.typeName)) in state.created:
        state.harmless.add("rename-in-expand")
    elif node.oldVal is not None:
        yield "rename-in-expand"


def _reindex(node: Any, _state: State) -> Iterable[str]:
    return () if _concurrent(node) else ("reindex",)


_SIMPLE = {
    "AlterPolicyStmt": "row-security-in-expand", "CallStmt": "unseen", "ClusterStmt": "cluster",
    "CreatePolicyStmt": "row-security-in-expand", "CreateTrigStmt": "create-trigger", "LockStmt": "lock-table",
    "RuleStmt": "create-rule", "AlterTableMoveAllStmt": "rewrite-table", "TruncateStmt": "truncate",
}  # fmt: skip
_CHECKS = {
    "AlterDomainStmt": _domain, "AlterEnumStmt": _enum, "AlterObjectSchemaStmt": _schema, "AlterOwnerStmt": _owner,
    "AlterSeqStmt": _sequence,
    "CopyStmt": lambda node, _state: ("insert-from-select",) if node.is_from else (), "CreateFunctionStmt": _replace,
    "CreateStmt": _create_table, "DeleteStmt": _update, "DropStmt": _drop, "GrantStmt": _grant, "IndexStmt": _index,
    "InsertStmt": _insert, "MergeStmt": _merge,
    "RefreshMatViewStmt": lambda node, _state: () if node.concurrent else ("refresh-materialized-view",),
    "ReindexStmt": _reindex, "RenameStmt": _rename, "SelectStmt": _select, "UpdateStmt": _update,
    "VacuumStmt": _vacuum, "VariableSetStmt": _set, "GrantRoleStmt": _grant, "ViewStmt": _replace,
}  # fmt: skip
# New objects, comments and labels. The statements of DO blocks are checked separately.
_HARMLESS = frozenset((
    "AlterCollationStmt", "AlterDefaultPrivilegesStmt", "AlterFdwStmt", "AlterForeignServerStmt", "AlterFunctionStmt",
    "AlterObjectDependsStmt", "AlterOpFamilyStmt", "AlterPublicationStmt",
    "AlterStatsStmt", "AlterTSConfigurationStmt", "AlterTSDictionaryStmt", "CommentStmt", "CompositeTypeStmt",
    "ConstraintsSetStmt", "CreateCastStmt", "CreateConversionStmt", "CreateDomainStmt", "CreateEnumStmt",
    "CreateExtensionStmt", "CreateFdwStmt", "CreateForeignServerStmt", "CreateForeignTableStmt", "CreateOpClassStmt",
    "CreateOpFamilyStmt", "CreatePLangStmt", "CreatePublicationStmt", "CreateRangeStmt", "CreateSchemaStmt",
    "CreateSeqStmt", "CreateStatsStmt", "CreateTableAsStmt", "CreateTransformStmt", "CreateUserMappingStmt",
    "DefineStmt", "DiscardStmt", "DoStmt", "ListenStmt", "NotifyStmt", "SecLabelStmt", "UnlistenStmt",
    "VariableShowStmt",
))  # fmt: skip
