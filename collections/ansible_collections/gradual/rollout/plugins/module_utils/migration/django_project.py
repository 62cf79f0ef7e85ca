# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Read a Django project as text, without importing it: its installed apps, and the folders of their migrations."""

from __future__ import annotations

import ast
import glob
import os
import re
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["'](?P<module>[\w.]+)["']""")
# The settings that matter for migrations.
_NEEDED = ("INSTALLED_APPS", "AUTH_USER_MODEL", "MIGRATION_MODULES")


class Unreadable(ValueError):
    """An expression that is not made of constants."""


@dataclass(frozen=True)
class App:
    """folder: of its migrations, or None."""

    label: str
    folder: str | None


def value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The value of an expression of constants, known names, lists, dicts and +."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        found: list[Any] = []
        for one in node.elts:
            found.extend(value(one.value, known)) if isinstance(one, ast.Starred) else found.append(value(one, known))
        return found
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {value(key, known): value(one, known) for key, one in zip(node.keys, node.values) if key is not None}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return value(node.left, known) + value(node.right, known)
    raise Unreadable(ast.dump(node)[:60])


def read(file: str) -> ast.Module:
    try:
        with open(file, "rb") as opened:
            return ast.parse(opened.read(), file)
    except OSError as error:
        raise DatabaseError(f"{file} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise DatabaseError(f"{file} is not Python: {error.msg} in line {error.lineno}") from None


class Project:
    """The project with manage.py in `folder`, of a release in `directory` with its own .venv."""

    def __init__(self, directory: str, folder: str) -> None:
        self.folder = folder
        self.roots = [folder, *sorted(glob.glob(os.path.join(directory, ".venv", "lib", "python*", "site-packages")))]
        manage = os.path.join(folder, "manage.py")
        if not os.path.isfile(manage):
            raise DatabaseError(
                f"there is no {manage}; write as path the folder of manage.py in the release (. for its top)"
            )
        with open(manage, encoding="utf-8") as file:
            match = _SETTINGS.search(file.read())
        if match is None:
            raise DatabaseError(
                f"{manage} names no settings; expected a line os.environ.setdefault('DJANGO_SETTINGS_MODULE', '…')"
            )
        self.module = match["module"]
        self.settings = self._settings(self.module)
        if not isinstance(self.settings.get("INSTALLED_APPS"), list):
            raise DatabaseError(
                f"INSTALLED_APPS of {self.module} cannot be read as text; expected a list of strings, or a sum of such"
                " lists"
            )

    def apps(self) -> list[App]:
        return [self._app(name) for name in self.settings["INSTALLED_APPS"]]

    def user_app(self) -> str:
        """The label of the app with the user model."""
        return str(self.settings.get("AUTH_USER_MODEL", "auth.User")).partition(".")[0]

    def file(self, module: str) -> str | None:
        """The file of a module or package."""
        for root in self.roots:
            path = os.path.join(root, *module.split("."))
            for found in (path + ".py", os.path.join(path, "__init__.py")):
                if os.path.isfile(found):
                    return found
        return None

    def _settings(self, module: str) -> dict[str, Any]:
        file = self.file(module)
        if file is None:
            raise DatabaseError(f"there are no settings {module} below {self.folder}, which manage.py names")
        known: dict[str, Any] = {}
        for node in read(file).body:
            if isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
                package = module.split(".")[: -node.level] if node.level else []
                inherited = ".".join([*package, *([node.module] if node.module else [])])
                if self.file(inherited):
                    known.update(self._settings(inherited))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._assign(known, node.targets[0].id, node.value, file)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self._assign(known, node.target.id, node.value, file)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and isinstance(node.op, ast.Add):
                self._assign(known, node.target.id, ast.BinOp(ast.Name(node.target.id), ast.Add(), node.value), file)
        return known

    @staticmethod
    def _assign(known: dict[str, Any], name: str, node: ast.expr, file: str) -> None:
        try:
            known[name] = value(node, known)
        except (Unreadable, TypeError):
            if name in _NEEDED:
                raise DatabaseError(
                    f"{name} in {file}, line {getattr(node, 'lineno', '?')}, is computed by code, which Gradual does"
                    " not run; write it as plain strings"
                ) from None

    def _app(self, entry: str) -> App:
        """An entry of INSTALLED_APPS: a package, or the dotted name of its AppConfig."""
        config: dict[str, Any] = {}
        name = entry
        package, _dot, wanted = entry.rpartition(".")
        if self.file(entry) is None and package and self.file(package):
            config = self._configs(package).get(wanted, {})
            name = config.get("name") or package.rpartition(".")[0]
        elif self.file(f"{entry}.apps"):
            found = list(self._configs(f"{entry}.apps").values())
            chosen = [one for one in found if one.get("default") is True] or (found if len(found) == 1 else [])
            config = chosen[0] if chosen else {}
        if self.file(name) is None:
            raise DatabaseError(
                f"the app {entry!r} of INSTALLED_APPS in {self.module} is neither below {self.folder} nor in the"
                " release's .venv"
            )
        label = str(config.get("label") or name.rpartition(".")[2])
        module = (self.settings.get("MIGRATION_MODULES") or {}).get(label, f"{name}.migrations")
        there = self.file(module) if module else None
        return App(label, os.path.dirname(there) if there else None)

    def _configs(self, module: str) -> dict[str, dict[str, Any]]:
        """{class: {"name", "label", "default"}} of the AppConfigs in a module."""
        found = {}
        for node in read(self.file(module) or "").body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Config") for base in node.bases):
                found[node.name] = {
                    one.targets[0].id: one.value.value
                    for one in node.body
                    if isinstance(one, ast.Assign)
                    and isinstance(one.targets[0], ast.Name)
                    and isinstance(one.value, ast.Constant)
                }
        return found
