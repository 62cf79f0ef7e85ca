# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The value of one expression in a Python file, without running it."""

from __future__ import annotations

import ast
import operator
from typing import Any, Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.entry_points import ENTRY_POINTS, EntryPoint
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_scope import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import (
    Computed,
    Perhaps,
    Unknown,
    Unreadable,
    Unset,
)

SETTINGS = "django.conf.settings"
_METHODS = frozenset(("upper", "lower", "title", "strip", "replace", "join", "format", "split", "partition", "get"))
_BUILTINS: Mapping[str, Callable[..., Any]] = {
    "str": str,
    "len": len,
    "tuple": list,
    "list": list,
    "set": list,
    "frozenset": list,
}
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
DEEPEST = 30


class Reading:
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

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for sign, other in zip(node.ops, node.comparators):
            right = self.value(other)
            if isinstance(right, list) and any(isinstance(one, Perhaps) and one == left for one in right):
                raise Unreadable(f"{left} is there only under a condition")
            if not _COMPARED[type(sign)](left, right):
                return False
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(
            str(self.value(one.value if isinstance(one, ast.FormattedValue) else one)) for one in node.values
        )

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.local:
            return _known(self.local[node.id])
        if node.id in self.module.state:
            return _known(self.module.state[node.id])
        found = self.module.names.get(node.id)
        if isinstance(found, str):
            return self._imported(found)
        raise Unreadable(node.id)

    def _attribute(self, node: ast.Attribute) -> Any:
        owner_value = self._local(node.value)
        if isinstance(owner_value, EntryPoint):
            return getattr(owner_value, node.attr)
        dotted = self.module.dotted(node)
        owner = dotted.rpartition(".")[0] if dotted else ""
        if owner == SETTINGS:
            return self._setting(node.attr)
        return self._imported(dotted or "")

    def _local(self, node: ast.expr) -> Any:
        """The value of a name of this function or module; None for anything else."""
        name = node.id if isinstance(node, ast.Name) else ""
        return self.local.get(name, self.module.state.get(name))

    def _setting(self, name: str) -> Any:
        try:
            return self.module.library.setting(name)
        except LookupError:
            raise Unset(name) from None

    def _imported(self, dotted: str, depth: int = 0) -> Any:
        """A name of another file; of an object there, whose class is not read, what that file knows by this name."""
        library = self.module.library
        owner, _dot, last = dotted.rpartition(".")
        module = library.module(owner) if owner else None
        if module is not None:
            if last in module.state:
                return _known(module.state[last])
            found = module.names.get(last)
            if isinstance(found, str) and depth < DEEPEST:
                return self._imported(found, depth + 1)
            raise Unreadable(dotted)
        there = library.find(owner)
        if there is None:
            raise Unreadable(dotted)
        if last in there[0].state:
            return _known(there[0].state[last])
        entry = _entry(there[0], last)
        if entry is None:
            raise Unreadable(dotted)
        return there[0].value(entry, depth=self.depth)

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
        if dotted in ENTRY_POINTS:
            return self.module.library.entry_points(*given, **named)
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
            inner = Reading(self.module, {**self.local, loop.target.id: one}, self.depth)
            if all(inner.value(test) for test in loop.ifs):
                found.append(inner.value(node.elt))
        return found

    _listcomp = _generatorexp

    def _subscript(self, node: ast.Subscript) -> Any:
        try:
            return self.value(node.value)[self.value(node.slice)]
        except (LookupError, TypeError):
            raise Unreadable(ast.unparse(node)[:80]) from None


def _known(value: Any) -> Any:
    if isinstance(value, Computed):
        raise Unknown(value)
    return value


def _entry(module: Module, key: str) -> ast.expr | None:
    """The value of the key `key` of a dict at the top level of a file."""
    for found in module.names.values():
        if isinstance(found, ast.Dict):
            for name, value in zip(found.keys, found.values):
                if isinstance(name, ast.Constant) and name.value == key:
                    return value
    return None
