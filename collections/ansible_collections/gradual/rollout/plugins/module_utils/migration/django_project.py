# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Read a Django project as text, without importing it: its installed apps, and the folders of their migrations."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Library, Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import UNTOLD, Computed, Perhaps
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["'](?P<module>[\w.]+)["']""")
# The settings that matter for migrations.
_NEEDED = ("INSTALLED_APPS", "AUTH_USER_MODEL", "MIGRATION_MODULES")


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
        self.computed: frozenset[str] = frozenset()
        self.settings = self._settings()
        self.library.settings = self.settings
        self.library.computed = self.computed
        if not isinstance(self.settings.get("INSTALLED_APPS"), list):
            raise DatabaseError(
                f"INSTALLED_APPS of {self.module} cannot be read as text; expected a list of strings, or a sum of such"
                " lists"
            )
        installed = self.settings["INSTALLED_APPS"]
        self.apps = [self._app(one) for one in installed if not isinstance(one, Perhaps)]
        self.apps += [app for one in installed if isinstance(one, Perhaps) for app in self._undecided(one)]
        self.labels = frozenset(one.label for one in self.apps)

    def file(self, module: str) -> str | None:
        return self.library.file(module)

    def _settings(self) -> dict[str, Any]:
        """The settings whose values can be told; those that matter here must be among them."""
        module = self.library.module(self.module)
        if module is None:
            raise DatabaseError(f"there are no settings {self.module} below {self.folder}, which manage.py names")
        self.computed = frozenset(name for name, one in module.state.items() if isinstance(one, Computed))
        for name in _NEEDED:
            computed = module.state.get(name)
            if isinstance(computed, Computed):
                whose = "" if computed.name == name else f"{name} of {self.module}: "
                raise DatabaseError(
                    f"{whose}{computed.name} in {computed.where}, is computed by code, which Gradual does not run;"
                    " write it as plain strings"
                )
        return {name: one for name, one in module.state.items() if name not in self.computed}

    def _undecided(self, entry: Perhaps) -> Iterator[App]:
        """An app that is installed only under a condition, if the release has migrations of it."""
        found = self._app(entry)
        if found.folder:
            yield App(
                found.label,
                None,
                f"the app {str(entry)!r} is in INSTALLED_APPS only under a condition ({entry.where}), which Gradual"
                " does not decide, and the release has migrations of it; write it without a condition, or leave it out"
                " of the release",
            )

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
                except UNTOLD:
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
    """(name, value) of an assignment."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
