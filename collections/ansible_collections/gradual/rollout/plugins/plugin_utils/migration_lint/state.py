# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lint of several revisions knows after the statements that it has read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import column_types
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import Catalog, result, signature
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import STRENGTH, locks
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.nulls import MAYBE
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rows import Scope
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import SHARE
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Read, Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, name, walk

Object = tuple[str, str]
RELATIONS = ("table", "view", "sequence")
# Locks that make readers or writers of the table wait.
STRONG = STRENGTH[STRENGTH.index(SHARE) :]


@dataclass
class State:
    """What is new and what is locked; facts about the schema are in `catalog`.

    rollout: the revisions that this rollout applies before its own code runs, so what they create has no users. empty:
    nobody has tables in the database, so no old code runs. No revision applied does not say that: a database that
    another tool migrated before has none either.
    """

    rollout: frozenset[str] = frozenset()
    empty: bool = False
    phase: str = "expand"
    catalog: Catalog = field(default_factory=Catalog)
    created: set[Object] = field(default_factory=set)
    """(kind, name) of what this revision (or this rollout) created so far."""
    remade: set[Object] = field(default_factory=set)
    """(kind, name) of what this revision creates, before or after the current statement."""
    added: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, column) that old code does not know → what it leaves there: NULL, or FILLED by a default."""
    unproven: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """(table, constraint) added NOT VALID by this revision → the transaction in which."""
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, constraint) that says `column IS NOT NULL` → column; "" for another CHECK."""
    checked: set[str] = field(default_factory=set)
    """Tables with a valid CHECK."""
    held: dict[int, dict[str, str]] = field(default_factory=dict)
    """Transaction → live table → the strongest lock on it that makes others wait."""
    values: dict[int, set[str]] = field(default_factory=dict)
    """Transaction → values that it added to enum types."""
    harmless: set[str] = field(default_factory=set)
    """Rules that do not apply to the current statement."""
    notes: dict[str, str] = field(default_factory=dict)
    """Rule → what is to be said about the current statement besides."""
    lost: set[Object] = field(default_factory=set)
    """What was dropped although old code may use it; the same name made again is not new."""
    results: dict[str, str] = field(default_factory=dict)
    """Signature of a function that this revision creates → what it returns."""
    scope: Scope = field(default_factory=lambda: Scope(lambda _table: True, lambda _table, _column: False))
    """What the conditions of the current statement are read with."""
    _ours: tuple[set[Object], dict[tuple[str, str], str]] = field(default_factory=lambda: (set(), {}))

    def begin(self, read: Read) -> None:
        """Begin a new revision. What an earlier one created has users, unless it belongs to the same rollout."""
        self.phase = read.source.phase
        self.unproven, self.held, self.values = {}, {}, {}
        self.created, self.added = self._ours if read.source.revision in self.rollout else (set(), {})
        self.remade = {each for statement in read.statements for each in made(statement, self.empty)}
        functions = [one.node for one in read.statements if kind(one.node) == "CreateFunctionStmt"]
        self.results = {signature(one): result(one) for one in functions}

    def next(self, statement: Statement) -> None:
        """Begin a new statement."""
        self.harmless, self.notes = set(), {}
        keys = self.catalog.keys
        self.scope = Scope(self.live, lambda *key: key in keys, statement.variables, statement.looped)

    def new(self, relation: str) -> bool:
        """Whether a table, view or sequence was created by this revision or rollout. A serial column's sequence is as
        new as its table."""
        if any((what, relation) in self.created for what in RELATIONS):
            return True
        return relation.endswith("_seq") and any(
            what == "table" and relation.startswith(f"{table}_") for what, table in self.created
        )

    def live(self, relation: str) -> bool:
        """Whether a table may have rows and users."""
        return not self.new(relation)

    def value(self, table: str, column: str) -> str:
        """What old code leaves in a column: NULL, FILLED or MAYBE."""
        return self.added.get((table, column), MAYBE)

    def locked(self, transaction: int | None) -> str:
        """`mode on table` for the strongest lock that a transaction holds on live tables; "" for none."""
        held = self.held.get(transaction, {}) if transaction is not None else {}
        if not held:
            return ""
        table = max(held, key=lambda one: STRENGTH.index(held[one]))
        return f"{held[table]} on {table}"

    def old_type(self, statement: Statement, table: str, column: str) -> column_types.Type | None:
        """A column's type before a statement: as its source tells it, else as an earlier statement made it."""
        for where, which, sql in statement.known_types:
            if (where.removeprefix("public."), which) == (table, column):
                return column_types.parsed(sql)
        return self.catalog.columns.get((table, column))

    def learn(self, statement: Statement) -> None:
        """Take in a statement after it was judged."""
        self.catalog.learn(statement)
        if kind(statement.node) == "CreateStmt":
            constraints = (one for one in walk(statement.node) if kind(one) == "Constraint")
            if any(one.contype.name == "CONSTR_CHECK" for one in constraints):
                self.checked.add(name(statement.node.relation))
        if self.empty or not getattr(statement.node, "replace", False):
            self.created.update(one for one in made(statement, self.empty) if one not in self.lost)
        self._rename(statement.node)
        if statement.transaction is not None:
            self._hold(statement.node, statement.transaction)

    def _rename(self, node: Any) -> None:
        """A new table stays new under its new name."""
        if kind(node) == "RenameStmt" and node.renameType.name == "OBJECT_TABLE" and self.new(name(node.relation)):
            schema = name(node.relation).rpartition(".")[0]
            self.created.add(("table", f"{schema}.{node.newname}" if schema else str(node.newname)))

    def _hold(self, node: Any, transaction: int) -> None:
        held = self.held.setdefault(transaction, {})
        for mode, table in locks(node):
            strong = mode in STRONG and self.live(table)
            if strong and (table not in held or STRENGTH.index(held[table]) < STRENGTH.index(mode)):
                held[table] = mode
        if kind(node) == "AlterEnumStmt" and node.newVal is not None:
            self.values.setdefault(transaction, set()).add(str(node.newVal))


def made(statement: Statement, empty: bool = False) -> Iterator[Object]:
    """(kind, name) of the objects that a statement makes; a trigger's name includes its table, a function's its types.
    empty: the database was empty, so that IF NOT EXISTS and conditions find nothing."""
    node = statement.node
    handler = _MADE.get(kind(node))
    # With IF NOT EXISTS the object may exist already, and may be large.
    sure = statement.certain and not getattr(node, "if_not_exists", False)
    if handler is not None and (sure or empty):
        what, named = handler(node)
        if named:
            yield what, named


_MADE: dict[str, Any] = {
    "CreateStmt": lambda node: ("table", name(node.relation)),
    "CreateForeignTableStmt": lambda node: ("table", name(node.base.relation)),
    "CreateTableAsStmt": lambda node: ("table", name(node.into.rel)),
    "SelectStmt": lambda node: ("table", name(node.intoClause.rel) if node.intoClause is not None else ""),
    "CreateFunctionStmt": lambda node: ("function", signature(node)),
    "ViewStmt": lambda node: ("view", name(node.view)),
    "CreateTrigStmt": lambda node: ("trigger", f"{name(node.relation)}.{node.trigname}"),
    "CreatePolicyStmt": lambda node: ("policy", f"{name(node.table)}.{node.policy_name}"),
    "IndexStmt": lambda node: ("index", str(node.idxname or "")),
    "CompositeTypeStmt": lambda node: ("type", name(node.typevar)),
    "CreateEnumStmt": lambda node: ("type", joined(node.typeName)),
    "CreateRangeStmt": lambda node: ("type", joined(node.typeName)),
    "CreateDomainStmt": lambda node: ("type", joined(node.domainname)),
    "CreateSeqStmt": lambda node: ("sequence", name(node.sequence)),
    "CreateSchemaStmt": lambda node: ("schema", str(node.schemaname or "")),
    "CreateExtensionStmt": lambda node: ("extension", str(node.extname)),
}  # fmt: skip
