# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules a statement breaks: the parser's tree in, names of rules out. Tables that the revision itself made are
exempt, because nobody uses them yet."""

from __future__ import annotations

import functools
from typing import Any, Iterable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import (
    columns,
    nulls,
    objects,
    rows,
    tables,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import MATVIEW
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.constraints import Key
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import MODES, locks
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.names import settings
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.refusals import refused
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import (
    ACCESS_EXCLUSIVE,
    EXPAND_ONLY,
    SHARE_ROW,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import STRONG, State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import (
    calls,
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
    "CreateTableSpaceStmt", "DropTableSpaceStmt", "CreateRoleStmt", "GrantRoleStmt",
    "AlterRoleStmt", "AlterRoleSetStmt", "DropRoleStmt",
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
# NAMEDATALEN - 1; and the bytes of the longest character, which PostgreSQL does not cut in two.
MOST_BYTES, MOST_CHARACTER = 63, 3


def rules(statement: Statement, state: State, alone: bool) -> set[str]:
    """Rules that the statement breaks; updates `state`. alone: every other statement of the revision can run again."""
    node = statement.node
    state.next(statement)
    found = set(_broken(kind(node), node, statement, state)) | set(_many_rows(statement, state))
    found |= set(_waits(node, statement, state))
    for reason in refused(node, statement, state.catalog):
        state.notes["postgresql-refuses"] = f": {reason}"
        found.add("postgresql-refuses")
    if _concurrent(node):
        found |= set(_concurrently(node, statement, state, alone))
    touched = _touched(node)
    if touched and all(state.new(table) for table in touched):
        state.harmless |= tables.ABOUT_TABLES
    # On an empty database no old code runs; a table that no revision created shows that it is not empty.
    if state.phase != "expand" or statement.undone or (state.empty and all(state.new(table) for table in touched)):
        state.harmless |= EXPAND_ONLY
    state.learn(statement)
    return found - state.harmless


def _waits(node: Any, statement: Statement, state: State) -> Iterator[str]:
    """What a statement does to others while it waits for its own lock."""
    taken = {table for mode, table in locks(node) if mode == ACCESS_EXCLUSIVE and state.live(table)}
    if taken and state.names.waits:
        yield "no-lock-timeout"
    held = state.held.get(statement.transaction, {}) if statement.transaction is not None else {}
    if held and taken - set(held):
        state.notes["several-tables"] = f" ({', '.join(sorted({*held, *taken}))})"
        yield "several-tables"


def _touched(node: Any) -> list[str]:
    """Tables whose users a statement concerns; those that a new foreign key references are locked for a moment."""
    own = name(getattr(node, "relation", None))
    referenced = {SHARE_ROW} if kind(node) == "AlterTableStmt" else set()
    return [table for mode, table in locks(node) if table == own or mode not in referenced]


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
    if node.if_not_exists and state.index_there(node):
        state.harmless.add("require-concurrent-index-creation")
        return
    # On the partitioned table itself (ONLY) there are no rows; nobody writes to a materialized view.
    quick = table in state.catalog.partitioned and not node.relation.inh
    written = state.catalog.relations.get(table) != MATVIEW
    if not node.concurrent and not quick and written:
        yield "require-concurrent-index-creation"
    else:
        state.harmless.add("require-concurrent-index-creation")
    if node.unique and written and not _spared(node, table, state):
        yield "constraint-in-expand"


def _spared(node: Any, table: str, state: State) -> bool:
    """Whether a unique index refuses no row of old code: each has NULL in it, or is not in it at all, or another key
    refuses it already."""
    plain = [str(one.name) for one in node.indexParams if one.name]
    values = [state.value(table, one) for one in plain]
    of = functools.partial(state.value, table)
    values += [nulls.outcome(one.expr, of) for one in node.indexParams if one.expr is not None]
    outside = node.whereClause is not None and nulls.outcome(node.whereClause, of) in (nulls.NULL, nulls.FALSE)
    key = Key(frozenset(plain), nulls_equal=bool(node.nulls_not_distinct))
    return outside or columns.distinct(values, node) or state.refuses_already(table, key)


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


def _explain(node: Any, _state: State) -> Iterator[str]:
    """EXPLAIN runs its statement only with ANALYZE."""
    if any(one.defname == "analyze" for one in node.options or ()):
        yield "unseen"


def _lock(node: Any, _state: State) -> Iterator[str]:
    """Modes below SHARE stop no reader and no writer."""
    if MODES[node.mode] in STRONG:
        yield "lock-table"


def _inside(node: Any, state: State) -> Iterator[str]:
    """Statements in WITH may write too."""
    for one in node.withClause.ctes if node.withClause is not None else ():
        handler = _CHECKS.get(type(one.ctequery).__name__)
        if handler is not None:
            yield from handler(one.ctequery, state)


def _select(node: Any, state: State) -> Iterator[str]:
    yield from _inside(node, state)
    yield from _set(node, state)
    if rows.whole(node) and rows.selects(node, state.scope):
        yield "whole-table-update"
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
    if any(setting in _SESSION and values is not None for setting, values, _local in settings(node)):
        yield "own-timeouts"
    if getattr(node, "name", "") == "session_replication_role" and node.kind.name == "VAR_SET_VALUE":
        yield "disable-trigger"


def _vacuum(node: Any, _state: State) -> Iterator[str]:
    if any(mode == "AccessExclusiveLock" for mode, _table in locks(node)):
        yield "vacuum-full"


def _create_table(node: Any, state: State) -> Iterator[str]:
    if node.partbound is not None:
        with_default = any(name(one) in state.catalog.defaults for one in node.inhRelations)
        state.notes["attach-partition"] = tables.DEFAULT
        yield "attach-partition" if with_default else "create-partition-of"
    referenced = {table for mode, table in locks(node) if mode == "ShareRowExclusiveLock"} - {name(node.relation)}
    if any(state.live(table) for table in referenced):
        yield "reference-to-live-table"


def _create_policy(node: Any, state: State) -> Iterator[str]:
    """A policy of a table without row security does nothing yet."""
    if state.catalog.secure(name(node.table)):
        yield "row-security-in-expand"
    else:
        state.harmless.add("row-security-in-expand")


def _reindex(node: Any, _state: State) -> Iterable[str]:
    return () if _concurrent(node) else ("reindex",)


_SIMPLE = {
    "AlterPolicyStmt": "row-security-in-expand", "CallStmt": "unseen", "ClusterStmt": "cluster",
    "AlterTableMoveAllStmt": "rewrite-table", "TruncateStmt": "truncate",
}  # fmt: skip
_CHECKS = {
    "CreatePolicyStmt": _create_policy, "CreateTrigStmt": objects.trigger,
    "RuleStmt": lambda node, _state: ("create-rule",) if node.instead or node.actions else (),
    "CreatePublicationStmt": objects.publication, "AlterPublicationStmt": objects.publication,
    "AlterDomainStmt": objects.domain, "AlterEnumStmt": objects.enum, "AlterFunctionStmt": objects.function,
    "AlterObjectSchemaStmt": objects.schema, "AlterOwnerStmt": objects.owner, "AlterSeqStmt": objects.sequence,
    "CopyStmt": lambda node, _state: ("insert-from-select",) if node.is_from else (),
    "CreateFunctionStmt": objects.replace, "CreateStmt": _create_table, "DeleteStmt": _update,
    "DropStmt": objects.drop, "ExplainStmt": _explain, "GrantStmt": objects.grant, "IndexStmt": _index,
    "InsertStmt": _insert, "LockStmt": _lock, "MergeStmt": _merge,
    "RefreshMatViewStmt": lambda node, _state: () if node.concurrent else ("refresh-materialized-view",),
    "ReindexStmt": _reindex, "RenameStmt": objects.rename, "SelectStmt": _select, "UpdateStmt": _update,
    "VacuumStmt": _vacuum, "VariableSetStmt": _set, "ViewStmt": objects.replace,
}  # fmt: skip
# New objects, comments and labels. The statements of DO blocks are checked separately.
_HARMLESS = frozenset((
    "AlterCollationStmt", "AlterDefaultPrivilegesStmt", "AlterFdwStmt", "AlterForeignServerStmt",
    "AlterObjectDependsStmt", "AlterOpFamilyStmt",
    "AlterStatsStmt", "AlterTSConfigurationStmt", "AlterTSDictionaryStmt", "CommentStmt", "CompositeTypeStmt",
    "ConstraintsSetStmt", "CreateCastStmt", "CreateConversionStmt", "CreateDomainStmt", "CreateEnumStmt",
    "CreateExtensionStmt", "CreateFdwStmt", "CreateForeignServerStmt", "CreateForeignTableStmt", "CreateOpClassStmt",
    "CreateOpFamilyStmt", "CreatePLangStmt", "CreateRangeStmt", "CreateSchemaStmt",
    "CreateSeqStmt", "CreateStatsStmt", "CreateTableAsStmt", "CreateTransformStmt", "CreateUserMappingStmt",
    "DefineStmt", "DiscardStmt", "DoStmt", "ListenStmt", "NotifyStmt", "SecLabelStmt", "UnlistenStmt",
    "VariableShowStmt",
))  # fmt: skip
