"""The archive of the collection is enough: its playbooks run from an empty folder, with nothing of the project near."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.report import document

HOME = Path(__file__).resolve().parents[2]
COLLECTION = HOME / "collections/ansible_collections/gradual/rollout"
BIN = Path(sys.executable).parent
HOSTS = {"application": "app1", "database_primary": "db1", "balancer": "lb1", "monitoring": "mon1", "ledger": "mon1"}
NO_SOCKET = "/nonexistent/admin.sock"
INCLUDED = re.compile(r"(?:(?:include|import)_role:\s+name|- role): ([a-z_]+)")
MANIFEST = {
    "application": "shop",
    "version": "1.0.0",
    "artifact": {"url": "http://127.0.0.1:9/shop.tar.gz", "sha256": "1" * 64},
}


def run(folder: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a folder, where only the collections in `collections` beside it can be found."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(folder.parent / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    built = run(folder, HOME / "collections" / "build", folder)
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """An empty folder; the collection is installed beside it."""
    folder = tmp_path_factory.mktemp("site") / "empty"
    folder.mkdir()
    into = folder.parent / "collections"
    installed = run(
        folder, BIN / "ansible-galaxy", "collection", "install", "--offline", "--no-deps", "-p", into, archive
    )
    assert installed.returncode == 0, installed.stderr
    return folder


def deploy(folder: Path) -> subprocess.CompletedProcess[str]:
    """deploy --check of a small release; every host is this machine, and its balancer is not there."""
    everywhere = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "front_door": {"name": "shop.test", "url": "http://127.0.0.1:9"},
        "application_port": 9,
        "host_address": "127.0.0.1",
        "rollout_balancer_socket": NO_SOCKET,
    }
    inventory, manifest = folder.parent / "hosts.json", folder.parent / "release.json"
    groups: dict[str, Any] = {group: {"hosts": {host: {}}} for group, host in HOSTS.items()}
    groups["database"] = {"children": {"database_primary": {}}}
    inventory.write_text(json.dumps({"all": {"vars": everywhere}, **groups}))
    manifest.write_text(json.dumps(MANIFEST))
    return run(
        folder, BIN / "ansible-playbook", "-i", inventory, "gradual.rollout.deploy", "--check", "-e", f"@{manifest}"
    )


def test_a_deploy_runs_from_an_empty_folder_up_to_what_this_machine_lacks(empty: Path) -> None:
    played = deploy(empty)
    assert played.returncode == 2, played.stdout + played.stderr
    assert "gradual.rollout.preflight" in played.stdout
    assert f"{NO_SOCKET} is not there" in played.stdout + played.stderr
    assert list(empty.iterdir()) == [], "the run wrote into the folder where it was started"


def test_a_collection_that_lacks_a_role_is_noticed(tmp_path: Path, archive: Path) -> None:
    """Negative control: the same run with the role preflight taken out of the archive."""
    into = tmp_path / "collections/ansible_collections/gradual/rollout"
    into.mkdir(parents=True)
    with tarfile.open(archive) as packed:
        names = [member for member in packed.getmembers() if not member.name.startswith("roles/preflight")]
        packed.extractall(into, members=names)
    (tmp_path / "empty").mkdir()
    played = deploy(tmp_path / "empty")
    assert played.returncode != 0
    assert "the role 'preflight' was not found" in played.stdout + played.stderr


def names_of(packed: Iterable[str], folder: str) -> set[str]:
    return {
        name.split("/")[1] for name in packed if name.startswith(f"{folder}/") and name.count("/") > folder.count("/")
    }


def test_the_archive_holds_every_role_and_playbook(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        names = [member.name for member in packed.getmembers() if member.isfile()]
    assert names_of(names, "roles") == {path.name for path in (HOME / "roles").iterdir() if path.is_dir()}
    assert names_of(names, "playbooks") == {path.name for path in (HOME / "playbooks").glob("*.yml")}
    assert not [name for name in names if re.search(r"\.pyc$|__pycache__|\.venv|\.sandbox", name)]


def test_every_role_in_the_archive_has_a_page_with_its_options(archive: Path) -> None:
    """Galaxy accepts no role without one; the pages come from the argument specs."""
    with tarfile.open(archive) as packed:
        pages = {
            member.name.split("/")[1]: str(packed.extractfile(member).read(), "utf-8")  # type: ignore[union-attr]
            for member in packed.getmembers()
            if re.fullmatch(r"roles/\w+/README\.md", member.name)
        }
    assert set(pages) == {path.name for path in (HOME / "roles").iterdir() if path.is_dir()}
    assert pages["ramp"].startswith("# gradual.rollout.ramp\n")
    assert "| `ramp_users` | int | `4000` | How many users are asked" in pages["ramp"]


def test_a_report_names_the_version_of_the_collection() -> None:
    assert yaml.safe_load((COLLECTION / "galaxy.yml").read_text())["version"] == document.VERSION


def test_every_role_that_a_playbook_or_role_includes_is_in_the_archive() -> None:
    texts = [path.read_text() for folder in ("roles", "playbooks") for path in (HOME / folder).rglob("*.yml")]
    included = {name for text in texts for name in INCLUDED.findall(text)}
    assert {"preflight", "rollout", "host"} <= included
    assert included <= {path.name for path in (HOME / "roles").iterdir()}


def test_the_action_group_lists_every_module() -> None:
    """A user who writes module_defaults for group/gradual.rollout.all reaches every module."""
    runtime = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())
    modules = {path.stem for path in (COLLECTION / "plugins/modules").glob("*.py")} - {"__init__"}
    assert runtime["action_groups"]["all"] == sorted(modules)
