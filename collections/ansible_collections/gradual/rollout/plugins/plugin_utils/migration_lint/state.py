# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lint of several revisions knows after the statements that it has read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import joined, name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Read, Statement


@dataclass
class State:
    """Facts of this revision, and (checks, proven) of those before it."""

    phase: str = "expand"
    created: set[tuple[str, str]] = field(default_factory=set)
    added: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(table, column) added by this revision → whether old code leaves it NULL."""
    unproven: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """(table, constraint) added NOT VALID by this revision → the transaction in which."""
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, constraint) that says `column IS NOT NULL` → column."""
    proven: set[tuple[str, str]] = field(default_factory=set)
    """(table, column) of such a check that is valid."""
    harmless: set[str] = field(default_factory=set)
    """Rules that do not apply to the current statement."""

    def begin(self, read: Read) -> None:
        """Begin a new revision, which may drop its own new objects."""
        self.phase = read.source.phase
        self.added, self.unproven = {}, {}
        self.created = {
            each for statement in read.statements for each in made(statement) if each[0] not in ("table", "type")
        }


def made(statement: Statement) -> Iterator[tuple[str, str]]:
    """(kind, name) of the objects that a statement makes; a trigger's name includes its table."""
    node = statement.node
    kind = type(node).__name__
    # With IF NOT EXISTS the object may exist already, and may be large.
    if not statement.certain or getattr(node, "if_not_exists", False):
        return
    if kind == "CreateStmt":
        yield "table", name(node.relation)
    elif kind == "CreateTableAsStmt":
        yield "table", name(node.into.rel)
    elif kind == "SelectStmt" and node.intoClause is not None:
        yield "table", name(node.intoClause.rel)
    elif kind == "CreateFunctionStmt":
        yield "function", joined(node.funcname)
    elif kind == "ViewStmt":
        yield "view", name(node.view)
    elif kind == "CreateTrigStmt":
        yield "trigger", f"{name(node.relation)}.{node.trigname}"
    elif kind == "CreatePolicyStmt":
        yield "policy", f"{name(node.table)}.{node.policy_name}"
    elif kind == "IndexStmt" and node.idxname:
        yield "index", str(node.idxname)
    elif kind == "CompositeTypeStmt":
        yield "type", name(node.typevar)
    elif kind == "CreateEnumStmt":
        yield "type", joined(node.typeName)
