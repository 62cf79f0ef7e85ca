# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a session's settings and temporary tables mean: which table a name without a schema is, and whether a wait for a
lock ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Statement, ast
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, walk

# A lock_timeout that is none.
_NEVER = re.compile(r"\s*0+\s*(us|ms|s|min|h|d)?\s*")
PUBLIC, TEMPORARY, UNKNOWN = "public", "pg_temp", "?"
DEFAULT = (PUBLIC,)
_MAKES = frozenset(("CreateStmt", "CreateTableAsStmt", "ViewStmt", "CreateSeqStmt", "CreateForeignTableStmt"))
_LISTED = frozenset(("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE", "OBJECT_INDEX",
                     "OBJECT_FOREIGN_TABLE"))  # fmt: skip
_PARTS = frozenset(("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"))


@dataclass
class Names:
    """path: schemas of search_path, without "$user"; local: the path before SET LOCAL, and its transaction.
    temporary: tables → the transaction after which they are gone, None for the session. waits: whether nothing bounds
    the wait for a lock; waits_before: the same before SET LOCAL, and its transaction."""

    path: tuple[str, ...] = DEFAULT
    local: tuple[tuple[str, ...], int | None] | None = None
    temporary: dict[str, int | None] = field(default_factory=dict)
    waits: bool = False
    waits_before: tuple[bool, int | None] | None = None

    def enter(self, transaction: int | None) -> None:
        """Before a statement: what belonged to another transaction is over."""
        if self.local is not None and self.local[1] != transaction:
            self.path, self.local = self.local[0], None
        if self.waits_before is not None and self.waits_before[1] != transaction:
            self.waits, self.waits_before = self.waits_before[0], None
        self.temporary = {one: end for one, end in self.temporary.items() if end in (None, transaction)}

    def resolve(self, statement: Statement, known: Callable[[str], bool]) -> None:
        """Write the schema to every name of a relation that means another one than public. known: whether a relation
        is there."""
        node = statement.node
        own = {str(one.ctename) for one in walk(node) if kind(one) == "CommonTableExpr"}
        made = _made(node)
        for one in walk(node):
            if kind(one) == "RangeVar" and not one.schemaname and str(one.relname) not in own:
                one.schemaname = self._schema(str(one.relname), known, made is one, one.relpersistence == "t")
        if kind(node) == "DropStmt" and node.removeType.name in (_LISTED | _PARTS):
            parts = node.removeType.name in _PARTS
            node.objects = tuple(self._listed(one, 1 + parts, known) for one in node.objects)
        if made is not None and made.schemaname == TEMPORARY:
            ends = getattr(getattr(node, "oncommit", None), "name", "") == "ONCOMMIT_DROP"
            self.temporary[str(made.relname)] = statement.transaction if ends else None

    def _listed(self, words: Any, own: int, known: Callable[[str], bool]) -> Any:
        if len(words) > own:
            return words
        schema = self._schema(str(words[0].sval), known, False, False)
        return (ast.String(schema), *words) if schema else words

    def _schema(self, bare: str, known: Callable[[str], bool], made: bool, temporary: bool) -> str | None:
        if temporary or (bare in self.temporary and not made):
            return TEMPORARY
        there = (one for one in self.path if not made and known(bare if one == PUBLIC else f"{one}.{bare}"))
        schema = next(there, self.path[0])
        return None if schema == PUBLIC else schema

    def learn(self, statement: Statement) -> None:
        """After a statement: search_path, and temporary tables that are dropped."""
        for path, local in set_paths(statement.node):
            if local and self.local is None:
                self.local = self.path, statement.transaction
            self.path = path if statement.certain else (UNKNOWN,)
        for setting, values, local in settings(statement.node):
            if setting == "lock_timeout":
                if local and self.waits_before is None:
                    self.waits_before = self.waits, statement.transaction
                self.waits = values is not None and _NEVER.fullmatch(values[0] or "") is not None
        if kind(statement.node) == "DropStmt":
            for one in statement.node.objects:
                if isinstance(one, tuple) and joined(one).startswith(f"{TEMPORARY}."):
                    self.temporary.pop(joined(one).rpartition(".")[2], None)


def is_temporary(relation: str) -> bool:
    """Whether a name, as trees.name has it, is of a temporary table."""
    return relation.startswith(f"{TEMPORARY}.")


def _made(node: Any) -> Any:
    """The name of the relation that a statement makes."""
    if kind(node) == "SelectStmt":
        return node.intoClause.rel if node.intoClause is not None else None
    if kind(node) not in _MAKES:
        return None
    if kind(node) == "CreateTableAsStmt":
        return node.into.rel
    if kind(node) == "CreateForeignTableStmt":
        return node.base.relation
    return getattr(node, {"ViewStmt": "view", "CreateSeqStmt": "sequence"}.get(kind(node), "relation"))


def set_paths(node: Any) -> Iterator[tuple[tuple[str, ...], bool]]:
    """(path, whether for the transaction alone) of each change of search_path."""
    for setting, values, local in settings(node):
        if setting == "search_path":
            yield (DEFAULT if values is None else _path(values)), local


def settings(node: Any) -> Iterator[tuple[str, list[str | None] | None, bool]]:
    """(setting, values, whether for the transaction alone) of SET, RESET and set_config(). Values are None for the
    session's default; a value is None if it is not in the text."""
    if kind(node) == "VariableSetStmt" and node.name:
        given = node.kind.name == "VAR_SET_VALUE"
        yield str(node.name), ([_text(one) for one in node.args] if given else None), bool(node.is_local)
    elif kind(node) == "DiscardStmt" or (kind(node) == "VariableSetStmt" and node.kind.name == "VAR_RESET_ALL"):
        yield from ((one, None, False) for one in ("search_path", "lock_timeout"))
    for one in walk(node):
        if kind(one) == "FuncCall" and one.funcname[-1].sval == "set_config" and len(one.args) == 3:
            text = _text(one.args[1])
            words: list[str | None] = [None]
            if text is not None:
                words = [word.strip().strip('"') for word in text.split(",")]
            local = getattr(getattr(one.args[2], "val", None), "boolval", True) is not False
            yield _text(one.args[0]) or "", words, local


def _text(node: Any) -> str | None:
    value: Any = getattr(node, "val", None)
    number = getattr(value, "ival", None)
    return str(value.sval) if hasattr(value, "sval") else None if number is None else str(number)


def _path(words: list[str | None]) -> tuple[str, ...]:
    """An empty path finds nothing by a bare name, so that what is meant is not known."""
    found = tuple(UNKNOWN if one is None else one for one in words if one not in ("$user", ""))
    return found or (UNKNOWN,)
