# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The values of the names of a Python file after its top level, followed statement by statement without running it.

Where nobody can tell which statements run, every possibility is followed. A name that differs between them is Computed;
entries of a list of texts that differ are Perhaps.
"""

from __future__ import annotations

import ast
import copy
from typing import Any, Iterator, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_scope import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import (
    UNTOLD,
    Computed,
    Perhaps,
    Unknown,
)

State = dict[str, Any]
_CHANGING = frozenset(
    ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "setdefault", "popitem")
)
_NAMESPACES = frozenset(("globals", "locals", "vars"))
# Functions that run other files here.
_RUNNING = frozenset(("exec", "execfile", "include"))
# Functions that change nothing of what they are given.
_QUIET = frozenset(("print", "debug", "info", "warning", "error", "critical", "exception", "log", "warn"))
_ABSENT = object()
_MOST_CHOICES = 4


class Run:
    """A run through statements of one module. state: changed in place."""

    def __init__(self, module: Module, state: State, continued: list[State] | None = None) -> None:
        self.module, self.state = module, state
        # The states in which `continue` ended the body of the current loop.
        self.continued: list[State] = [] if continued is None else continued

    def body(self, body: Sequence[ast.stmt]) -> bool:
        """Whether the end of these statements is reached."""
        for node in body:
            if isinstance(node, ast.Raise):
                return False
            follow = getattr(self, f"_{type(node).__name__.lower()}", None)
            if follow is not None and follow(node) is False:
                return False
        return True

    # Statements that decide which others run.

    def _if(self, node: ast.If) -> bool:
        try:
            chosen = node.body if self.module.value(node.test, self.state) else node.orelse
        except UNTOLD:
            return self._either(node, [self._branch(node.body), self._branch(node.orelse)])
        return self.body(chosen)

    def _match(self, node: Any) -> bool:
        return self._either(node, [self._branch([]), *(self._branch(case.body) for case in node.cases)])

    def _try(self, node: ast.Try) -> bool:
        """An exception may come at each statement, unless all are imports of files that the release has."""
        imported = self.module.imports(node.body)
        if imported:
            done = self.body([*node.body, *node.orelse])
        elif imported is False and node.handlers:
            done = self.body(node.handlers[0].body)
        else:
            stopped = Run(self.module, copy.deepcopy(self.state), self.continued)
            stopped._either(node, [stopped._branch([]), stopped._branch(node.body)])
            handled = [stopped._branch(one.body) for one in node.handlers]
            done = self._either(node, [self._branch([*node.body, *node.orelse]), *handled])
        return self.body(node.finalbody) and done

    _trystar = _try

    def _with(self, node: ast.With) -> bool:
        for one in node.items:
            if one.optional_vars is not None:
                self._spoil(one.optional_vars)
        if any("suppress" in ast.unparse(one.context_expr) for one in node.items):
            if self.module.imports(node.body) is False:
                return True
            return self._either(node, [self._branch([]), self._branch(node.body)])
        return self.body(node.body)

    def _for(self, node: ast.For) -> bool:
        try:
            entries = list(self.module.value(node.iter, self.state))
        except UNTOLD:
            return self._while(node)
        if any(isinstance(one, ast.Break) for one in ast.walk(node)):
            return self._while(node)
        for entry in entries:
            self._store(node.target, entry, node)
            once = Run(self.module, self.state)
            ended = once.body(node.body)
            if once.continued:
                ended = self._either(node, [*once.continued, *([copy.deepcopy(self.state)] if ended else [])])
            if not ended:
                return False
        return self.body(node.orelse)

    def _continue(self, _node: ast.Continue) -> bool:
        self.continued.append(copy.deepcopy(self.state))
        return False

    def _while(self, node: ast.For | ast.While) -> bool:
        self._spoil(node)
        return True

    def _branch(self, body: Sequence[ast.stmt]) -> State | None:
        """The state after statements that may run, and None when they end in an exception."""
        run = Run(self.module, copy.deepcopy(self.state), self.continued)
        return run.state if run.body(body) else None

    def _either(self, node: ast.stmt, outcomes: Sequence[State | None]) -> bool:
        """Go on with what is common to the possible outcomes."""
        states = [one for one in outcomes if one is not None]
        for name in dict.fromkeys(name for one in (self.state, *states) for name in one) if states else ():
            values = [one.get(name, _ABSENT) for one in states]
            before, now = self.state.get(name), self._common(name, values, node)
            if now is _ABSENT:
                self.state.pop(name, None)
            elif isinstance(before, list) and isinstance(now, list):
                # The same list may have other names.
                before[:] = now
            else:
                self.state[name] = now
        return bool(states)

    def _common(self, name: str, values: Sequence[Any], node: ast.AST) -> Any:
        lists = [[] if one is _ABSENT else one for one in values]
        if all(isinstance(one, list) and all(isinstance(entry, str) for entry in one) for one in lists):
            return _merged(lists, self._where(node))
        if all(one == values[0] for one in values):
            return values[0]
        return next((one for one in values if isinstance(one, Computed)), Computed(name, self._where(node)))

    # Statements that change names.

    def _importfrom(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            if one.name == "*":
                self._import_all(node)
            else:
                self.state.pop(one.asname or one.name, None)

    def _import_all(self, node: ast.ImportFrom) -> None:
        origin = self.module.origin(node)
        there = self.module.library.module(origin)
        if there is not None:
            self.state.update({name: value for name, value in there.state.items() if name[0] != "_"})
            self.module.take_over(there)
        elif self.module.is_own(node):
            self._spoil_all(node)

    def _import(self, node: ast.Import) -> None:
        for one in node.names:
            self.state.pop(one.asname or one.name.partition(".")[0], None)

    def _functiondef(self, node: ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) -> None:
        self.state.pop(node.name, None)

    _classdef = _asyncfunctiondef = _functiondef

    def _assign(self, node: ast.Assign) -> None:
        self._calls(node.value)
        value = self._value(ast.unparse(node.targets[0]), node.value)
        for target in node.targets:
            self._store(target, value, node)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._store(node.target, self._value(ast.unparse(node.target), node.value), node)

    def _augassign(self, node: ast.AugAssign) -> None:
        self._calls(node.value)
        target = ast.parse(ast.unparse(node.target), mode="eval").body
        added = self._value(ast.unparse(target), node.value)
        before = self._value(ast.unparse(target), target)
        if isinstance(node.op, ast.Add) and isinstance(before, list) and isinstance(added, list):
            before += added
        elif isinstance(before, Computed) or isinstance(added, Computed):
            self._store(node.target, before if isinstance(before, Computed) else added, node)
        else:
            sum_of_both = ast.copy_location(ast.BinOp(target, node.op, node.value), node)
            self._store(node.target, self._value(ast.unparse(target), sum_of_both), node)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.state.pop(target.id, None)
            else:
                self._spoil(node)

    def _expr(self, node: ast.Expr) -> None:
        call = node.value
        if not isinstance(call, ast.Call):
            return
        if isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGING:
            self._change(call, call.func)
        elif self._calls(call) and _last(call.func) not in _QUIET:
            for one in call.args:
                self._spoil_value(self._value("", one), node)

    def _change(self, call: ast.Call, method: ast.Attribute) -> None:
        """What append(), update() and the like do to a list or a dict."""
        if _is_namespace(method.value):
            self._spoil_all(call)
            return
        owner = self._value("", method.value)
        if isinstance(owner, (list, dict)):
            try:
                given = [self.module.value(one, self.state) for one in call.args]
                named = {str(one.arg): self.module.value(one.value, self.state) for one in call.keywords}
                getattr(owner, method.attr)(*given, **named)
            except UNTOLD:
                self._spoil_value(owner, call)

    def _store(self, target: ast.expr, value: Any, node: ast.stmt) -> None:
        if isinstance(target, ast.Name):
            self.state[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            whole = isinstance(value, list) and len(value) == len(target.elts)
            for number, one in enumerate(target.elts):
                self._store(one, value[number] if whole else Computed(ast.unparse(one), self._where(node)), node)
        elif isinstance(target, ast.Subscript):
            self._store_in(target, value, node)
        elif isinstance(target, ast.Attribute):
            there = self.module.library.module(self.module.dotted(target.value) or "")
            if there is not None:
                there.state[target.attr] = value

    def _store_in(self, target: ast.Subscript, value: Any, node: ast.stmt) -> None:
        try:
            key = self.module.value(target.slice, self.state)
            if _is_namespace(target.value):
                self.state[key] = value
                return
            owner = self.module.value(target.value, self.state)
            if isinstance(value, Computed):
                self._spoil_value(owner, node)
            else:
                owner[key] = value
        except UNTOLD:
            if _is_namespace(target.value):
                self._spoil_all(node)
            else:
                self._spoil_value(self._value("", target.value), node)

    # What nobody can tell.

    def _value(self, name: str, node: ast.expr, choices: int = 0) -> Any:
        """The value of an expression. Where nobody can tell a condition in it, what is common to both values."""
        try:
            return self.module.value(node, self.state)
        except Unknown as unknown:
            failed = unknown.computed
        except UNTOLD:
            failed = Computed(name, self._where(node))
        choice = next((one for one in ast.walk(node) if isinstance(one, ast.IfExp)), None)
        if choice is None or choices > _MOST_CHOICES:
            return failed
        either = [copy.deepcopy(node, {id(choice): part}) for part in (choice.body, choice.orelse)]
        return self._common(name, [self._value(name, one, choices + 1) for one in either], node)

    def _calls(self, node: ast.expr) -> bool:
        """Follow what called functions may change here. Whether it may be more than that."""
        for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
            function = self.module.names.get(call.func.id) if isinstance(call.func, ast.Name) else None
            given = [*call.args, *(one.value for one in call.keywords)]
            if any(map(_is_namespace, given)) or _last(call.func) in _RUNNING:
                self._spoil_all(call)
            elif isinstance(function, ast.FunctionDef):
                self._spoil_by(function, call)
        return isinstance(node, ast.Call)

    def _spoil_by(self, function: ast.FunctionDef, call: ast.Call) -> None:
        """The names of the file that a function of it changes."""
        outer = {name for one in ast.walk(function) if isinstance(one, ast.Global) for name in one.names}
        own = {name for name, stored in _changed(function) if stored} - outer
        own |= {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
        for name, _stored in _changed(function):
            if name not in own and (name in self.state or name in outer):
                self.state[name] = Computed(name, self._where(call))

    def _spoil(self, node: ast.AST) -> None:
        for name, _stored in _changed(node):
            self.state[name] = Computed(name, self._where(node))

    def _spoil_value(self, value: Any, node: ast.AST) -> None:
        """All names of a list or dict that was changed in a way that nobody can tell."""
        if isinstance(value, (list, dict)):
            for state in (self.state, *self.module.library.states()):
                for name in [name for name, one in state.items() if one is value]:
                    state[name] = Computed(name, self._where(node))

    def _spoil_all(self, node: ast.AST) -> None:
        for name in self.state:
            self.state[name] = Computed(name, self._where(node))

    def _where(self, node: ast.AST) -> str:
        return f"{self.module.file}, line {getattr(node, 'lineno', 1)}"


def _merged(lists: Sequence[Sequence[str]], where: str) -> list[str]:
    """All entries; Perhaps, unless each list surely has it."""
    sure = [{entry for entry in one if not isinstance(entry, Perhaps)} for one in lists]
    entries = dict.fromkeys(entry for one in lists for entry in one)
    return [str(entry) if all(entry in one for one in sure) else Perhaps.of(entry, where) for entry in entries]


def _changed(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """(name, whether it is bound to another value) of what statements change."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load):
            yield one.id, True
        owner = one.value if isinstance(one, (ast.Attribute, ast.Subscript)) else None
        changes = one.attr in _CHANGING if isinstance(one, ast.Attribute) else not _is_read(one)
        if isinstance(owner, ast.Name) and changes:
            yield owner.id, False


def _is_read(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Load)


def _is_namespace(node: ast.expr) -> bool:
    """globals(), locals() or vars()."""
    return isinstance(node, ast.Call) and not node.args and _last(node.func) in _NAMESPACES


def _last(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
