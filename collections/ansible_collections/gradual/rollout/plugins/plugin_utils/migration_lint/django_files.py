# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Django's migrations as text. Their SQL depends on the application's models and settings, which the controller has
not: what an operation is known to
do is told from its name, RunSQL is read as SQL, and everything else was not seen."""

from __future__ import annotations

import ast
from typing import Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, Unseen

# Operations → the rules that they break, whatever the database. Other operations are `unseen`.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "CreateModel": (), "AlterModelManagers": (), "AlterModelOptions": (), "AddIndexConcurrently": (),
    "RemoveIndexConcurrently": (), "ValidateConstraint": (), "AlterModelTableComment": (),
    "AddConstraintNotValid": ("constraint-in-expand",), "AddIndex": ("require-concurrent-index-creation",),
    "RemoveIndex": ("require-concurrent-index-deletion",),
    "AlterIndexTogether": ("require-concurrent-index-creation",),
    "AddConstraint": ("constraint-missing-not-valid", "constraint-in-expand"),
    "AlterUniqueTogether": ("disallowed-unique-constraint", "constraint-in-expand"), "RemoveConstraint": (),
    "AlterField": ("changing-column-type",), "RenameField": ("rename-in-expand",),
    "RenameModel": ("rename-in-expand",), "AlterModelTable": ("rename-in-expand",),
    "RemoveField": ("drop-in-expand",), "DeleteModel": ("drop-in-expand",), "RenameIndex": (),
}  # fmt: skip

# Methods that change a list after it was written.
_GROWING = frozenset(("append", "extend", "insert"))


def source(revision: Revision, text: str) -> Source:
    """A migration file: the SQL of RunSQL as pieces, other operations as findings."""
    pieces: list[Piece] = []
    unseen: list[Unseen] = []
    tree = ast.parse(text, revision.file)
    transaction = 1 if revision.transactional else None
    new: set[str] = set()
    calls, hidden = _operations(tree)
    unseen += [Unseen("unseen", line, "operations that are not written out") for line in hidden]
    for call, touches in calls:
        name = _name(call)
        if name == "RunSQL":
            found = list(_sql(call))
            pieces += [Piece(sql, line, transaction) for sql, line in found if sql is not None]
            unseen += [
                Unseen("unseen", line, "RunSQL whose SQL is not written out") for sql, line in found if sql is None
            ]
        elif name == "SeparateDatabaseAndState":
            # What is in its database_operations is walked too; state_operations touch nothing, and are judged all the
            # same.
            if call.args or any(one.arg is None for one in call.keywords):
                unseen.append(
                    Unseen(
                        "unseen",
                        call.lineno,
                        "SeparateDatabaseAndState whose lists are not named; write database_operations= by name",
                    )
                )
        elif name == "AddField":
            unseen += [
                Unseen(rule, call.lineno, ast.unparse(call)) for rule in _add_field(call) if _model(call) not in new
            ]
        elif name in OPERATIONS:
            unseen += [
                Unseen(rule, call.lineno, ast.unparse(call)) for rule in OPERATIONS[name] if _model(call) not in new
            ]
            # What only Django's state is told of was there before.
            new |= {_model(call)} if name == "CreateModel" and touches else set()
        else:
            unseen.append(Unseen("unseen", call.lineno, f"{name}: {ast.unparse(call)}"))
    return Source(revision.revision, revision.phase, revision.file, tuple(pieces), tuple(unseen))


def _operations(tree: ast.AST) -> tuple[list[tuple[ast.Call, bool]], list[int]]:
    """(call, whether it touches the database) for each operation in its order, and the lines of lists that are not
    written out as one of calls."""
    calls: list[tuple[ast.Call, bool]] = []
    hidden: list[int] = []
    lists: list[tuple[ast.expr, bool]] = []
    stored, plain = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if _is_list(target):
                    plain.add(target)
                    lists.append((node.value, True))
        elif isinstance(node, ast.keyword) and node.arg in ("database_operations", "state_operations"):
            lists.append((node.value, node.arg == "database_operations"))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _GROWING
            and _is_list(node.func.value)
        ):
            hidden.append(node.lineno)
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store) and _is_list(node):
            stored.add(node)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and _is_list(node.value):
            hidden.append(node.lineno)
    for value, touches in lists:
        if not isinstance(value, (ast.List, ast.Tuple)):
            hidden.append(value.lineno)
            continue
        calls += [(one, touches) for one in value.elts if isinstance(one, ast.Call)]
        hidden += [one.lineno for one in value.elts if not isinstance(one, ast.Call)]
    hidden += [one.lineno for one in stored - plain]
    return sorted(calls, key=lambda one: (one[0].lineno, one[0].col_offset)), sorted(hidden if plain else [*hidden, 1])


def _is_list(node: ast.expr) -> bool:
    """Whether it is a migration's list: operations in its class, or Migration.operations outside."""
    return isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in ("operations", "Migration.operations")


def _name(call: ast.Call) -> str:
    return (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else "?"
    )


def _argument(call: ast.Call, name: str, place: int) -> ast.expr | None:
    named = next((one.value for one in call.keywords if one.arg == name), None)
    return named if named is not None else call.args[place] if len(call.args) > place else None


def _model(call: ast.Call) -> str:
    """The model that the operation is about, in lower case, as Django compares it."""
    wanted = _argument(call, "name" if _name(call) == "CreateModel" else "model_name", 0)
    return str(wanted.value).lower() if isinstance(wanted, ast.Constant) else ""


def _sql(call: ast.Call) -> Iterator[tuple[str | None, int]]:
    """(sql, line): a text, or a list of texts or of (text, parameters)."""
    wanted = _argument(call, "sql", 0)
    for one in wanted.elts if isinstance(wanted, (ast.List, ast.Tuple)) else [wanted]:
        text = one.elts[0] if isinstance(one, (ast.List, ast.Tuple)) and one.elts else one
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value.replace("%s", "NULL"), text.lineno
        elif not (isinstance(text, ast.Attribute) and text.attr == "noop"):
            yield None, call.lineno


def _add_field(call: ast.Call) -> Iterator[str]:
    field = _argument(call, "field", 2)
    if not isinstance(field, ast.Call):
        yield "unseen"
        return
    given = {one.arg: one.value for one in field.keywords}
    kind = _name(field)
    if kind == "ManyToManyField":
        return
    nullable = isinstance(given.get("null"), ast.Constant) and bool(given["null"].value)  # type: ignore[attr-defined]
    # A default of Django's is dropped at once again, so old code that does not know the column fails; only db_default
    # stays.
    if not nullable and "db_default" not in given:
        yield "adding-required-field"
    if isinstance(given.get("unique"), ast.Constant) or kind == "OneToOneField":
        yield "disallowed-unique-constraint"
    elif not _off(given, "db_index") and (kind in ("ForeignKey", "SlugField") or "db_index" in given):
        yield "require-concurrent-index-creation"
    if kind in ("ForeignKey", "OneToOneField") and not _off(given, "db_constraint"):
        yield "adding-foreign-key-constraint"
    if kind.endswith("AutoField") or kind == "GeneratedField":
        yield "adding-field-with-default"


def _off(given: dict[str | None, ast.expr], name: str) -> bool:
    value = given.get(name)
    return isinstance(value, ast.Constant) and value.value is False
