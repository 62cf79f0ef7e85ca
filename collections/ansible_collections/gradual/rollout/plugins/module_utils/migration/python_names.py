# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What names in Python files stand for, without running them: constants, imports, settings, and functions that only
return an expression."""

from __future__ import annotations

import ast
import os
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import python_files

SETTINGS = "django.conf.settings"
# What Django itself sets where a project does not.
DEFAULTS: Mapping[str, Any] = {"AUTH_USER_MODEL": "auth.User", "DEFAULT_TABLESPACE": "", "DEFAULT_INDEX_TABLESPACE": ""}
_METHODS = frozenset(("upper", "lower", "title", "strip", "replace", "join", "format", "split", "partition", "get"))
_BUILTINS: Mapping[str, Callable[..., Any]] = {
    "str": str,
    "len": len,
    "tuple": list,
    "list": list,
    "set": list,
    "frozenset": list,
}
_DEEPEST = 30


class Unreadable(ValueError):
    """An expression whose value cannot be told from the files."""


class Unset(Unreadable):
    """A setting that the project does not make; what uses it sets a default when it runs."""

    def __init__(self, setting: str) -> None:
        super().__init__(f"the settings have no {setting}")
        self.setting = setting


class Module:
    """One file: the expressions, imports, functions and classes by the names at its top level."""

    def __init__(self, library: Library, name: str, file: str) -> None:
        self.library, self.name, self.file = library, name, file
        self.package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
        self.names: dict[str, ast.AST | str] = {}
        self.tree = python_files.tree(file)
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
            parts = self.package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            for one in node.names:
                self.names[one.asname or one.name] = f"{origin}.{one.name}"
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self.names[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    self.names[target.id] = node.value

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
        if depth > _DEEPEST:
            raise Unreadable("it refers to itself")
        try:
            return _Reading(self, local or {}, depth + 1).value(node)
        except RecursionError:
            raise Unreadable("it is nested too deeply") from None


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

    def of_file(self, file: str) -> Module:
        """The module of a file below one of the roots; its package tells relative imports."""
        root = next((one for one in self.roots if file.startswith(os.path.join(one, ""))), os.path.dirname(file))
        return Module(self, os.path.relpath(file, root)[: -len(".py")].replace(os.sep, "."), file)

    def find(self, dotted: str, depth: int = 0) -> tuple[Module, ast.AST] | None:
        """The module and the node that a full name stands for, through imports of other modules."""
        head, _dot, last = dotted.rpartition(".")
        module = self.module(head) if head and depth < _DEEPEST else None
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


class _Reading:
    """One expression in one module, with the arguments of the function that it is in."""

    def __init__(self, module: Module, local: Mapping[str, Any], depth: int) -> None:
        self.module, self.local, self.depth = module, local, depth

    def value(self, node: ast.expr) -> Any:
        read = getattr(self, f"_{type(node).__name__.lower()}", None)
        if read is None:
            raise Unreadable(ast.unparse(node)[:80])
        return read(node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> list[Any]:
        found: list[Any] = []
        for one in node.elts:
            found.extend(self.value(one.value)) if isinstance(one, ast.Starred) else found.append(self.value(one))
        return found

    _tuple = _set = _list

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, one in zip(node.keys, node.values):
            found.update(self.value(one) if key is None else {self.value(key): self.value(one)})
        return found

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Mult) and isinstance(left, int) and isinstance(right, int):
            return left * right
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return left % (tuple(right) if isinstance(right, list) else right)
        raise Unreadable(ast.unparse(node)[:80])

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.USub):
            return -self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not self.value(node.operand)
        raise Unreadable(ast.unparse(node)[:80])

    def _boolop(self, node: ast.BoolOp) -> Any:
        found: Any = None
        for one in node.values:
            found = self.value(one)
            if bool(found) == isinstance(node.op, ast.Or):
                break
        return found

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(
            str(self.value(one.value if isinstance(one, ast.FormattedValue) else one)) for one in node.values
        )

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.local:
            return self.local[node.id]
        found = self.module.names.get(node.id)
        if isinstance(found, str):
            return self._imported(found)
        if isinstance(found, ast.expr):
            return self.module.value(found, depth=self.depth)
        raise Unreadable(node.id)

    def _attribute(self, node: ast.Attribute) -> Any:
        dotted = self.module.dotted(node)
        owner = dotted.rpartition(".")[0] if dotted else ""
        if owner == SETTINGS:
            return self._setting(node.attr)
        return self._imported(dotted or "")

    def _setting(self, name: str) -> Any:
        try:
            return self.module.library.setting(name)
        except LookupError:
            raise Unset(name) from None

    def _imported(self, dotted: str) -> Any:
        """A name of another file; of an object there, whose class is not read, what that file knows by this name."""
        library = self.module.library
        found = library.find(dotted)
        if found is None:
            owner, _dot, last = dotted.rpartition(".")
            there = library.find(owner)
            found = (there[0], _entry(there[0], last)) if there and _entry(there[0], last) is not None else None  # type: ignore[assignment]
        if found is None or not isinstance(found[1], ast.expr):
            raise Unreadable(dotted)
        return found[0].value(found[1], depth=self.depth)

    def _call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            return self._getattr(node)
        given = self._list(ast.List(node.args))
        named = {one.arg: self.value(one.value) for one in node.keywords if one.arg}
        if isinstance(node.func, ast.Name) and node.func.id in _BUILTINS:
            return _BUILTINS[node.func.id](*given)
        dotted = self.module.dotted(node.func)
        if dotted == "swapper.get_model_name":
            return self._swapped(*given)
        found = self.module.library.find(dotted) if dotted else None
        if dotted and found is None and dotted.rpartition(".")[0] == self.module.name:
            local = self.module.names.get(dotted.rpartition(".")[2])
            found = (self.module, local) if isinstance(local, ast.FunctionDef) else None
        if found and isinstance(found[1], ast.FunctionDef):
            return self._returned(found[0], found[1], given, named)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            return getattr(self.value(node.func.value), node.func.attr)(*given, **named)
        raise Unreadable(ast.unparse(node)[:80])

    def _swapped(self, app: str, model: str) -> str:
        """What the library swapper returns: the model that a setting names, or the app's own one."""
        try:
            return str(self.module.library.setting(f"{app}_{model}_MODEL".upper()))
        except LookupError:
            return f"{app}.{model}"

    def _getattr(self, node: ast.Call) -> Any:
        if self.module.dotted(node.args[0]) != SETTINGS:
            raise Unreadable(ast.unparse(node)[:80])
        try:
            return self.module.library.setting(str(self.value(node.args[1])))
        except LookupError:
            if len(node.args) < 3:
                raise Unreadable(ast.unparse(node)[:80]) from None
            return self.value(node.args[2])

    def _returned(self, module: Module, function: ast.FunctionDef, given: list[Any], named: dict[str, Any]) -> Any:
        """The value of a function that only returns an expression."""
        body = [one for one in function.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            raise Unreadable(f"{function.name}()")
        names = [one.arg for one in function.args.args]
        local = {**dict(zip(names, given)), **named}
        if function.args.vararg:
            local[function.args.vararg.arg] = given[len(names) :]
        for one, default in zip(reversed(names), reversed(function.args.defaults)):
            if one not in local:
                local[one] = module.value(default, depth=self.depth)
        return module.value(body[0].value, local, self.depth)

    def _generatorexp(self, node: ast.GeneratorExp | ast.ListComp) -> list[Any]:
        """A comprehension over one list."""
        (loop,) = node.generators
        if not isinstance(loop.target, ast.Name):
            raise Unreadable(ast.unparse(node)[:80])
        found = []
        for one in self.value(loop.iter):
            inner = _Reading(self.module, {**self.local, loop.target.id: one}, self.depth)
            if all(inner.value(test) for test in loop.ifs):
                found.append(inner.value(node.elt))
        return found

    _listcomp = _generatorexp

    def _subscript(self, node: ast.Subscript) -> Any:
        try:
            return self.value(node.value)[self.value(node.slice)]
        except (LookupError, TypeError):
            raise Unreadable(ast.unparse(node)[:80]) from None


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


def _entry(module: Module, key: str) -> ast.expr | None:
    """What a file calls `key`: a name at its top level, or a key of a dict there."""
    plain = module.names.get(key)
    if isinstance(plain, ast.expr):
        return plain
    for found in module.names.values():
        if isinstance(found, ast.Dict):
            for name, value in zip(found.keys, found.values):
                if isinstance(name, ast.Constant) and name.value == key:
                    return value
    return None
