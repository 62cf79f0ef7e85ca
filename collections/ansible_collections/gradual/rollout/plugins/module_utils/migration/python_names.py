# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What names in Python files stand for, without running them: constants, imports, settings, and functions that only
return an expression."""

from __future__ import annotations

import ast
import os
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import entry_points, python_files
from ansible_collections.gradual.rollout.plugins.module_utils.migration.entry_points import EntryPoint
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_expressions import DEEPEST, Reading
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_state import Run, State
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import (
    Perhaps,
    Unreadable,
)

# What Django itself sets where a project does not.
DEFAULTS: Mapping[str, Any] = {"AUTH_USER_MODEL": "auth.User", "DEFAULT_TABLESPACE": "", "DEFAULT_INDEX_TABLESPACE": ""}


class Module:
    """One file: the expressions, imports, functions and classes by the names at its top level, and their values."""

    def __init__(self, library: Library, name: str, file: str) -> None:
        self.library, self.name, self.file = library, name, file
        self.package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
        self.names: dict[str, ast.AST | str] = {}
        self.tree = python_files.tree(file)
        self._state: State | None = None
        for node in _top(self.tree.body):
            self._bind(node)

    def _bind(self, node: ast.stmt) -> None:
        """An import is bound as the dotted name of what it imports."""
        if isinstance(node, ast.Import):
            for one in node.names:
                self.names[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                self.names[one.asname or one.name] = f"{self.origin(node)}.{one.name}"
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self.names[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    self.names[target.id] = node.value

    @property
    def state(self) -> State:
        """The values after the top level has run; while it runs, those until now."""
        if self._state is None:
            self._state = {}
            Run(self, self._state).body(self.tree.body)
        return self._state

    def origin(self, node: ast.ImportFrom) -> str:
        """The full name of the module that names are imported from."""
        parts = self.package.split(".")
        base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        return ".".join(part for part in (base, node.module) if part)

    def take_over(self, other: Module) -> None:
        """The imports, functions and classes that `from other import *` brings."""
        for name, found in other.names.items():
            if name[0] not in "_*" and not isinstance(found, ast.expr):
                self.names.setdefault(name, found if isinstance(found, str) else f"{other.name}.{name}")

    def is_own(self, node: ast.ImportFrom) -> bool:
        """Whether it imports from the release's own files, so that a missing module is in no library either."""
        return node.level > 0 or self.library.file(self.origin(node).partition(".")[0]) is not None

    def imports(self, body: Sequence[ast.stmt]) -> bool | None:
        """Whether imports find their files; None where nobody can tell, or other statements are among them."""
        found = []
        for node in body:
            if isinstance(node, ast.ImportFrom):
                origin = self.origin(node)
                there = self.library.file(origin) is not None
                found.append(there or (False if self.is_own(node) else None))
            elif isinstance(node, ast.Import):
                found += [self.library.file(one.name) is not None or None for one in node.names]
            else:
                return None
        return all(found) or (False if False in found else None)

    def dotted(self, node: ast.expr) -> str | None:
        """The full name of a class or function, as far as imports tell it."""
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return None if base is None else f"{base}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        found = self.names.get(node.id)
        if isinstance(found, ast.Call) and found.args and (self.dotted(found.func) or "").endswith(".import_string"):
            return self._text(found.args[0])
        return found if isinstance(found, str) else f"{self.name}.{node.id}"

    def _text(self, node: ast.expr) -> str | None:
        try:
            return str(self.value(node))
        except Unreadable:
            return None

    def value(self, node: ast.expr, local: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
        """The value of an expression. Raises Unreadable."""
        if depth > DEEPEST:
            raise Unreadable("it refers to itself")
        try:
            found = Reading(self, local or {}, depth + 1).value(node)
        except RecursionError:
            raise Unreadable("it is nested too deeply") from None
        if local is None and isinstance(found, list):
            for one in found:
                if isinstance(one, Perhaps):
                    raise Unreadable(f"{one} is in it only under a condition ({one.where})")
        return found


class Library:
    """The Python files of a release. roots: folders and wheels, the first one wins; settings: those of the project."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = roots
        self.settings: Mapping[str, Any] = {}
        self.computed: frozenset[str] = frozenset()
        self._modules: dict[str, Module | None] = {}

    def file(self, module: str) -> str | None:
        """The file of a module or package."""
        for root in self.roots:
            path = os.path.join(root, *module.split("."))
            for found in (path + ".py", os.path.join(path, "__init__.py")):
                if python_files.exists(found):
                    return found
        return None

    def module(self, name: str) -> Module | None:
        if name not in self._modules:
            file = self.file(name)
            self._modules[name] = Module(self, name, file) if file else None
        return self._modules[name]

    def states(self) -> Iterator[State]:
        """Of the modules that were read."""
        for one in list(self._modules.values()):
            if one is not None and one._state is not None:
                yield one._state

    def of_file(self, file: str) -> Module:
        """The module of a file below one of the roots; its package tells relative imports."""
        root = next((one for one in self.roots if file.startswith(os.path.join(one, ""))), os.path.dirname(file))
        return Module(self, os.path.relpath(file, root)[: -len(".py")].replace(os.sep, "."), file)

    def entry_points(self, group: str, name: str | None = None) -> list[EntryPoint]:
        """The entry points of a group. Unreadable in a release without distributions, whose environment is not made."""
        found = entry_points.declared(self.roots)
        if found is None:
            raise Unreadable("the release has no distributions whose entry points could be read")
        return [one for one in found if one.group == group and name in (None, one.name)]

    def find(self, dotted: str, depth: int = 0) -> tuple[Module, ast.AST] | None:
        """The module and the node that a full name stands for, through imports of other modules."""
        head, _dot, last = dotted.rpartition(".")
        module = self.module(head) if head and depth < DEEPEST else None
        found = module.names.get(last) if module else None
        if isinstance(found, str):
            return self.find(found, depth + 1)
        return (module, found) if module and found is not None else None

    def setting(self, name: str) -> Any:
        if name in self.computed:
            raise Unreadable(f"the setting {name} is computed by code")
        if name in self.settings:
            return self.settings[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        raise LookupError(name)


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at the top level, and those of try: and if: there (an import with a fallback)."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _top([*node.orelse, *node.body])
            continue
        if isinstance(node, ast.Try):
            yield from _top([*[one for handler in node.handlers for one in handler.body], *node.body])
        else:
            yield node
