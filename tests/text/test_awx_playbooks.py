"""AWX offers in a job template's menu every file of the project that may be a playbook: only playbooks may be offered.

AWX decides by folder and text, not by parsing (skip_directory and could_be_playbook in awx/main/utils/ansible.py):
folders `roles`, `tasks`, `group_vars`, `host_vars` and hidden ones are skipped; elsewhere one line with `hosts:`,
`include:` or `import_playbook:`, at any indentation, is enough. The long name
`ansible.builtin.import_playbook:` does not count, so playbooks here use the short one.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).resolve().parents[2]
SKIPPED = {"roles", "tasks", "group_vars", "host_vars"}
LINE = re.compile(r"^\s*-?\s*(hosts|include|import_playbook):", re.MULTILINE)


def offered(path: str, text: str) -> bool:
    """Whether AWX offers this file, named relative to the project."""
    file = Path(path)
    return (
        file.suffix in (".yml", ".yaml")
        and not any(folder in SKIPPED or folder.startswith(".") for folder in file.parts[:-1])
        and (LINE.search(text) is not None or text.startswith("$ANSIBLE_VAULT;"))
    )


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("deploy.yml", "- import_playbook: playbooks/release.yml\n", True),
        ("playbooks/ramp.yml", "---\n- name: Ramp\n  hosts: all\n", True),
        ("inventories/example/hosts.yml", "all:\n  children:\n    database:\n      hosts:\n", True),
        ("secrets.yml", "$ANSIBLE_VAULT;1.1;AES256\n", True),
        ("schemas/manifest.yml", "hosts_named: 1\n", False),
        ("roles/release/tasks/main.yml", "- hosts: all\n", False),
        (".config/molecule/converge.yml", "- hosts: all\n", False),
        ("inventories/example/group_vars/all.yml", "hosts: 1\n", False),
        ("inventories/example/hosts", "hosts: 1\n", False),
    ],
)
def test_the_rule_is_that_of_awx(path: str, text: str, wanted: bool) -> None:
    assert offered(path, text) is wanted


def test_only_playbooks_are_offered() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    found = {
        path for path in listed if (HOME / path).is_file() and offered(path, (HOME / path).read_text(errors="ignore"))
    }
    playbooks = {path.relative_to(HOME).as_posix() for path in (*HOME.glob("*.yml"), *HOME.glob("playbooks/*.yml"))}
    assert found == playbooks
    for path in sorted(found):
        plays = yaml.safe_load((HOME / path).read_text())
        assert all({"hosts", "import_playbook"} & set(play) for play in plays), path
