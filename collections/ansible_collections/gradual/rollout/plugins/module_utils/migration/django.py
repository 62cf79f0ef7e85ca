# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Adapter for Django: Gradual reads migration files as text and never imports them; Django runs in the release's own
virtual environment."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass, replace
from typing import Collection, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    alembic,
    fingerprint,
    python_files,
    sql_text,
    worker,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django_project import App, Project
from ansible_collections.gradual.rollout.plugins.module_utils.migration.graph import Graph, missing_parents, sha256
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import (
    PHASES,
    UNKNOWN,
    Command,
    Revision,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable, Unset
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# As in the adapter for Alembic: our application_name and timeouts override the project's settings.
# manage.py prepares the process as for each command, and calls execute_from_command_line(), which loads the apps once
# and does the steps.
HOOK = f"""{worker.PROGRAM}
import contextlib, runpy
import django
from django.core import management
from django.db import connections
from django.db.backends.signals import connection_created

def settle(connection, **_more):
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for name, value in json.loads(os.environ["GRADUAL_SETTINGS"]).items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, str(value)))

connection_created.connect(settle, weak=False)
execute = management.execute_from_command_line

def execute_here(argv=None):
    management.execute_from_command_line = execute
    django.setup()
    # What fails here fails again in the step, which tells it.
    with contextlib.suppress(Exception):
        from django.core.management.commands import migrate
        from django.db.migrations.loader import MigrationLoader
        connections.all()
        MigrationLoader(None)
    # A copy of the process must not use a connection of this one.
    connections.close_all()
    serve()
    execute(sys.argv)

management.execute_from_command_line = execute_here
sys.argv[0] = "manage.py"
runpy.run_path("manage.py", run_name="__main__")
"""
# The name of the revision that stands for an app whose migrations were not found.
MISSING = "not_found"


@dataclass(frozen=True)
class Migration:
    """One file: app and name, dependencies as (app, name), the names that it replaces, and its Revision."""

    label: str
    name: str
    dependencies: tuple[tuple[str, str], ...]
    before: tuple[tuple[str, str], ...]
    replaces: tuple[str, ...]
    revision: Revision


class Django(Graph):
    """The migrations of every installed app; a revision is `app.name`."""

    name = "django"

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        project = Project(directory, os.path.normpath(os.path.join(directory, path)))
        self.project = project
        self.folder = project.folder
        self.apps = project.apps
        found = {one.revision.revision: one for app in self.apps for one in _migrations(app, project, directory)}
        self.revisions = _linked(found)
        self.replaces = {name: one.replaces for name, one in found.items() if one.replaces}

    def recorded(self, session: Session) -> list[str]:
        """What django_migrations holds. Whoever asks is about to migrate, for which every app has to be there."""
        missing = [app.missing for app in self.apps if app.missing]
        if missing:
            raise DatabaseError(missing[0])
        return revisions.django(session)

    def current(self, recorded: Sequence[str]) -> frozenset[str]:
        """Applied migrations of the installed apps; a squashed one counts when all that it replaces are applied."""
        labels = {app.label for app in self.apps if app.folder}
        replaced = {one for old in self.replaces.values() for one in old}
        self._known([one for one in self._last(recorded) if one.partition(".")[0] in labels and one not in replaced])
        return frozenset(one for one in recorded if one in self.revisions) | self._whole(recorded)

    def _last(self, recorded: Sequence[str]) -> list[str]:
        """Without what was recorded before a migration of the same app that is here: rows of migrations that a squashed
        one has taken the place of, which Django leaves there and passes over."""
        found: list[str] = []
        followed: set[str] = set()
        for one in reversed(recorded):
            if one in self.revisions:
                followed.add(one.partition(".")[0])
            if one in self.revisions or one.partition(".")[0] not in followed:
                found.insert(0, one)
        return found

    def _whole(self, recorded: Sequence[str]) -> set[str]:
        """Squashed migrations of which all are applied that they replace; one may replace another one."""
        applied = set(recorded)
        while True:
            more = {name for name, old in self.replaces.items() if set(old) <= applied} - applied
            if not more:
                return applied & set(self.replaces)
            applied |= more

    def complete(self, session: Session) -> None:
        """Squashed migrations, which Django records when it runs (check_replacements), even with nothing to apply. A
        later release that has no `replaces` any more would apply them again."""
        recorded = revisions.django(session)
        for name in sorted(self._whole(recorded) - set(recorded)):
            app, _dot, migration = name.partition(".")
            session.run(
                f"INSERT INTO {revisions.table(session, 'django_migrations')} (app, name, applied) VALUES (%s, %s,"
                " now())",
                (app, migration),
            )

    def pending(self, recorded: Sequence[str], target: str) -> list[Revision]:
        done = self.current(recorded)
        now = _Effective(self.directory, _effective(self.revisions, self.replaces, done))
        return now.pending([name for name in done if name in now.revisions], target)

    def apply(self, revision: Revision) -> Command:
        return self._command(*revision.revision.split(".", 1))

    def revert(self, revision: Revision) -> Command:
        label = revision.revision.partition(".")[0]
        before = [parent.partition(".")[2] for parent in revision.parents if parent.startswith(f"{label}.")]
        if len(before) > 1:
            raise DatabaseError(f"{revision.revision} is a merge; revert it by hand with manage.py migrate")
        return self._command(label, before[0] if before else "zero")

    def sentence(self, output: str) -> str:
        return alembic.sentence(output)

    def _command(self, label: str, name: str) -> Command:
        python = os.path.join(self.directory, ".venv", "bin", "python")
        return Command((python, "-c", HOOK, "migrate", label, name, "--no-input", "--no-color"), self.folder, hook=3)


class _Effective(Graph):
    """The revisions that Django would use, given what is applied."""

    def __init__(self, directory: str, found: Mapping[str, Revision]) -> None:
        missing_parents(found)
        self.directory = directory
        self.revisions = found


def _effective(
    found: Mapping[str, Revision], replaces: Mapping[str, Sequence[str]], done: Collection[str]
) -> dict[str, Revision]:
    """Either a squashed migration or those that it replaces, as Django decides: the old ones when only some of them are
    applied."""
    now = dict(found)
    for name, old in replaces.items():
        some = [one for one in old if one in done]
        if name in done or not some:
            gone, heir = set(old), name
        else:
            gone, heir = {name}, old[-1]
        now = {
            key: replace(
                one,
                parents=tuple(
                    dict.fromkeys(
                        heir if parent in gone else parent
                        for parent in one.parents
                        if (heir if parent in gone else parent) != key
                    )
                ),
            )
            for key, one in now.items()
            if key not in gone
        }
    return now


def _migrations(app: App, project: Project, directory: str) -> list[Migration]:
    if app.missing:
        return [_not_found(app)]
    found = []
    for name in python_files.listed(app.folder) if app.folder else []:
        if name.endswith(".py") and name[0] not in "_~":
            file = os.path.join(str(app.folder), name)
            one = parse(app.label, name[:-3], file, os.path.relpath(file, directory), project)
            found += [one] if one else []
    return found


def _not_found(app: App) -> Migration:
    """A revision of phase expand for an app without files, so that a check of the release cannot pass it over."""
    name = f"{app.label}.{MISSING}"
    return Migration(app.label, MISSING, (), (), (), Revision(name, (), "expand", app.missing, False, ""))


def parse(label: str, name: str, path: str, file: str, project: Project) -> Migration | None:
    """A migration file; None when it has no class Migration. path: to open it; file: for messages."""
    with python_files.not_too_deep(file):
        return _migration(label, name, path, file, project)


def _migration(label: str, name: str, path: str, file: str, project: Project) -> Migration | None:
    tree = python_files.tree(path)
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"), None)
    if body is None:
        return None
    given = {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    talk = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in talk
    ]
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    document = ast.get_docstring(tree) or ""
    revision = Revision(
        revision=f"{label}.{name}",
        parents=(),
        phase=_phase(given.get("gradual_phase"), file),
        file=file,
        description=document.splitlines()[0] if document else "",
        words=frozenset(word for text in texts for word in re.findall(r"\w+", text)),
        concurrent=any(one.endswith("Concurrently") for one in called) or sql_text.concurrent(texts),
        transactional=_constant(given.get("atomic")) is not False,
        # Django records a migration with foreign keys or indexes in a later transaction. To make them again fails.
        recorded_apart=True,
        sha256=fingerprint.of_django(tree),
        former_sha256=fingerprint.of_python(tree),
        file_sha256=sha256(python_files.content(path)),
    )
    module = project.library.of_file(path)
    pairs = {
        key: _pairs(given.get(key), file, module, project.labels) for key in ("dependencies", "run_before", "replaces")
    }
    return Migration(
        label,
        name,
        pairs["dependencies"],
        pairs["run_before"],
        tuple(".".join(one) for one in pairs["replaces"]),
        revision,
    )


def _constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _phase(node: ast.expr | None, file: str) -> str:
    """The phase in the file."""
    if node is None:
        return UNKNOWN
    said = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    found = str(said).strip().lower()
    if found not in PHASES:
        raise DatabaseError(f"{file}: gradual_phase, got {said!r}, expected one of {', '.join(PHASES)}")
    return found


def _pairs(node: ast.expr | None, file: str, module: Module, labels: Collection[str]) -> tuple[tuple[str, str], ...]:
    """[("app", "name"), swappable_dependency(…)] as pairs. labels: of the installed apps."""
    found: list[tuple[str, str]] = []
    for one, sure in _written_out(node, module) if node is not None else ():
        try:
            pair = _pair(one, module)
        except Unset as unset:
            if not unset.setting.endswith("_MODEL"):
                raise DatabaseError(f"{file}, line {one.lineno}: {unset}; write it in the settings") from None
            # A model that the app lets a project replace: its own one, where the project does not.
            continue
        except (Unreadable, ValueError, TypeError) as error:
            raise DatabaseError(
                f"{file}, line {one.lineno}: {ast.unparse(one)} is computed by code, which Gradual does not run"
                f" ({error}); write (app, name), or plain text in the settings"
            ) from None
        found += [pair] if sure or pair[0] in labels else []
    return tuple(found)


def _written_out(node: ast.expr, module: Module) -> Iterator[tuple[ast.expr, bool]]:
    """(element, whether it is there) of a list, of a sum of lists, and of one that depends on a condition: if nobody
    can tell the condition, both lists, since a dependency too many only settles an order."""
    if isinstance(node, (ast.List, ast.Tuple)):
        yield from ((one, True) for one in node.elts)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _written_out(node.left, module)
        yield from _written_out(node.right, module)
    elif isinstance(node, ast.IfExp):
        try:
            yield from _written_out(node.body if module.value(node.test) else node.orelse, module)
        except Unreadable:
            for part in (node.body, node.orelse):
                yield from ((one, False) for one, _sure in _written_out(part, module))
    else:
        yield node, True


def _pair(node: ast.expr, module: Module) -> tuple[str, str]:
    """(app, name); of a model whose name a setting tells, the first migration of its app."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("swappable_dependency"):
        return str(module.value(node.args[0])).partition(".")[0], "__first__"
    app, name = module.value(node)
    return str(app), str(name)


def _linked(found: Mapping[str, Migration]) -> dict[str, Revision]:
    """Revisions with their parents: their dependencies, and migrations that have them in run_before."""
    replaced = {one for migration in found.values() for one in migration.replaces}
    parents = {
        name: [
            target
            for pair in one.dependencies
            # As Django: an app's first migrations do not wait for themselves.
            if pair != (one.label, "__first__")
            for target in _targets(pair, found)
        ]
        for name, one in found.items()
    }
    for name, one in found.items():
        for pair in one.before:
            for target in _targets(pair, found):
                parents.setdefault(target, []).append(name)
    linked = {name: replace(one.revision, parents=tuple(dict.fromkeys(parents[name]))) for name, one in found.items()}
    missing_parents(
        {
            name: replace(one, parents=tuple(parent for parent in one.parents if parent not in replaced))
            for name, one in linked.items()
        }
    )
    return linked


def _targets(pair: tuple[str, str], found: Mapping[str, Migration]) -> list[str]:
    """A dependency as revisions. __first__ and __latest__ are an app's first and last ones, if it has migrations."""
    app, name = pair
    if f"{app}.{MISSING}" in found:
        return [f"{app}.{MISSING}"]
    if name not in ("__first__", "__latest__"):
        return [f"{app}.{name}"]
    own = {key: one for key, one in found.items() if one.label == app}
    if name == "__first__":
        return [key for key, one in own.items() if not any(other == app for other, _name in one.dependencies)]
    followed = {f"{other}.{parent}" for one in own.values() for other, parent in one.dependencies}
    return [key for key in own if key not in followed]
