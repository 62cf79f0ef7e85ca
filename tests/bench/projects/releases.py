"""The projects that are migrated, and their releases as Gradual stages them: files of ours and a .venv made by pip.

data/NAME.yml names a project, its two versions and our settings. Nothing of a project is kept in this repository.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).with_name("data")
OLD, NEW = "old", "new"
# Printed by the release's own Python: what was really installed.
_INSTALLED = (
    "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
)


@dataclass(frozen=True)
class Project:
    """One file of data/.

    tool: the distribution that migrates. requirements: {old, new: what pip installs, the project itself first}. create,
    upgrade: arguments of the release's Python, by which the project's own tool makes a database of the old release, and
    brings one up to date; {DATABASE_URL} is its address. files: path in the release → text. environment: lines of the
    environment file, with {address}, {host}, {port}, {user}, {password} and {database} of the database, and {folder},
    where the user that migrates may write. rows: SQL for a database of the old release. phases: as below `migrations`
    in a manifest. accepted: [{pattern: of revisions, reason}], whose errors are waived. judged: [{rule, right, why,
    revision: one, or none for all}], what we say of the errors.
    """

    name: str
    title: str
    adapter: str
    path: str
    tool: str
    requirements: Mapping[str, Sequence[str]]
    create: Sequence[str]
    upgrade: Sequence[str]
    files: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[str] = ()
    phases: Sequence[Mapping[str, Any]] = ()
    accepted: Sequence[Mapping[str, str]] = ()
    judged: Sequence[Mapping[str, Any]] = ()

    def waivers(self, findings: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """The entries that an operator writes below `migrations.waivers` who accepts these findings."""
        wanted = {
            (one["revision"], one["rule"], entry["reason"])
            for one in findings
            for entry in self.accepted
            if one["level"] == "error" and fnmatch.fnmatchcase(one["revision"], entry["pattern"])
        }
        return [
            {"revision": revision, "rule": rule, "reason": reason, "until": "2999-12-31"}
            for revision, rule, reason in sorted(wanted)
        ]

    @property
    def distribution(self) -> str:
        """The name of the project on PyPI."""
        return self.requirements[NEW][0].partition("==")[0]


def projects(wanted: str = "") -> list[Project]:
    """Every project whose name has that text in it, by name."""
    return [_project(one) for one in sorted(DATA.glob("*.yml")) if wanted in one.stem]


def _project(file: Path) -> Project:
    return Project(name=file.stem, **yaml.safe_load(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Release:
    """A staged release: its folder, and {distribution: version} of its .venv."""

    folder: Path
    installed: Mapping[str, str]

    @property
    def python(self) -> str:
        return str(self.folder / ".venv" / "bin" / "python")


def staged(project: Project, which: str, parent: Path) -> Release:
    """The release in a folder below `parent`; a .venv that is complete there is not made again."""
    folder = parent / f"{project.name}-{which}"
    folder.mkdir(exist_ok=True)
    for name, text in project.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    complete = folder / "requirements.json"
    wanted = json.dumps(list(project.requirements[which]))
    if not complete.exists() or complete.read_text(encoding="utf-8") != wanted:
        _install(folder, project.requirements[which])
        complete.write_text(wanted, encoding="utf-8")
    release = Release(folder, {})
    told = subprocess.run([release.python, "-c", _INSTALLED], check=True, capture_output=True, text=True).stdout
    return Release(folder, json.loads(told))


def _install(folder: Path, requirements: Sequence[str]) -> None:
    """Everybody may read the environment, as the user that migrates has to."""
    system = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    subprocess.run([system, "-m", "venv", str(folder / ".venv")], check=True)
    pip = [str(folder / ".venv" / "bin" / "python"), "-m", "pip", "install", "-qq", "--prefer-binary"]
    subprocess.run([*pip, *requirements], check=True)
