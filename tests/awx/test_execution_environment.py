"""The execution environment has what the controller's code imports and runs, and ansible-builder accepts its files."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.text.test_imports import imports

HOME = Path(__file__).resolve().parents[2]
COLLECTION = HOME / "collections/ansible_collections/gradual/rollout"
DEFINITION = HOME / "awx/execution-environment.yml"
BUILDER = Path(sys.executable).with_name("ansible-builder")
# Where the controller's own code begins; modules run on the hosts.
BEGINNINGS = tuple(f"plugins.{kind}." for kind in ("action", "callback", "filter", "lookup", "plugin_utils"))
# Ansible's own, which are wherever it is; and what only hosts have, behind an import that may fail.
OF_ANSIBLE = {"ansible", "ansible_collections", "yaml", "jinja2"}
OF_HOSTS = {"psycopg", "psycopg2", "matplotlib"}
# Packages of which a program is run, and nothing is imported.
PROGRAMS = {"squawk-cli": "squawk"}


def third_party(path: Path) -> Iterator[str]:
    """The packages outside Python, Ansible and the hosts that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level and node.module else []
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names | OF_ANSIBLE | OF_HOSTS:
                yield top


def imported_by_the_controller(root: Path) -> set[str]:
    """What is imported by the controller's code and by all of the collection that it imports."""
    graph = imports(root)
    found, to_do = set(), [name for name in graph if name.startswith(BEGINNINGS)]
    while to_do:
        name = to_do.pop()
        if name not in found:
            found.add(name)
            to_do.extend(graph[name])
    files = [root / f"{name.replace('.', '/')}.py" for name in found]
    return {name for path in files if path.is_file() for name in third_party(path)}


def required(text: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {one.name: one for one in (Requirement(line) for line in lines if line)}


def builder(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUILDER, *arguments], capture_output=True, text=True, check=False)


def test_the_list_has_what_the_controller_imports_and_nothing_else() -> None:
    listed = set(required((COLLECTION / "requirements.txt").read_text())) - set(PROGRAMS)
    assert listed == imported_by_the_controller(COLLECTION)


def test_an_import_that_is_not_listed_is_found(tmp_path: Path) -> None:
    shutil.copytree(COLLECTION / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "plugins/module_utils/common/text.py"
    changed.write_text(changed.read_text() + "\nimport requests\n")
    assert imported_by_the_controller(tmp_path) - imported_by_the_controller(COLLECTION) == {"requests"}


def test_the_programs_are_those_of_listed_packages() -> None:
    for package, program in PROGRAMS.items():
        assert package in required((COLLECTION / "requirements.txt").read_text())
        assert shutil.which(program, path=f"{BUILDER.parent}{os.pathsep}{os.environ['PATH']}"), program


def test_the_tested_versions_are_accepted() -> None:
    lock = (HOME / "requirements/lock.txt").read_text()
    tested = dict(line.split(" ")[0].split("==") for line in lock.splitlines() if "==" in line and line[0].isalpha())
    for name, requirement in required((COLLECTION / "requirements.txt").read_text()).items():
        assert tested[name] in requirement.specifier, f"{requirement}: {tested[name]} is tested"


def test_ansible_builder_finds_all_of_it() -> None:
    done = builder("introspect", HOME / "collections")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    told = "\n".join(line.split("#")[0] for line in found["python"])
    assert set(required(told)) == set(required((COLLECTION / "requirements.txt").read_text()))
    assert {line.split()[0] for line in found["system"]} == {"openssh-client", "openssh-clients"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the definition, and an archive of the collection where it is expected."""
    version = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())["version"]
    for folder in ("awx", ".cache/collection"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / f".cache/collection/gradual-rollout-{version}.tar.gz").write_bytes(b"an archive")
    shutil.copy(DEFINITION, tmp_path / "awx")
    return tmp_path


def test_ansible_builder_accepts_the_definition(project: Path) -> None:
    context = project / "context"
    done = builder("create", "--file", project / "awx" / DEFINITION.name, "--context", context)
    assert done.returncode == 0, done.stdout + done.stderr
    galaxy = yaml.safe_load((context / "_build/requirements.yml").read_text())["collections"][0]["name"]
    assert "COPY _build /build" in (context / "Containerfile").read_text()
    assert (context / "_build" / galaxy.removeprefix("/build/")).read_bytes() == b"an archive"


def test_ansible_builder_refuses_a_mistake(project: Path) -> None:
    definition = project / "awx" / DEFINITION.name
    definition.write_text(definition.read_text().replace("\ndependencies:", "\ndependancies:"))
    done = builder("create", "--file", definition, "--context", project / "context")
    assert done.returncode != 0
    assert "dependancies" in done.stdout + done.stderr
