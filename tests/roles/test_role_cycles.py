"""No cycle between roles: whoever reads a role finds what it includes below it, and never the role itself again."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.roles.local import HOME

INCLUDES = ("include_role", "import_role")
# The one include whose name is a variable: the steps of a rollout, as the playbooks give them.
STEP = "{{ rollout_step }}"


def dictionaries(node: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary of a YAML document, at any depth: plays, blocks, tasks and their variables."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from dictionaries(inner)


def included(documents: Iterator[Any]) -> set[str]:
    """The roles that the tasks of these documents include or import, by name without a collection."""
    return {
        task[key]["name"].rpartition(".")[2] if task[key]["name"] != STEP else STEP
        for document in documents
        for task in dictionaries(document)
        for name in INCLUDES
        for key in (name, f"ansible.builtin.{name}")
        if key in task
    }


def graph(home: Path) -> dict[str, set[str]]:
    """{role: the roles that it includes, or that its meta names as dependencies}."""
    steps = {
        found["rollout_step"]
        for playbook in (home / "playbooks").glob("*.yml")
        for found in dictionaries(yaml.safe_load(playbook.read_text(encoding="utf-8")))
        if "rollout_step" in found
    }
    found = {}
    for role in sorted(path for path in (home / "roles").iterdir() if path.is_dir()):
        files = [*role.glob("tasks/**/*.yml"), *role.glob("handlers/*.yml")]
        names = included(yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
        meta = role / "meta/main.yml"
        needs = (yaml.safe_load(meta.read_text(encoding="utf-8")).get("dependencies") if meta.exists() else None) or []
        names |= {need["role"] if isinstance(need, dict) else need for need in needs}
        found[role.name] = (names - {STEP}) | (steps if STEP in names else set())
    return found


def cycle(roles: Mapping[str, set[str]]) -> list[str]:
    """The roles of one cycle, in order; empty when there is none."""
    try:
        graphlib.TopologicalSorter(roles).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_role_includes_itself_by_way_of_others() -> None:
    roles = graph(HOME)
    assert {"backup", "migrate", "release", "ramp", "verify", "safe_state"} <= roles["rollout"]
    assert cycle(roles) == []


@pytest.mark.parametrize("how", ["include", "step", "dependency"])
def test_a_cycle_is_found(tmp_path: Path, how: str) -> None:
    for name in ("safe_state", "rollout"):
        (tmp_path / "roles" / name / "tasks").mkdir(parents=True)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/deploy.yml").write_text(
        "- hosts: all\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: rollout}\n      vars: {rollout_step: safe_state}\n"
    )
    name = STEP if how == "step" else "safe_state"
    (tmp_path / "roles/rollout/tasks/main.yml").write_text(
        f"- block: []\n  rescue:\n    - ansible.builtin.include_role: {{name: '{name}'}}\n"
    )
    assert cycle(graph(tmp_path)) == []
    if how == "dependency":
        (tmp_path / "roles/safe_state/meta").mkdir()
        (tmp_path / "roles/safe_state/meta/main.yml").write_text("dependencies: [{role: rollout}]\n")
    else:
        (tmp_path / "roles/safe_state/tasks/other.yml").write_text(
            "- ansible.builtin.import_role: {name: gradual.rollout.rollout}\n"
        )
    assert set(cycle(graph(tmp_path))) == {"rollout", "safe_state"}
