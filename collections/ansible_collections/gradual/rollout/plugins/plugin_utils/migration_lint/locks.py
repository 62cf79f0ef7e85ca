# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which lock a statement takes on which table. tests/database/test_lint_locks.py holds it against pg_locks of a real
server.

Sources: https://www.postgresql.org/docs/current/explicit-locking.html, sql-altertable.html, and AlterTableGetLockLevel
in tablecmds.c.
"""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import (
    ACCESS_EXCLUSIVE,
    EXCLUSIVE,
    ROW_EXCLUSIVE,
    SHARE,
    SHARE_ROW,
    SHARE_UPDATE,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, name, walk

Lock = tuple[str, str]
# Weakest first; of two locks on one table the stronger one is reported.
STRENGTH = (ROW_EXCLUSIVE, SHARE_UPDATE, SHARE, SHARE_ROW, EXCLUSIVE, ACCESS_EXCLUSIVE)
# LOCK TABLE's numbers (lockdefs.h).
MODES = {
    1: "AccessShareLock", 2: "RowShareLock", 3: ROW_EXCLUSIVE, 4: SHARE_UPDATE, 5: SHARE, 6: SHARE_ROW, 7: EXCLUSIVE,
    8: ACCESS_EXCLUSIVE,
}  # fmt: skip
# Sub-commands of ALTER TABLE that take less than AccessExclusiveLock.
_WEAKER = {
    **dict.fromkeys(
        ("AT_ValidateConstraint", "AT_SetStatistics", "AT_ClusterOn", "AT_DropCluster", "AT_SetOptions",
         "AT_ResetOptions", "AT_SetRelOptions", "AT_ResetRelOptions", "AT_AttachPartition",
         "AT_DetachPartitionFinalize"), SHARE_UPDATE,
    ),
    **dict.fromkeys(
        ("AT_EnableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_EnableTrigAll", "AT_EnableTrigUser",
         "AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser"), SHARE_ROW,
    ),
}  # fmt: skip


def locks(node: Any) -> list[Lock]:
    """(mode, table), the strongest for each table, in the statement's order; [] when it locks no existing table."""
    strongest: dict[str, str] = {}
    for mode, table in _of(node):
        if table and (table not in strongest or STRENGTH.index(mode) > STRENGTH.index(strongest[table])):
            strongest[table] = mode
    return [(mode, table) for table, mode in strongest.items()]


def _of(node: Any) -> Iterator[Lock]:
    handler = _HANDLERS.get(kind(node))
    if handler is not None:
        yield from handler(node)
    # Statements in WITH may write too.
    for one in walk(getattr(node, "withClause", None)):
        if kind(one) in ("InsertStmt", "UpdateStmt", "DeleteStmt"):
            yield ROW_EXCLUSIVE, name(one.relation)


def _alter_table(node: Any) -> Iterator[Lock]:
    target = node.objtype.name
    if target == "OBJECT_TYPE":
        yield ACCESS_EXCLUSIVE, f"tables with the type {name(node.relation)}"
        return
    if target == "OBJECT_INDEX":
        return
    for command in node.cmds:
        what = command.subtype.name
        definition = command.def_
        if what == "AT_AddConstraint" and definition.contype.name == "CONSTR_FOREIGN":
            yield SHARE_ROW, name(node.relation)
            yield SHARE_ROW, name(definition.pktable)
        elif what in ("AT_AttachPartition", "AT_DetachPartition"):
            concurrently = bool(getattr(definition, "concurrent", False))
            yield (
                SHARE_UPDATE if concurrently or what == "AT_AttachPartition" else ACCESS_EXCLUSIVE,
                name(node.relation),
            )
            yield ACCESS_EXCLUSIVE, name(definition.name)
        else:
            yield _WEAKER.get(what, ACCESS_EXCLUSIVE), name(node.relation)
            yield from _referenced(getattr(definition, "constraints", None) or ())


def _referenced(constraints: Any) -> Iterator[Lock]:
    for one in constraints:
        if one.contype.name == "CONSTR_FOREIGN":
            yield SHARE_ROW, name(one.pktable)


def _create_table(node: Any) -> Iterator[Lock]:
    if node.partbound is not None:
        yield from ((ACCESS_EXCLUSIVE, name(parent)) for parent in node.inhRelations)
    elif node.inhRelations:
        yield from ((SHARE_UPDATE, name(parent)) for parent in node.inhRelations)
    for element in node.tableElts or ():
        yield from _referenced(
            [element]
            if type(element).__name__ == "Constraint"
            else element.constraints or ()
            if hasattr(element, "constraints")
            else ()
        )


def _drop(node: Any) -> Iterator[Lock]:
    what = node.removeType.name
    for one in node.objects:
        if what in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE", "OBJECT_SEQUENCE"):
            yield ACCESS_EXCLUSIVE, joined(one)
        elif what in ("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"):
            yield ACCESS_EXCLUSIVE, joined(one[:-1])
        elif what == "OBJECT_INDEX":
            yield SHARE_UPDATE if node.concurrent else ACCESS_EXCLUSIVE, f"the table of {joined(one)}"


def _alter_domain(node: Any) -> Iterator[Lock]:
    """Tables are locked while their rows are checked (validateDomainConstraint in typecmds.c); other changes need none
    of them."""
    if node.subtype in ("O", "V") or (node.subtype == "C" and not node.def_.skip_validation):
        yield SHARE, f"tables with the domain {joined(node.typeName)}"


def _rename(node: Any) -> Iterator[Lock]:
    if node.relation is not None and node.renameType.name != "OBJECT_INDEX":
        yield ACCESS_EXCLUSIVE, name(node.relation)


def _reindex(node: Any) -> Iterator[Lock]:
    concurrently = any(one.defname == "concurrently" for one in node.params or ())
    target = name(node.relation) or str(node.name or "the database")
    yield (
        SHARE_UPDATE if concurrently else SHARE,
        f"the table of {target}" if node.kind.name == "REINDEX_OBJECT_INDEX" else target,
    )


def _vacuum(node: Any) -> Iterator[Lock]:
    full = any(
        one.defname == "full" and getattr(one.arg, "sval", "true") not in ("false", "off", "0")
        for one in node.options or ()
    )
    for one in node.rels or ():
        yield ACCESS_EXCLUSIVE if full else SHARE_UPDATE, name(one.relation)
    if not node.rels:
        yield ACCESS_EXCLUSIVE if full else SHARE_UPDATE, "every table"


_HANDLERS = {
    "AlterTableStmt": _alter_table,
    "AlterDomainStmt": _alter_domain,
    "AlterObjectSchemaStmt": lambda node: iter([(ACCESS_EXCLUSIVE, name(node.relation))]),
    "ClusterStmt": lambda node: iter([(ACCESS_EXCLUSIVE, name(node.relation) or "every table that was clustered")]),
    "CopyStmt": lambda node: iter([(ROW_EXCLUSIVE, name(node.relation))] if node.is_from else []),
    "CreatePolicyStmt": lambda node: iter([(ACCESS_EXCLUSIVE, name(node.table))]),
    "CreateStmt": _create_table,
    "CreateTrigStmt": lambda node: iter([(SHARE_ROW, name(node.relation))]),
    "DeleteStmt": lambda node: iter([(ROW_EXCLUSIVE, name(node.relation))]),
    "DropStmt": _drop,
    "IndexStmt": lambda node: iter([(SHARE_UPDATE if node.concurrent else SHARE, name(node.relation))]),
    "InsertStmt": lambda node: iter([(ROW_EXCLUSIVE, name(node.relation))]),
    "LockStmt": lambda node: iter([(MODES[node.mode], name(one)) for one in node.relations if node.mode > 2]),
    "MergeStmt": lambda node: iter([(ROW_EXCLUSIVE, name(node.relation))]),
    "RefreshMatViewStmt": lambda node: iter(
        [(EXCLUSIVE if node.concurrent else ACCESS_EXCLUSIVE, name(node.relation))]
    ),
    "ReindexStmt": _reindex,
    "RenameStmt": _rename,
    "RuleStmt": lambda node: iter([(ACCESS_EXCLUSIVE, name(node.relation))]),
    "TruncateStmt": lambda node: iter([(ACCESS_EXCLUSIVE, name(one)) for one in node.relations]),
    "UpdateStmt": lambda node: iter([(ROW_EXCLUSIVE, name(node.relation))]),
    "VacuumStmt": _vacuum,
}
