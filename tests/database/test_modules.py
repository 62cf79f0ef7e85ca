"""The modules as a playbook calls them: truthful in check mode, quiet about secrets, and nothing to do the second
time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .playbook import play
from .server import PASSWORD, Shop, revision

PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    gradual.rollout.backup: {socket_directory: "{{ socket }}", port: "{{ shop_port }}", run_as: "{{ user }}"}
    gradual.rollout.backup_verify: {run_as: "{{ user }}", scratch: "{{ socket }}", reserve_mib: 10}
    gradual.rollout.migration: {socket_directory: "{{ socket }}", port: "{{ shop_port }}", run_as: "{{ user }}"}
  tasks:
    - gradual.rollout.backup:
        {application: shop, database: "{{ shop_database }}", destination: "{{ backups }}", reserve_mib: 10}
      register: taken
    - gradual.rollout.backup_verify: {path: "{{ taken.path }}"}
      register: proven
      when: not ansible_check_mode
    - gradual.rollout.backup_info: {destination: "{{ backups }}"}
      register: backups_found
    - gradual.rollout.migration:
        directory: "{{ release }}"
        state: applied
        environment_file: "{{ environment_file }}"
        receipt: "{{ proven.receipt | default(none) }}"
      register: migrated
    - ansible.builtin.copy:
        dest: "{{ result }}"
        mode: "0600"
        content: "{{ {'taken': taken, 'proven': proven, 'found': backups_found, 'migrated': migrated} | to_json }}"
      check_mode: false
      diff: false
"""


def run(shop: Shop, folder: Path, *words: str) -> tuple[dict[str, Any], str]:
    """Run the play; what its modules returned, and everything that Ansible printed at -vvv."""
    environment_file = folder / "environment"
    environment_file.touch(0o600)
    environment_file.write_text(f"DATABASE_URL={shop.url}\nSESSION_KEY=planted-session-key\n")
    release = str(shop.releases[-1])
    return play(shop, folder, PLAY, "-vvv", *words, release=release, environment_file=str(environment_file))


@pytest.fixture
def staged(shop: Shop) -> Shop:
    shop.release(
        revision(1),
        revision(2, "ALTER TABLE orders ADD COLUMN note text"),
        revision(3, "ALTER TABLE orders DROP COLUMN extra", phase="contract"),
    )
    return shop


def test_check_mode_tells_what_would_happen_and_does_nothing(staged: Shop, tmp_path: Path) -> None:
    told, said = run(staged, tmp_path, "--check")
    assert told["taken"]["changed"]
    assert told["taken"]["message"].startswith(f"would dump {staged.name} to {staged.backups}/shop-")
    assert 0 < told["taken"]["estimated_bytes"] < told["taken"]["free_bytes"]
    assert told["migrated"]["would_apply"] == ["0002"]
    assert told["migrated"]["changed"]
    assert not Path(staged.backups).exists()
    assert staged.revision() == "0001"
    assert PASSWORD not in said


def test_a_proven_backup_lets_the_migration_through_once_and_no_secret_is_said(staged: Shop, tmp_path: Path) -> None:
    told, said = run(staged, tmp_path, "--diff")
    assert told["proven"]["receipt"]["level"] == "restored"
    assert told["found"]["newest_proven"]["id"] == told["taken"]["receipt"]["id"]
    assert [one["revision"] for one in told["migrated"]["applied"]] == ["0002"]
    assert [one["revision"] for one in told["migrated"]["left"]] == ["0003"]
    again, said_again = run(staged, tmp_path)
    assert not again["migrated"]["changed"]
    assert (again["migrated"]["from"], again["migrated"]["to"], again["migrated"]["applied"]) == ("0002", "0002", [])
    for secret in (PASSWORD, "planted-session-key"):
        assert secret not in said + said_again + json.dumps([told, again])
    assert "[WARNING]" not in said
