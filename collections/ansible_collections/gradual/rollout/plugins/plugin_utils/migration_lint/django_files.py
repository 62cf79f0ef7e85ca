# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Django's migrations as SQL, without running them: each operation is replayed on the models that the migrations before
it made. RunSQL is read as it is; everything else was not seen."""

from __future__ import annotations

import ast
import os
from typing import Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django import MISSING, Django
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django_project import Project
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_operations import Operation
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_schema import Schema
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.literals import reached
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, Unseen

# Methods that change a list after it was written.
_GROWING = frozenset(("append", "extend", "insert"))
# What the text of an operation that is none of Django's usual ones raises in the reading.
_ODD = (Unreadable, AttributeError, IndexError, KeyError, TypeError, ValueError)


def sources(directory: str, path: str, revisions: Sequence[Revision]) -> list[Source]:
    """The migrations in the order given; path: the folder of manage.py."""
    tool = Django(directory, path)
    state = State()
    return [_source(directory, one, tool.project, state) for one in _as_applied(revisions, tool)]


def _as_applied(revisions: Sequence[Revision], tool: Django) -> list[Revision]:
    """The same, but where one that a squashed migration replaces is still to come, those before it instead of the
    squashed one, which would tell the models as they are at its end."""
    names = [one.revision for one in revisions]
    found: list[Revision] = []
    for one in revisions:
        old = tool.replaces.get(one.revision, ())
        found += [tool.revisions[name] for name in old if name not in names] if set(old) & set(names) else [one]
    return found


def _source(directory: str, revision: Revision, project: Project, state: State) -> Source:
    if revision.revision.endswith(f".{MISSING}"):
        unseen = Unseen("unseen", 1, f"its migrations were not found: {revision.description}")
        return Source(revision.revision, revision.phase, revision.file, (), (unseen,))
    module = project.library.of_file(os.path.join(directory, revision.file))
    reading = _Reading(revision, module, state)
    with python_files.not_too_deep(revision.file):
        reading.file()
    return Source(revision.revision, revision.phase, revision.file, reading.all_pieces(), tuple(reading.unseen))


class _Reading:
    """One file: its statements in the order in which Django runs them, and what was not seen."""

    def __init__(self, revision: Revision, module: Module, state: State) -> None:
        self.app = revision.revision.partition(".")[0]
        self.transaction = 1 if revision.transactional else None
        self.module, self.state = module, state
        self.named = _named(module.tree)
        self.pieces: list[Piece] = []
        self.last: list[Piece] = []
        self.unseen: list[Unseen] = []

    def all_pieces(self) -> tuple[Piece, ...]:
        return (*self.pieces, *self.last)

    def file(self) -> None:
        lists, hidden = _lists(self.module)
        for line in sorted(hidden):
            self.miss(line, "operations that are not written out")
        for node in lists:
            self.operations(node, self.state)

    def miss(self, line: int, what: str) -> None:
        self.unseen.append(Unseen("unseen", line, what))

    def operations(self, node: ast.expr, state: State) -> None:
        """All of a list, on a state that they change."""
        node = self.named.get(node.id, node) if isinstance(node, ast.Name) else node
        if not isinstance(node, (ast.List, ast.Tuple)):
            self.miss(node.lineno, "operations that are not written out")
            return
        for one in node.elts:
            if isinstance(one, ast.Call):
                self.operation(one, state)
            else:
                self.miss(one.lineno, f"operations that are not written out: {ast.unparse(one)}")

    def operation(self, call: ast.Call, state: State) -> None:
        operation = Operation(call, self.module, self.app, state)
        special = {"RunSQL": self.run_sql, "SeparateDatabaseAndState": self.separate, "RunPython": self.run_python}
        try:
            if operation.name in special:
                special[operation.name](operation, state)
            elif not operation.run():
                self.miss(call.lineno, f"{operation.name}: {ast.unparse(call)}")
        except _ODD as error:
            self.miss(call.lineno, f"{operation.name} ({error}): {ast.unparse(call)}")
        self.take(operation.schema, call)

    def take(self, schema: Schema, call: ast.Call) -> None:
        self.pieces += [Piece(sql, call.lineno, self.transaction, known_types=known) for sql, known in schema.now]
        self.last += [Piece(sql, call.lineno, self.transaction) for sql in schema.later]
        for what in dict.fromkeys(schema.doubts):
            self.miss(call.lineno, f"{what}: {ast.unparse(call)}")

    def separate(self, operation: Operation, state: State) -> None:
        """The one list for the database alone, the other one for the models alone."""
        database, models = operation.node("database_operations", 0), operation.node("state_operations", 1)
        if database is not None:
            self.operations(database, state.copy())
        if models is not None:
            self.quietly(models, state)

    def quietly(self, node: ast.expr, state: State) -> None:
        """Operations that change the models and nothing in the database."""
        pieces, last = self.pieces, self.last
        self.pieces, self.last = [], []
        self.operations(node, state)
        self.pieces, self.last = pieces, last

    def run_python(self, operation: Operation, _state: State) -> None:
        code = operation.node("code", 0)
        if not (isinstance(code, ast.Attribute) and code.attr == "noop"):
            self.miss(operation.call.lineno, f"RunPython: {ast.unparse(operation.call)}")

    def run_sql(self, operation: Operation, state: State) -> None:
        for sql, line in self.texts(operation):
            if sql is None:
                self.miss(line, "RunSQL whose SQL is not written out")
            else:
                self.pieces.append(Piece(sql, line, self.transaction))
        models = operation.node("state_operations", 2)
        if models is not None:
            self.quietly(models, state)

    def texts(self, operation: Operation) -> Iterator[tuple[str | None, int]]:
        """(sql, line): a text, or a list of texts or of (text, parameters)."""
        wanted = operation.node("sql", 0)
        for one in wanted.elts if isinstance(wanted, (ast.List, ast.Tuple)) else [wanted]:
            pair = isinstance(one, (ast.List, ast.Tuple)) and bool(one.elts)
            node = one.elts[0] if pair else one  # type: ignore[union-attr]
            if node is None or (isinstance(node, ast.Attribute) and node.attr == "noop"):
                continue
            text = self._text(node)
            yield (
                text.replace("%s", "NULL").replace("%%", "%") if text is not None and pair else text,
                node.lineno if text is not None else operation.call.lineno,
            )

    def _text(self, node: ast.expr) -> str | None:
        try:
            found = self.module.value(node)
        except _ODD:
            return None
        return found if isinstance(found, str) else None


def _named(tree: ast.Module) -> dict[str, ast.expr]:
    """Lists that have a name, at the top of the file or in a class; one that is written twice is none of them."""
    found: dict[str, list[ast.expr]] = {}
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (one for body in bodies for one in body if isinstance(one, ast.Assign)):
        if isinstance(node.targets[0], ast.Name) and isinstance(node.value, (ast.List, ast.Tuple)):
            found.setdefault(node.targets[0].id, []).append(node.value)
    changed = {
        ast.unparse(one.value) for one in ast.walk(tree) if isinstance(one, ast.Attribute) and one.attr in _GROWING
    }
    changed |= {ast.unparse(one.target) for one in ast.walk(tree) if isinstance(one, ast.AugAssign)}
    return {name: lists[0] for name, lists in found.items() if len(lists) == 1 and name not in changed}


def _lists(module: Module) -> tuple[list[ast.expr], list[int]]:
    """The lists that are given the name operations, and the lines where such a list is changed or comes from
    elsewhere. Branches for other databases do not count."""
    lists: list[ast.expr] = []
    hidden: list[int] = []
    stored, plain = set(), set()
    for node in reached(module.tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if _is_list(target):
                    plain.add(target)
                    lists.append(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            hidden += [node.lineno] if node.func.attr in _GROWING and _is_list(node.func.value) else []
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store) and _is_list(node):
            stored.add(node)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and _is_list(node.value):
            hidden.append(node.lineno)
    hidden += [one.lineno for one in stored - plain]
    return lists, hidden if plain or _is_empty(module) else [*hidden, 1]


def _is_empty(module: Module) -> bool:
    """Whether a migration without a list of its own gets none from elsewhere: it has Django's own empty one."""
    bases = [
        module.dotted(base)
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Migration"
        for base in node.bases
    ]
    imported = {
        one.asname or one.name
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for one in node.names
    }
    return bases == ["django.db.migrations.Migration"] and not imported & {"operations", "*"}


def _is_list(node: ast.expr) -> bool:
    """Whether it is a migration's list: operations in its class, or Migration.operations outside."""
    return isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in ("operations", "Migration.operations")
