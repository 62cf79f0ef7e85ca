# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The action plugins and the callback in real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS

PLAYBOOK = """
- name: Try
  hosts: all
  gather_facts: false
  tasks:
    - name: Open
      gradual.rollout.ledger: {path: "{{ place }}", state: opened, release: {application: shop, version: "1.0"}}
      register: opened
    - name: Open it in check mode again
      gradual.rollout.ledger: {path: "{{ place }}", state: opened, release: {application: shop, version: "1.0"}}
      check_mode: true
      register: again
    - name: Hidden
      ansible.builtin.debug: {msg: hunter2}
      no_log: true
    - name: Check the manifest
      gradual.rollout.manifest: {known: [place, wanted]}
      register: checked
      ignore_errors: true
    - name: Compare
      ansible.builtin.assert:
        that: [opened is changed, again is not changed, wanted in checked.msg | default(checked.digest)]
"""


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        (
            [
                "-e",
                "application=shop",
                "-e",
                "version=1.0",
                "-e",
                "stages=50,100",
                "-e",
                '{"artifact": {"url": "http://h/x", "sha256": "%s"}}' % ("a" * 64),
            ],
            "",
        ),
        (
            ["-e", "aplication=shop"],
            "aplication: no such key in a manifest, and no variable of that name; write application",
        ),
        (
            ["-e", "application=shop", "-e", '{"artifact": "{{ nowhere }}"}'],
            "artifact: holds a template that cannot be resolved",
        ),
        (["-e", "known=1", "-e", "of_play=2", "-e", "version=1"], "2 errors"),
    ],
)
def test_in_a_playbook(tmp_path: Path, extra: list[str], wanted: str) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK.replace("  tasks:", "  vars: {of_play: 1}\n  tasks:", 1))
    groups = "".join(f"[{name}]\nhere\n" for name in ("application", "database", "balancer", "monitoring"))
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "hosts").write_text(
        f"here ansible_connection=local ansible_python_interpreter={sys.executable} known=0\n{groups}"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CALLBACKS_ENABLED": "gradual.rollout.run_log",
        "GRADUAL_RUN_LOG_DIRECTORY": str(tmp_path / "logs"),
        "LC_ALL": "C.UTF-8",
    }
    command = [
        sys.executable,
        "-m",
        "ansible.cli.playbook",
        "-i",
        "hosts",
        "play.yml",
        "-e",
        f"place={tmp_path}/ledger",
        "-e",
        f"wanted='{wanted}'",
    ]
    done = subprocess.run(
        [*command, *extra], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert "hunter2" not in log.read_text()
    assert "changed     here         Open" in log.read_text()
    assert "WARNING" not in done.stdout + done.stderr


LONG = """
- name: Try
  hosts: here
  gather_facts: false
  tasks:
    - name: Open
      gradual.rollout.ledger: {path: "{{ place }}", state: opened, release: {application: shop, version: "1.0"}}
      delegate_to: monitor
      register: opened
    - name: Wait
      gradual.rollout.ledger:
        path: "{{ place }}"
        hold_until: "{{ opened.now + 10 }}"
      delegate_to: monitor
    - name: Give it back
      gradual.rollout.ledger: {path: "{{ place }}", state: released}
      delegate_to: monitor
"""


# ansible-playbook, with renewals that come every second.
OFTEN = """
import sys, warnings
warnings.simplefilter("ignore")
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal
lease_renewal.EVERY, lease_renewal.PATIENCE = 0.5, 0.0
from ansible.cli.playbook import main
main()
"""


def test_a_real_run_renews_its_lease_over_a_connection_of_its_own(tmp_path: Path) -> None:
    """With whatever ansible-core the tests run on: what it takes to run a module on another host is its own affair in
    each version."""
    (tmp_path / "play.yml").write_text(LONG)
    (tmp_path / "hosts").write_text(
        f"[all]\nhere\nmonitor\n[all:vars]\nansible_connection=local\nansible_python_interpreter={sys.executable}\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, "-c", OFTEN, "-i", "hosts", "play.yml", "-e", f"place={tmp_path}/ledger"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line)["event"] for line in (tmp_path / "ledger" / "ledger.jsonl").read_text().splitlines()]
    assert (events[:2], events[-1]) == (["rollout.started", "lease.taken"], "lease.released")
    assert len([event for event in events if event == "lease.renewed"]) >= 2, "one is of the waiting task itself"
