# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules a statement breaks: the parser's tree in, names of rules out. Tables that the revision itself made are
exempt, because nobody uses them yet."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import tables
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import joined, locks, name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import EXPAND_ONLY
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State, made
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement

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
        "format",
        "current_setting",
    )
)


def rules(statement: Statement, state: State, alone: bool) -> set[str]:
    """Rules that the statement breaks; updates `state`. alone: every other statement of the revision can run again."""
    node = statement.node
    kind = type(node).__name__
    state.harmless = set()
    found = set(_broken(kind, node, statement, state))
    if _concurrent(node):
        if statement.transaction is not None:
            found.add("ban-concurrent-index-creation-in-transaction")
        elif not alone:
            found.add("concurrently-not-alone")
    touched = [table for _mode, table in locks(node)]
    if touched and all(("table", table) in state.created for table in touched):
        state.harmless |= (
            found - {"ban-concurrent-index-creation-in-transaction", "concurrently-not-alone"} | tables.ABOUT_TABLES
        )
    state.created.update(made(statement))
    if state.phase != "expand":
        state.harmless |= EXPAND_ONLY
    return found - state.harmless


def repeatable(node: Any) -> bool:
    """Whether the statement can run again without failure or harm."""
    if type(node).__name__ == "AlterTableStmt":
        return all(command.missing_ok for command in node.cmds)
    return (
        type(node).__name__ in _REPEATABLE
        or bool(getattr(node, "if_not_exists", False) or getattr(node, "missing_ok", False))
        or _concurrent(node)
    )


def _concurrent(node: Any) -> bool:
    kind = type(node).__name__
    if kind == "ReindexStmt":
        return any(one.defname == "concurrently" for one in node.params or ())
    if kind == "AlterTableStmt":
        return any(command.subtype.name == "AT_DetachPartition" and command.def_.concurrent for command in node.cmds)
    return kind in ("IndexStmt", "DropStmt") and bool(node.concurrent)


def _broken(kind: str, node: Any, statement: Statement, state: State) -> Iterator[str]:
    if kind == "AlterTableStmt":
        yield from tables.alter(node, statement, state)
    elif kind in _CLUSTER_WIDE:
        yield "cluster-wide"
    elif kind in _SIMPLE:
        yield _SIMPLE[kind]
    elif kind in _CHECKS:
        yield from _CHECKS[kind](node, state)
    elif kind == "TransactionStmt":
        if statement.transaction is not None and not any(
            word in node.kind.name for word in ("SAVEPOINT", "RELEASE", "ROLLBACK_TO")
        ):
            yield "transaction-nesting"
    elif kind not in _HARMLESS:
        # An unknown statement does not pass.
        yield "unseen"


def _index(node: Any, state: State) -> Iterator[str]:
    if not node.concurrent:
        yield "require-concurrent-index-creation"
    columns = [one.name for one in node.indexParams]
    if node.unique and not tables.only_new(name(node.relation), columns, state):
        yield "constraint-in-expand"


def _drop(node: Any, state: State) -> Iterator[str]:
    kind = node.removeType.name
    if kind == "OBJECT_INDEX":
        if not node.concurrent:
            yield "require-concurrent-index-deletion"
        return
    named = {
        "OBJECT_FUNCTION": "function", "OBJECT_VIEW": "view", "OBJECT_TRIGGER": "trigger", "OBJECT_POLICY": "policy",
        "OBJECT_TABLE": "table", "OBJECT_MATVIEW": "table", "OBJECT_TYPE": "type",
    }.get(kind, "")  # fmt: skip
    names = [
        (
            joined(getattr(one, "objname", None) or getattr(one, "names", None) or one)
            if not hasattr(one, "sval")
            else str(one.sval)
        )
        for one in node.objects
    ]
    if all((named, one) in state.created for one in names):
        state.harmless.add("drop-in-expand")
    yield "drop-in-expand"


def _rename(node: Any, state: State) -> Iterator[str]:
    kind = node.renameType.name
    # The application does not use the names of constraints, indexes and triggers.
    quiet = (
        "OBJECT_INDEX",
        "OBJECT_TABCONSTRAINT",
        "OBJECT_TRIGGER",
        "OBJECT_POLICY",
        "OBJECT_RULE",
        "OBJECT_DOMCONSTRAINT",
    )
    new = node.relation is not None and (name(node.relation), str(node.subname)) in state.added
    if kind in quiet or new:
        state.harmless.add("rename-in-expand")
    else:
        yield "rename-in-expand"


def _update(node: Any, state: State) -> Iterator[str]:
    # A condition without a column (WHERE true) does not count.
    if not tables.columns_of(node.whereClause):
        yield "whole-table-update" if type(node).__name__ == "UpdateStmt" else "whole-table-delete"
    yield from _inside(node, state)


def _insert(node: Any, state: State) -> Iterator[str]:
    query = node.selectStmt
    if query is not None:
        if _from(query) and query.limitCount is None:
            yield "insert-from-select"
        yield from _inside(query, state)
    yield from _inside(node, state)


def _from(query: Any) -> bool:
    """Whether a query reads tables, in any part of a UNION."""
    return query is not None and bool(query.fromClause or _from(query.larg) or _from(query.rarg))


def _replace(node: Any, _state: State) -> Iterator[str]:
    if node.replace:
        yield "replace-in-expand"


def _inside(node: Any, state: State) -> Iterator[str]:
    """Statements in WITH may write too."""
    for one in node.withClause.ctes if node.withClause is not None else ():
        handler = _CHECKS.get(type(one.ctequery).__name__)
        if handler is not None:
            yield from handler(one.ctequery, state)


def _select(node: Any, state: State) -> Iterator[str]:
    yield from _inside(node, state)
    for called in tables.calls(node):
        if called.split(".")[-1] not in _HARMLESS_CALLS and not called.startswith("pg_catalog."):
            yield "calls-function"
            return


def _set(node: Any, _state: State) -> Iterator[str]:
    if node.kind.name == "VAR_SET_VALUE" and node.name in _SESSION:
        yield "own-timeouts"
    if node.name == "session_replication_role" and node.kind.name == "VAR_SET_VALUE":
        yield "disable-trigger"


def _vacuum(node: Any, _state: State) -> Iterator[str]:
    if any(mode == "AccessExclusiveLock" for mode, _table in locks(node)):
        yield "vacuum-full"


def _grant(node: Any, _state: State) -> Iterator[str]:
    if not node.is_grant:
        yield "revoke-in-expand"


def _create_table(node: Any, state: State) -> Iterator[str]:
    if node.partbound is not None:
        yield "create-partition-of"
    referenced = {table for mode, table in locks(node) if mode == "ShareRowExclusiveLock"} - {name(node.relation)}
    if any(("table", table) not in state.created for table in referenced):
        yield "reference-to-live-table"


def _domain(node: Any, state: State) -> Iterator[str]:
    if node.subtype in ("C", "O") and not (node.def_ is not None and node.def_.skip_validation):
        yield "ban-alter-domain-with-add-constraint"
    else:
        state.harmless.add("ban-alter-domain-with-add-constraint")
    if node.subtype in ("C", "O"):
        yield "constraint-in-expand"
    if node.subtype == "X":
        state.harmless.add("drop-in-expand")


def _enum(node: Any, _state: State) -> Iterator[str]:
    if node.oldVal is not None:
        yield "rename-in-expand"


def _reindex(node: Any, _state: State) -> Iterable[str]:
    return () if _concurrent(node) else ("reindex",)


_SIMPLE = {
    "AlterObjectSchemaStmt": "rename-in-expand", "AlterPolicyStmt": "row-security-in-expand", "CallStmt": "unseen",
    "ClusterStmt": "cluster", "CreatePolicyStmt": "row-security-in-expand", "CreateTrigStmt": "create-trigger",
    "LockStmt": "lock-table", "RuleStmt": "create-rule", "AlterTableMoveAllStmt": "rewrite-table",
    "MergeStmt": "insert-from-select", "TruncateStmt": "truncate",
}  # fmt: skip
_CHECKS = {
    "AlterDomainStmt": _domain, "AlterEnumStmt": _enum,
    "CopyStmt": lambda node, _state: ("insert-from-select",) if node.is_from else (), "CreateFunctionStmt": _replace,
    "CreateStmt": _create_table, "DeleteStmt": _update, "DropStmt": _drop, "GrantStmt": _grant, "IndexStmt": _index,
    "InsertStmt": _insert,
    "RefreshMatViewStmt": lambda node, _state: () if node.concurrent else ("refresh-materialized-view",),
    "ReindexStmt": _reindex, "RenameStmt": _rename, "SelectStmt": _select, "UpdateStmt": _update,
    "VacuumStmt": _vacuum, "VariableSetStmt": _set, "GrantRoleStmt": _grant, "ViewStmt": _replace,
}  # fmt: skip
# New objects, comments and labels. The statements of DO blocks are checked separately.
_HARMLESS = frozenset((
    "AlterCollationStmt", "AlterDefaultPrivilegesStmt", "AlterFdwStmt", "AlterForeignServerStmt", "AlterFunctionStmt",
    "AlterObjectDependsStmt", "AlterOpFamilyStmt", "AlterOwnerStmt", "AlterPublicationStmt", "AlterSeqStmt",
    "AlterStatsStmt", "AlterTSConfigurationStmt", "AlterTSDictionaryStmt", "CommentStmt", "CompositeTypeStmt",
    "ConstraintsSetStmt", "CreateCastStmt", "CreateConversionStmt", "CreateDomainStmt", "CreateEnumStmt",
    "CreateExtensionStmt", "CreateFdwStmt", "CreateForeignServerStmt", "CreateForeignTableStmt", "CreateOpClassStmt",
    "CreateOpFamilyStmt", "CreatePLangStmt", "CreatePublicationStmt", "CreateRangeStmt", "CreateSchemaStmt",
    "CreateSeqStmt", "CreateStatsStmt", "CreateTableAsStmt", "CreateTransformStmt", "CreateUserMappingStmt",
    "DefineStmt", "DiscardStmt", "DoStmt", "ListenStmt", "NotifyStmt", "SecLabelStmt", "UnlistenStmt",
    "VariableShowStmt",
))  # fmt: skip
