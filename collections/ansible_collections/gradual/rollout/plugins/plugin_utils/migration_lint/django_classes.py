# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of Django's own fields a field class of the release or of a library is, read from its file."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable

_OWN_TYPE = frozenset(("db_type", "rel_db_type", "db_parameters", "cast_db_type", "db_check"))
_DEEPEST = 12


@dataclass(frozen=True)
class Kind:
    """name: Django's class; implied: options that the class adds; type: as SQL, where the class says its own.

    known: whether the type and what comes with it can be told.
    """

    name: str
    implied: Mapping[str, Any] = field(default_factory=dict)
    type: str | None = None
    known: bool = True


def kind_of(call: ast.Call, module: Module) -> Kind:
    """The kind of a field. A class that nobody can find is a foreign key if it is called like one."""
    dotted = module.dotted(call.func) or ""
    found = _resolved(dotted, module, 0)
    if found is not None:
        return found
    words = {one.arg for one in call.keywords}
    last = dotted.rpartition(".")[2]
    if "on_delete" in words or last.endswith(("ForeignKey", "ParentalKey")):
        return Kind("OneToOneField" if "OneToOne" in last else "ForeignKey", known=False)
    return Kind("ManyToManyField" if "ManyToMany" in last else last, known=False)


def _resolved(dotted: str, module: Module, depth: int) -> Kind | None:
    """None for a class that is not found, or is no field."""
    if dotted.startswith(("django.db.models.", "django.contrib.")):
        return Kind(dotted.rpartition(".")[2])
    found = module.library.find(dotted)
    if found is None and dotted.rpartition(".")[0] == module.name:
        local = module.names.get(dotted.rpartition(".")[2])
        found = (module, local) if isinstance(local, ast.AST) else None
    there, node = found or (module, None)
    if not isinstance(node, ast.ClassDef) or depth > _DEEPEST:
        return None
    kinds = [_resolved(there.dotted(base) or "", there, depth + 1) for base in node.bases]
    inherited = next((one for one in kinds if one is not None), None)
    return None if inherited is None else _changed(inherited, node, there)


def _changed(kind: Kind, node: ast.ClassDef, module: Module) -> Kind:
    """The kind of a subclass: with the options that its __init__ sets, and the type that it says."""
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    kind = replace(kind, implied={**kind.implied, **dict(_implied(methods.get("__init__"), module))})
    if "get_internal_type" in methods:
        said = _returned(methods["get_internal_type"], module)
        kind = replace(kind, name=said or kind.name, known=kind.known and said is not None)
    if _OWN_TYPE & set(methods):
        said = _returned(methods["db_type"], module) if set(methods) & _OWN_TYPE == {"db_type"} else None
        kind = replace(kind, type=said, known=kind.known and said is not None)
    return kind


def _implied(method: ast.FunctionDef | None, module: Module) -> Iterator[tuple[str, Any]]:
    """kwargs["max_length"] = 10, kwargs.setdefault("max_length", 10), super().__init__(max_length=10)."""
    for node in ast.walk(method) if method else ():
        pairs: list[tuple[Any, ast.expr]] = []
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            pairs = [(getattr(node.targets[0].slice, "value", None), node.value)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "setdefault" and len(node.args) == 2:
                pairs = [(getattr(node.args[0], "value", None), node.args[1])]
            elif node.func.attr == "__init__":
                pairs = [(one.arg, one.value) for one in node.keywords if one.arg]
        for name, value in pairs:
            try:
                yield str(name), module.value(value)
            except (Unreadable, TypeError, ValueError, LookupError, AttributeError):
                continue


def _returned(method: ast.FunctionDef, module: Module) -> str | None:
    """The text that a method always returns."""
    results = [node.value for node in ast.walk(method) if isinstance(node, ast.Return)]
    try:
        return str(module.value(results[0])) if len(results) == 1 and results[0] is not None else None
    except (Unreadable, TypeError, ValueError, LookupError, AttributeError):
        return None
