# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Read a Django project as text, without importing it: its installed apps, and the folders of their migrations."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from typing import Any, Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import (
    Library,
    Module,
    Unreadable,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["'](?P<module>[\w.]+)["']""")
# The settings that matter for migrations.
_NEEDED = ("INSTALLED_APPS", "AUTH_USER_MODEL", "MIGRATION_MODULES")
_COMPUTED = "{name} in {file}, line {line}, is computed by code, which Gradual does not run; write it as plain strings"
_COMPOUND = (ast.If, ast.Try, ast.With, ast.For, ast.While)
# What reading an expression raises that is not text.
_UNTOLD = (Unreadable, DatabaseError, TypeError, ValueError, LookupError, AttributeError)


@dataclass(frozen=True)
class App:
    """folder: of its migrations, or None. missing: why nobody can tell whether it has migrations, or ""."""

    label: str
    folder: str | None
    missing: str = ""


class Project:
    """The project with manage.py in `folder`, of a release in `directory` with its own .venv, or with wheels."""

    def __init__(self, directory: str, folder: str) -> None:
        self.folder = folder
        self.library = Library([folder, *python_files.libraries(directory)])
        manage = os.path.join(folder, "manage.py")
        if not os.path.isfile(manage):
            raise DatabaseError(
                f"there is no {manage}; write as path the folder of manage.py in the release (. for its top)"
            )
        match = _SETTINGS.search(python_files.content(manage).decode("utf-8", "replace"))
        if match is None:
            raise DatabaseError(
                f"{manage} names no settings; expected a line os.environ.setdefault('DJANGO_SETTINGS_MODULE', '…')"
            )
        self.module = match["module"]
        self.computed: set[str] = set()
        self.perhaps: dict[str, str] = {}
        """App → where it is added under a condition."""
        self.settings = self._settings(self.module)
        self.library.settings = self.settings
        self.library.computed = frozenset(self.computed)
        if not isinstance(self.settings.get("INSTALLED_APPS"), list):
            raise DatabaseError(
                f"INSTALLED_APPS of {self.module} cannot be read as text; expected a list of strings, or a sum of such"
                " lists"
            )
        self.apps = [self._app(name) for name in self.settings["INSTALLED_APPS"]]
        self.apps += [one for entry, line in self.perhaps.items() for one in self._undecided(entry, line)]
        self.labels = frozenset(one.label for one in self.apps)

    def file(self, module: str) -> str | None:
        return self.library.file(module)

    def _settings(self, name: str) -> dict[str, Any]:
        file = self.file(name)
        if file is None:
            raise DatabaseError(f"there are no settings {name} below {self.folder}, which manage.py names")
        module = Module(self.library, name, file)
        known: dict[str, Any] = {}
        self._read(python_files.tree(file).body, known, module)
        return known

    def _read(self, body: Sequence[ast.stmt], known: dict[str, Any], module: Module) -> None:
        """What statements set, in order. Of an `if`, the branch that the settings before it decide."""
        for node in body:
            if isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
                package = module.name.split(".")[: -node.level] if node.level else []
                inherited = ".".join([*package, *([node.module] if node.module else [])])
                if self.file(inherited):
                    known.update(self._settings(inherited))
            elif isinstance(node, _COMPOUND):
                branch = self._branch(node, known, module)
                if branch is None:
                    self._undecidable(node, known, module)
                else:
                    self._read(branch, known, module)
            else:
                for target, value in _assigned(node):
                    self._assign(known, target, value, module)

    def _branch(self, node: ast.stmt, known: dict[str, Any], module: Module) -> list[ast.stmt] | None:
        """The statements that run; None where nobody can tell. Imports of a `try` that are in the release succeed."""
        if isinstance(node, ast.Try) and all(isinstance(one, ast.ImportFrom) for one in node.body):
            return node.body
        if not isinstance(node, ast.If):
            return None
        try:
            return node.body if module.value(node.test, known) else node.orelse
        except _UNTOLD:
            return None

    def _undecidable(self, node: ast.stmt, known: dict[str, Any], module: Module) -> None:
        """Remember the apps that are there only under a condition."""
        for one in ast.walk(node):
            for name, value in _assigned(one):
                if name == "INSTALLED_APPS":
                    after: dict[str, Any] = {name: list(known.get(name) or [])}
                    self._assign(after, name, value, module)
                    self.perhaps.update(dict.fromkeys(after[name], f"{module.file}, line {value.lineno}"))
                elif name in _NEEDED:
                    raise DatabaseError(_COMPUTED.format(name=name, file=module.file, line=value.lineno))

    def _undecided(self, entry: str, where: str) -> Iterator[App]:
        """An app that is installed only under a condition, if the release has migrations of it."""
        found = self._app(entry) if entry not in self.settings["INSTALLED_APPS"] else None
        if found and found.folder:
            yield App(
                found.label,
                None,
                f"the app {entry!r} is in INSTALLED_APPS only under a condition ({where}), which Gradual does not"
                " decide, and the release has migrations of it; write it without a condition, or leave it out of the"
                " release",
            )

    def _assign(self, known: dict[str, Any], name: str, node: ast.expr, module: Module) -> None:
        try:
            known[name] = module.value(node, known)
            self.computed.discard(name)
        except _UNTOLD:
            known.pop(name, None)
            self.computed.add(name)
            if name in _NEEDED:
                raise DatabaseError(_COMPUTED.format(name=name, file=module.file, line=node.lineno)) from None

    def _app(self, entry: str) -> App:
        """An entry of INSTALLED_APPS: a package, or the dotted name of its AppConfig."""
        config: dict[str, Any] = {}
        name = entry
        package, _dot, _name = entry.rpartition(".")
        if self.file(entry) is None and package and self.library.find(entry):
            config = self._config(*self._class(entry))
            name = config.get("name", "")
        elif self.file(f"{entry}.apps"):
            config = self._chosen(f"{entry}.apps")
            name = config.get("name", entry)
        label = str(config.get("label") or (name or package).rpartition(".")[2])
        if not name or self.file(name) is None:
            return App(
                label,
                None,
                f"the app {entry!r} of INSTALLED_APPS in {self.module} is neither below {self.folder} nor in the"
                " release's .venv, nor in a wheel of the release"
                if not config
                else f"the name of the AppConfig {entry!r} of INSTALLED_APPS in {self.module} is computed by code",
            )
        return self._found(label, name)

    def _found(self, label: str, name: str) -> App:
        modules = self.settings.get("MIGRATION_MODULES") or {}
        module = modules.get(label, f"{name}.migrations")
        there = self.file(module) if module else None
        if module and there is None and label in modules:
            return App(label, None, f"MIGRATION_MODULES[{label!r}] is {module!r}, which is not in the release")
        return App(label, os.path.dirname(there) if there else None)

    def _class(self, dotted: str) -> tuple[Module, ast.ClassDef]:
        found = self.library.find(dotted)
        if found is None or not isinstance(found[1], ast.ClassDef):
            raise DatabaseError(f"{dotted!r} of INSTALLED_APPS in {self.module} is no class of an app")
        return found[0], found[1]

    def _config(self, module: Module, node: ast.ClassDef) -> dict[str, Any]:
        """{"name", "label", "default"} of an AppConfig, with what it inherits; what is computed is missing."""
        found: dict[str, Any] = {}
        for base in reversed(node.bases):
            dotted = module.dotted(base)
            there = self.library.find(dotted) if dotted else None
            if there is None and dotted and dotted.startswith(f"{module.name}."):
                there = (module, module.names.get(dotted.rpartition(".")[2]))  # type: ignore[assignment]
            if there and isinstance(there[1], ast.ClassDef):
                found.update({key: one for key, one in self._config(there[0], there[1]).items() if key != "default"})
        for one in node.body:
            for key, value in _assigned(one):
                try:
                    found[key] = module.package if ast.unparse(value) == "__package__" else module.value(value, found)
                except (Unreadable, TypeError, ValueError, LookupError, AttributeError):
                    found.pop(key, None)
        return found

    def _chosen(self, name: str) -> dict[str, Any]:
        """The AppConfig that Django takes of a module: the only one, or the one with default = True."""
        module = self.library.module(name)
        classes = [
            one
            for one in (module.names.values() if module else ())
            if isinstance(one, ast.ClassDef) and any(ast.unparse(base).endswith("Config") for base in one.bases)
        ]
        found = [self._config(module, one) for one in classes] if module else []
        chosen = [one for one in found if one.get("default") is True] or (
            [one for one in found if one.get("default") is not False] if len(found) > 1 else found
        )
        return chosen[0] if len(chosen) == 1 else {}


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of an assignment, and of what makes a list longer."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and isinstance(node.op, ast.Add):
        yield node.target.id, ast.copy_location(ast.BinOp(ast.Name(node.target.id), ast.Add(), node.value), node)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        called = node.value.func
        if isinstance(called.value, ast.Name) and called.attr in ("append", "extend", "insert") and node.value.args:
            added = node.value.args[-1] if called.attr == "extend" else ast.List([node.value.args[-1]])
            yield called.value.id, ast.copy_location(ast.BinOp(called.value, ast.Add(), added), node)
