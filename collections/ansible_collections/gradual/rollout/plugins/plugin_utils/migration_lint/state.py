# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lint of several revisions knows after the statements that it has read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Collection, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import addresses, column_types, learning
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.addresses import signature
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import (
    MATVIEW,
    Catalog,
    Function,
    index_name,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.constraints import (
    Key,
    accepts,
    key_of,
    moved_former,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import (
    RELATIONS,
    Address,
    Facts,
    Moved,
    either,
    gone,
    kept,
    permits,
    renamed,
    warns,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import STRENGTH, locks
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.names import Names, is_temporary
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.nulls import MAYBE
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rows import Scope
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import SHARE
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Read, Statement
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, name

# Locks that make readers or writers of the table wait.
_WRITES = frozenset(("InsertStmt", "CopyStmt", "MergeStmt", "UpdateStmt"))
STRONG = STRENGTH[STRENGTH.index(SHARE) :]


@dataclass
class State(Facts):
    """What is new and what is locked; facts about the schema are in `catalog`.

    rollout: the revisions that this rollout applies before its own code runs, so what they create has no users. empty:
    nobody has tables in the database, so no old code runs. No revision applied does not say that: a database that
    another tool migrated before has none either.
    """

    rollout: frozenset[str] = frozenset()
    empty: bool = False
    phase: str = "expand"
    catalog: Catalog = field(default_factory=Catalog)
    names: Names = field(default_factory=Names)
    created: set[Address] = field(default_factory=set, metadata=permits("object"))
    """What this revision (or this rollout) created so far."""
    remade: set[Address] = field(default_factory=set)
    """What this revision creates, before or after the current statement."""
    regranted: list[Any] = field(default_factory=list)
    """Each GRANT of this revision."""
    added: dict[tuple[str, str], str] = field(default_factory=dict, metadata=permits("column"))
    """(table, column) that old code does not know → what it leaves there: NULL, or FILLED by a default."""
    unproven: dict[tuple[str, str], int | None] = field(default_factory=dict, metadata=warns("constraint"))
    """(table, constraint) added NOT VALID by this revision → the transaction in which."""
    former: dict[tuple[str, str], Any] = field(default_factory=dict, metadata=kept(moved_former, either))
    """(table, name) → each known constraint or unique index that this revision (or this rollout) dropped."""
    coming: list[tuple[int | None, int, str, Any]] = field(default_factory=list)
    """(transaction, place of the statement, table, tree) of each sub-command of ALTER TABLE and each new index of this
    revision that certainly runs in a transaction."""
    place: int = -1
    """That of the current statement."""
    set_aside: set[Address] = field(default_factory=set)
    """Types under the names that this revision gave them, since it makes others under the names that they had."""
    written: set[str] = field(default_factory=set)
    """Tables that this revision writes rows to."""
    held: dict[int, dict[str, str]] = field(default_factory=dict)
    """Transaction → live table → the strongest lock on it that makes others wait."""
    values: dict[int, set[str]] = field(default_factory=dict)
    """Transaction → values that it added to enum types."""
    transaction: int | None = None
    """That of the current statement."""
    harmless: set[str] = field(default_factory=set)
    """Rules that do not apply to the current statement."""
    notes: dict[str, str] = field(default_factory=dict)
    """Rule → what is to be said about the current statement besides."""
    lost: set[Address] = field(default_factory=set)
    """What was dropped although old code may use it; the same name made again is not new."""
    functions: dict[str, Function] = field(default_factory=dict)
    """Signature of a function that this revision creates → the function."""
    scope: Scope = field(default_factory=lambda: Scope(lambda _table: True, lambda _table, _column: False))
    """What the conditions of the current statement are read with."""
    _ours: tuple[set[Address], dict[tuple[str, str], str], dict[tuple[str, str], Any]] = field(
        default_factory=lambda: (set(), {}, {})
    )
    _saved: list[tuple[str, list[Any], list[Any], dict[int, dict[str, str]]]] = field(default_factory=list)
    """Name of a savepoint, "" for BEGIN → the facts and the held locks then."""

    def begin(self, read: Read) -> None:
        """Begin a new revision. What an earlier one created has users, unless it belongs to the same rollout."""
        self.phase = read.source.phase
        self.unproven, self.held, self.values, self._saved, self.names = {}, {}, {}, [], Names()
        self.written = set()
        self.created, self.added, self.former = self._ours if read.source.revision in self.rollout else (set(), {}, {})
        self.remade = {each for statement in read.statements for each in made(statement, self.empty)}
        self.regranted = [one.node for one in read.statements if kind(one.node) == "GrantStmt" and one.node.is_grant]
        self.coming, self.place, self.set_aside = list(_coming(read)), -1, set()
        functions = [one.node for one in read.statements if kind(one.node) == "CreateFunctionStmt"]
        self.functions = {signature(one): learning.function(one) for one in functions}

    def next(self, statement: Statement) -> None:
        """Begin a new statement."""
        self.harmless, self.notes, self.transaction = set(), {}, statement.transaction
        self.place += 1
        self.names.enter(statement.transaction)
        self.names.resolve(statement, lambda one: one in self.catalog.relations or one in self.catalog.indexes)
        keys = self.catalog.keys
        self.scope = Scope(self.live, lambda *key: key in keys, statement.variables, statement.looped)

    def new(self, relation: str) -> bool:
        """Whether a table, view or sequence was created by this revision or rollout, or is a session's own."""
        return is_temporary(relation) or any((what, relation) in self.created for what in RELATIONS)

    def live(self, relation: str) -> bool:
        """Whether a table may have rows and users."""
        return not self.new(relation)

    def forget(self, address: Address) -> None:
        """What was dropped is no longer known, nor what follows from it."""
        self._turn(gone(address))

    def _turn(self, moved: Moved) -> None:
        self.turn(moved)
        self.catalog.turn(moved)

    def value(self, table: str, column: str) -> str:
        """What old code leaves in a column: NULL, FILLED or MAYBE."""
        return self.added.get((table, column), MAYBE)

    def locked(self, transaction: int | None) -> str:
        """`mode on table` for the strongest lock that a transaction holds on live tables; "" for none."""
        held = self.held.get(transaction, {}) if transaction is not None else {}
        if not held:
            return ""
        strongest = max(held, key=lambda one: STRENGTH.index(held[one]))
        return f"{held[strongest]} on {strongest}"

    def refuses_already(self, table: str, new: Any) -> bool:
        """Whether old code lives with a constraint that refuses all that a new one would refuse: one that is there, or
        that this rollout dropped."""
        former = [one for (of, _name), one in self.former.items() if of == table]
        return self.catalog.accepts(table, new) or any(accepts(new, one) for one in former)

    def lived_with(self, table: str, named: str) -> None:
        """Remember a constraint or unique index that is dropped now."""
        catalog, key = self.catalog, (table, named)
        check = catalog.checks.get(key)
        known = check.test if check else catalog.foreign.get(key, catalog.key(index_name(table, named)))
        # What this rollout itself made, old code does not know.
        if known is not None and not {("constraint", *key), ("index", index_name(table, named))} & self.created:
            self.former[key] = known

    def checks_again(self, table: str, named: str) -> bool:
        """Whether the transaction makes a foreign key or a CHECK of that name."""
        return any(
            kind(one) == "Constraint" and str(one.conname) == named and self._key(table, one) is None
            for one in self._coming_to(table)
        )

    def made_again(self, table: str, named: str) -> bool:
        """Whether a unique constraint is a constraint of the same name and columns again when the transaction ends."""
        key = self.catalog.key(index_name(table, named))
        again = [one for one in self._coming_to(table) if kind(one) == "Constraint" and str(one.conname) == named]
        return key is not None and any(self._key(table, one) == key for one in again)

    def unique_again(self, table: str, index: str) -> bool:
        """Whether another unique index of the same columns is there, or will be when the transaction ends."""
        key = self.catalog.key(index)
        others = [
            self.catalog.key(one) for one, of in self.catalog.indexes.items() if of.table == table and one != index
        ]
        return key is not None and key in [*others, *(self._key(table, one) for one in self._coming_to(table))]

    def _coming_to(self, table: str) -> list[Any]:
        """The constraints and indexes of a table that the current transaction makes."""
        found = [one for of, _place, to, one in self.coming if (of, to) == (self.transaction, table)]
        return [one if kind(one) == "IndexStmt" else one.def_ for one in found if kind(one) == "IndexStmt"
                or one.subtype.name == "AT_AddConstraint"]  # fmt: skip

    def later(self, table: str, *subtypes: str) -> list[Any]:
        """Sub-commands of ALTER TABLE that this transaction is still to run, the current statement included."""
        return [
            one
            for of, place, to, one in self.coming
            if (of, to) == (self.transaction, table) and place >= self.place
            if kind(one) != "IndexStmt" and one.subtype.name in subtypes
        ]

    def _key(self, table: str, made: Any) -> Key | None:
        """What a constraint or an index of the parser makes unique."""
        index = made.indexname if kind(made) == "Constraint" else None
        return self.catalog.key(index_name(table, index)) if index else key_of(made)

    def old_type(self, statement: Statement, table: str, column: str) -> column_types.Type | None:
        """A column's type before a statement: as its source tells it, else as an earlier statement made it."""
        for where, which, sql in statement.known_types:
            if (where.removeprefix("public."), which) == (table, column):
                return column_types.parsed(sql)
        return self.catalog.columns.get((table, column))

    def learn(self, statement: Statement) -> None:
        """Take in a statement after it was judged."""
        if kind(statement.node) == "TransactionStmt":
            self._transaction(statement.node)
            return
        live = {of for _mode, of in locks(statement.node) if self.live(of)}
        if not self._there_already(statement.node):
            self._take_in(statement)
        if kind(statement.node) in _WRITES:
            self.written.add(name(statement.node.relation))
        self.names.learn(statement)
        if statement.transaction is not None:
            self._hold(statement.node, statement.transaction, live)

    def _take_in(self, statement: Statement) -> None:
        node = statement.node
        before = None if self._sure(statement) else (self.copied(), self.catalog.copied())
        for one in list(addresses.dropped(node, self.catalog)):
            self.forget(one)
        for one, new in list(addresses.moves(node, self.catalog)):
            self._turn(renamed(one, new))
        learning.learn(self.catalog, node)
        if self.empty or not getattr(node, "replace", False):
            self.created.update(one for one in made(statement, self.empty) if one not in self.lost)
        if before is not None:
            created = set(made(statement, self.empty)) & self.created
            self.join(before[0])
            self.catalog.join(before[1])
            self.created |= created

    def _there_already(self, node: Any) -> bool:
        """Whether IF NOT EXISTS makes it do nothing."""
        if not getattr(node, "if_not_exists", False):
            return False
        if kind(node) == "IndexStmt":
            return self.index_there(node)
        handler = _MADE.get(kind(node))
        return handler is not None and handler(node)[1] in self.catalog.relations

    def index_there(self, node: Any) -> bool:
        """Whether an index of that name certainly exists."""
        index = self.catalog.indexes.get(index_name(name(node.relation), node.idxname))
        return index is not None and index.certain

    def _sure(self, statement: Statement) -> bool:
        """Whether it certainly did what it says. With IF NOT EXISTS, something else of that name may be there."""
        node = statement.node
        if not statement.certain or (getattr(node, "if_not_exists", False) and not self.empty):
            return False
        return (
            kind(node) != "AlterTableStmt"
            or self.empty
            or not any(
                one.subtype.name == "AT_AddColumn" and one.missing_ok and not self._decided(name(node.relation), one)
                for one in node.cmds
            )
        )

    def _decided(self, of: str, command: Any) -> bool:
        """Whether it is known if ADD COLUMN IF NOT EXISTS adds the column."""
        column = str(command.def_.colname)
        return (of, column) in self.catalog.columns or self.catalog.lacks(of, column)

    def _transaction(self, node: Any) -> None:
        """ROLLBACK undoes what was learned since BEGIN or the savepoint, and releases the locks since then."""
        what, own = node.kind.name, str(node.savepoint_name or "")
        if what in ("TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_SAVEPOINT"):
            held = {number: dict(locked) for number, locked in self.held.items()}
            self._saved.append((own, self.copied(), self.catalog.copied(), held))
        elif what in ("TRANS_STMT_ROLLBACK", "TRANS_STMT_ROLLBACK_TO"):
            found = [place for place, one in enumerate(self._saved) if one[0] == own]
            if found:
                _name, ours, facts, held = self._saved[found[-1]]
                self.held = {number: dict(locked) for number, locked in held.items()}
                self.restore(ours)
                self.catalog.restore(facts)
                del self._saved[found[-1] + (what == "TRANS_STMT_ROLLBACK_TO") :]
        elif what in ("TRANS_STMT_COMMIT", "TRANS_STMT_PREPARE"):
            self._saved.clear()

    def _hold(self, node: Any, transaction: int, live: Collection[str]) -> None:
        """Note the locks on tables that were live before the statement and are after it; they follow a new name."""
        held = self.held.setdefault(transaction, {})
        for mode, of in locks(node):
            # Nobody writes to a materialized view.
            modes = STRONG if self.catalog.relations.get(of) != MATVIEW else STRONG[-1:]
            strong = mode in modes and of in live and self.live(of)
            if strong and (of not in held or STRENGTH.index(held[of]) < STRENGTH.index(mode)):
                held[of] = mode
        for one, new in addresses.moves(node, self.catalog):
            moved = renamed(one, new)
            held = self.held[transaction] = {(moved(("table", of)) or one)[1]: mode for of, mode in held.items()}
        if kind(node) == "AlterEnumStmt" and node.newVal is not None:
            self.values.setdefault(transaction, set()).add(str(node.newVal))


def _coming(read: Read) -> Iterator[tuple[int | None, int, str, Any]]:
    """See State.coming."""
    for place, one in enumerate(read.statements):
        sure = one.transaction is not None and one.certain and not one.undone
        if sure and kind(one.node) in ("IndexStmt", "AlterTableStmt"):
            trees = [one.node] if kind(one.node) == "IndexStmt" else one.node.cmds
            yield from ((one.transaction, place, name(one.node.relation), tree) for tree in trees)


def made(statement: Statement, empty: bool = False) -> Iterator[Address]:
    """Addresses of the objects that a statement makes; a function's name has its types. empty: the database was empty,
    so that IF NOT EXISTS and conditions find nothing."""
    node = statement.node
    handler = _MADE.get(kind(node))
    # With IF NOT EXISTS the object may exist already, and may be large.
    sure = statement.certain and not getattr(node, "if_not_exists", False)
    if handler is not None and (sure or empty):
        made_now = handler(node)
        if made_now[-1]:
            yield made_now
    if sure or empty:
        yield from _parts(node)


def _parts(node: Any) -> Iterator[Address]:
    """Sequences of serial columns, and constraints."""
    if kind(node) == "CreateStmt":
        elements = list(node.tableElts or ())
    elif kind(node) == "AlterTableStmt":
        elements = [one.def_ for one in node.cmds if one.subtype.name in _ADDS and not one.missing_ok]
    else:
        return
    of = name(node.relation)
    for one in elements:
        if kind(one) == "ColumnDef" and one.typeName is not None:
            yield from (("sequence", sequence) for sequence in learning.serial(of, one))
        elif kind(one) == "Constraint" and one.conname:
            yield "constraint", of, str(one.conname)


_ADDS = ("AT_AddColumn", "AT_AddConstraint")
_MADE: dict[str, Any] = {
    "CreateStmt": lambda node: ("table", name(node.relation)),
    "CreateForeignTableStmt": lambda node: ("table", name(node.base.relation)),
    "CreateTableAsStmt": lambda node: ("table", name(node.into.rel)),
    "SelectStmt": lambda node: ("table", name(node.intoClause.rel) if node.intoClause is not None else ""),
    "CreateFunctionStmt": lambda node: ("function", signature(node)),
    "ViewStmt": lambda node: ("view", name(node.view)),
    "CreateTrigStmt": lambda node: ("trigger", name(node.relation), str(node.trigname)),
    "CreatePolicyStmt": lambda node: ("policy", name(node.table), str(node.policy_name)),
    "IndexStmt": lambda node: ("index", index_name(name(node.relation), node.idxname)),
    "CompositeTypeStmt": lambda node: ("type", name(node.typevar)),
    "CreateEnumStmt": lambda node: ("type", joined(node.typeName)),
    "CreateRangeStmt": lambda node: ("type", joined(node.typeName)),
    "CreateDomainStmt": lambda node: ("type", joined(node.domainname)),
    "CreateSeqStmt": lambda node: ("sequence", name(node.sequence)),
    "CreateSchemaStmt": lambda node: ("schema", str(node.schemaname or "")),
    "CreateExtensionStmt": lambda node: ("extension", str(node.extname)),
}  # fmt: skip
