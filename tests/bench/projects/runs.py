"""One project migrated from one release to the next, by its own tool and by Gradual, on databases of the same content.

The databases of a project are copies of one that the old release's own tool made. Gradual's calls have the arguments
that the roles preflight, migrate and contract give to their modules.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters, steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.reverting import Reverter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import credentials
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge

from tests.bench.projects.releases import NEW, OLD, Project, Release, staged
from tests.database.server import OWNER, PASSWORD, UNPRIVILEGED, Server, Shop, programs, run_as

Json = dict[str, Any]
Entries = Sequence[Mapping[str, Any]]
# The defaults of the roles migrate and contract.
LIMITS = {"lock_timeout_ms": 50, "pause_ms": 500, "deadline": 60, "timeout": 3600}
# Of a dump, what is another text each time.
_RANDOM = re.compile(r"^\\(un)?restrict .*\n", re.MULTILINE)
_TOLD = ("revision", "line", "rule", "level", "statement", "why")


@dataclass
class Course:
    """What one project goes through on a server."""

    server: Server
    project: Project
    old: Release
    new: Release

    def database(self, name: str, template: str = "") -> Shop:
        """An empty database, or a copy of another one of this project."""
        full, source = (f"{self.project.name}_{one}".replace("-", "_") for one in (name, template))
        copied = f" TEMPLATE {source}" if template else ""
        self.server.run(f"DROP DATABASE IF EXISTS {full}", f"CREATE DATABASE {full} OWNER {OWNER}{copied}")
        return Shop(self.server, full, self.new.folder / ".venv")

    def variables(self, shop: Shop) -> dict[str, str]:
        """The lines of the environment file."""
        known = {
            "address": shop.url.partition("://")[2], "host": "127.0.0.1", "port": str(self.server.port), "user": OWNER,
            "password": PASSWORD, "database": shop.name, "folder": str(self._home()),
        }  # fmt: skip
        return {"DATABASE_URL": shop.url, **{key: one.format(**known) for key, one in self.project.environment.items()}}

    def _home(self) -> Path:
        """A folder that the user that migrates may write to."""
        folder = self.server.folder / "home"
        if not folder.exists():
            folder.mkdir()
            if UNPRIVILEGED:
                shutil.chown(folder, UNPRIVILEGED)
        return folder

    def own(self, shop: Shop, release: Release, words: Sequence[str]) -> float:
        """Seconds that the project's own tool takes, as the user that migrates for Gradual too. RuntimeError with its
        output when it fails."""
        environment = {
            "PATH": f"{release.folder}/.venv/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent",
            "PYTHONDONTWRITEBYTECODE": "1", **self.variables(shop),
        }  # fmt: skip
        argv = [release.python, *(one.replace("{DATABASE_URL}", shop.url) for one in words)]
        begun = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=release.folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            **credentials(UNPRIVILEGED),
        )
        if done.returncode:
            raise RuntimeError(f"{self.project.name}: {' '.join(words)} failed: {(done.stdout + done.stderr)[-3000:]}")
        return time.monotonic() - begun

    def own_reverts(self, shop: Shop, name: str) -> bool:
        """Whether the project's own tool can revert that revision."""
        tool = self.adapter([])
        words = tool.revert(tool.revisions[name]).argv[3:]
        program = ["manage.py"] if self.project.adapter == "django" else ["-m", "alembic"]
        try:
            self.own(shop, self.new, [*program, *words])
        except RuntimeError:
            return False
        return True

    def adapter(self, phases: Entries) -> Adapter:
        return adapters.of(self.project.adapter, os.path.realpath(self.new.folder), self.project.path, phases)

    def lint(self, shop: Shop, phases: Entries = (), waivers: Entries = ()) -> Json:
        """As the role preflight asks, with by_lint: true, and what is recorded in the database."""
        tool = self.adapter([])
        with shop.session() as session:
            recorded = tool.recorded(session)
            applied = steps.sums(session, tool.name)
        found: Json = judge.lint(
            self.project.adapter, os.path.realpath(self.new.folder), self.project.path, "head", recorded,
            "expand", waivers, phases=phases, by_lint=True, applied=applied,
        )  # fmt: skip
        return found

    def every_finding(self, shop: Shop) -> list[Json]:
        """The findings as if each pending revision were expand, also those that by_lint leaves to contract."""
        every = [{"pattern": "*", "phase": "expand", "reason": "to be judged"}]
        return [{key: one[key] for key in _TOLD} for one in self.lint(shop, every)["findings"]]

    def migrate(self, shop: Shop, phase: str, phases: Entries, receipt: Any) -> Json:
        """What the module returns for state: applied."""
        request = shop.request(target="head", phase=phase, variables=self.variables(shop), receipt=receipt, **LIMITS)
        with Migrator(request, self.adapter(phases)) as migrator:
            return migrator.apply()

    def revert(self, shop: Shop, name: str, phases: Entries, receipt: Any) -> Json:
        """What the module returns for state: reverted."""
        request = shop.request(target=name, phase="expand", variables=self.variables(shop), receipt=receipt, **LIMITS)
        with Reverter(request, self.adapter(phases)) as migrator:
            return migrator.apply()

    def schema(self, shop: Shop) -> str:
        """The schema of a database, without what is Gradual's own."""
        address = ["--host", str(self.server.folder), "--port", str(self.server.port)]
        argv = [str(programs() / "pg_dump"), "--schema-only", "--exclude-schema=gradual", *address, shop.name]
        return _RANDOM.sub("", run_as(argv).stdout)


def play(server: Server, project: Project, parent: Path, rounds: int, say: Callable[[str], object]) -> Json:
    """All of a project; parent: of the folders of its releases. What results.json has of it."""
    course = Course(server, project, staged(project, OLD, parent), staged(project, NEW, parent))
    start = course.database("start")
    say(f"{project.name}: the old release makes its database")
    course.own(start, course.old, project.create)
    start.run(*project.rows)
    begun = time.monotonic()
    first = course.lint(start)
    told: Json = {
        "name": project.name, "title": project.title, "adapter": project.adapter, "distribution": project.distribution,
        "old": course.old.installed[project.distribution.lower()],
        "new": course.new.installed[project.distribution.lower()],
        "tool": f"{project.tool} {course.new.installed[project.tool]}",
        "lint_seconds": round(time.monotonic() - begun, 2), "by_lint": first["phases"],
        "mistakes": first["mistakes"], "findings": course.every_finding(start),
    }  # fmt: skip
    settled = course.lint(start, project.phases, waivers := project.waivers(told["findings"]))
    told["phases"], told["waivers"] = settled["phases"], len(waivers)
    against = [*judge.lines(judge.stops(settled["findings"])), *settled["mistakes"]]
    if against:
        raise RuntimeError(f"{project.name}: with our settings, Gradual refuses it: {' '.join(against)}")
    say(f"{project.name}: {len(told['by_lint'])} pending, {len(told['findings'])} findings")
    told["own"], told["ours"] = [], []
    for number in range(rounds):
        own = course.database("own", "start")
        told["own"].append(round(course.own(own, course.new, project.upgrade), 2))
        ours = course.database("ours", "start")
        way = _there_and_back if number == 0 else _there
        told.update(way(course, start, ours, settled["phases"], told["ours"]))
        say(f"{project.name}: own {told['own'][-1]} s, ours {told['ours'][-1]} s")
    told["same_schema"] = course.schema(own) == course.schema(ours)
    return told


def _there(course: Course, _start: Shop, ours: Shop, phases: Entries, seconds: list[float]) -> Json:
    """Expand and contract, timed without the backups."""
    receipt = ours.proven()
    begun = time.monotonic()
    course.migrate(ours, "expand", phases, receipt)
    course.migrate(ours, "contract", phases, receipt)
    seconds.append(round(time.monotonic() - begun, 2))
    return {}


def _there_and_back(course: Course, start: Shop, ours: Shop, phases: Entries, seconds: list[float]) -> Json:
    """Expand, back by reverting each expand revision, expand again, contract, and both once more."""
    receipt = ours.proven()
    begun = time.monotonic()
    expanded = course.migrate(ours, "expand", phases, receipt)["applied"]
    spent = time.monotonic() - begun
    back = _back(course, ours, phases, receipt, [one["revision"] for one in expanded])
    differs = differing(course.schema(start), course.schema(ours))
    if differs:
        # What a project's own way back leaves may be in the way of its own way forward.
        ours = course.database("ours", "start")
        receipt = ours.proven()
    again = course.migrate(ours, "expand", phases, receipt)["applied"]
    receipt = ours.proven()
    begun = time.monotonic()
    contracted = course.migrate(ours, "contract", phases, receipt)["applied"]
    seconds.append(round(spent + time.monotonic() - begun, 2))
    more = [course.migrate(ours, phase, phases, receipt)["applied"] for phase in ("expand", "contract")]
    return {
        "expand": len(expanded), "contract": len(contracted), **back, "same_as_before": not differs,
        "differs": differs[:10],
        "expanded_again": len(again), "changes_at_the_end": sum(map(len, more)),
        "attempts": sum(one["attempts"] for one in (*expanded, *contracted)),
        "notes": [note for one in (*expanded, *contracted) for note in one["notes"]],
    }  # fmt: skip


def differing(before: str, after: str) -> list[str]:
    """The lines of two schemas that only one of them has. Their order does not count: a column that was dropped and
    comes back is the last one of its table."""
    old, new = (Counter(line.rstrip(",") for line in one.splitlines()) for one in (before, after))
    return [*(f"- {line}" for line in (old - new)), *(f"+ {line}" for line in (new - old))]


def _back(course: Course, ours: Shop, phases: Entries, receipt: Any, names: Sequence[str]) -> Json:
    """Revert these, the last one first, until the tool says that it cannot."""
    reverted = 0
    for name in reversed(names):
        try:
            course.revert(ours, name, phases, receipt)
        except DatabaseError as error:
            return {
                "reverted": reverted,
                "irreversible": f"{name}: {str(error)[:400]}",
                "own_reverts": course.own_reverts(ours, name),
            }
        reverted += 1
    return {"reverted": reverted, "irreversible": "", "own_reverts": True}
