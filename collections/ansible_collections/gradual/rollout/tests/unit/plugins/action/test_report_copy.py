"""The report's copy to the controller: what it does where it can, and what it says where it cannot. It never fails."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS

CONTENTS = {"report.json": b'{"a": 1}\n', "report.md": b"# A\n"}
PLAYBOOK = """
- hosts: mon1
  gather_facts: false
  tasks:
    - name: Copy
      gradual.rollout.report_copy:
        directory: "{{ lies }}"
        files: "{{ digests }}"
        to: .gradual/reports/shop-1
      register: copied
    - name: Say
      ansible.builtin.debug:
        msg: "SAID {{ copied.copied }} {{ copied.changed }} {{ copied.msg }}"
"""


def run(project: Path, lies: Path, *more: str, host: str = "ansible_connection=local") -> str:
    """What a playbook says that copies a report, run from the project without HOME and PWD, by one who may only do what
    permissions say."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    home = lies.parent
    (home / "play.yml").write_text(PLAYBOOK)
    (home / "hosts").write_text(f"mon1 {host} ansible_python_interpreter={sys.executable}\n")
    (home / "ansible.cfg").write_text("[defaults]\n")
    environment = {
        "PATH": os.environ["PATH"],
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_REMOTE_TEMP": str(home / "remote"),
        "LC_ALL": "C.UTF-8",
    }
    command = [
        sys.executable,
        "-m",
        "ansible.cli.playbook",
        "-i",
        str(home / "hosts"),
        str(home / "play.yml"),
        "-e",
        f"lies={lies}",
    ]
    command += ["-e", f'{{"digests": {digests}}}'.replace("'", '"'), *more]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", *command]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fatal" not in done.stdout + done.stderr
    assert "failed=0" in done.stdout
    (said,) = (line.partition("SAID ")[2].rstrip('"') for line in done.stdout.splitlines() if "SAID " in line)
    return said


@pytest.fixture
def lies(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "reports" / "shop-1"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    folder.rename(tmp_path / "home" / "shop-1")
    return tmp_path / "home" / "shop-1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_it_is_copied_once(project: Path, lies: Path) -> None:
    there = project / ".gradual" / "reports" / "shop-1"
    assert run(project, lies, "--check") == f"False True The report is on mon1 in {lies}"
    assert not there.exists()
    assert run(project, lies) == f"True True The report is on mon1 in {lies}, and a copy on the controller in {there}"
    assert {path.name: path.read_bytes() for path in there.iterdir()} == CONTENTS
    assert run(project, lies).startswith("True False ")


def read_only(project: Path) -> None:
    os.chmod(project, 0o555)


def in_the_way(project: Path) -> None:
    (project / ".gradual").write_text("a file\n")


@pytest.mark.parametrize(("spoil", "reason"), [(read_only, "Permission denied"), (in_the_way, "Not a directory")])
def test_a_controller_that_cannot_keep_it_is_told_and_fails_nothing(
    project: Path, lies: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(project)
    there = project / ".gradual" / "reports" / "shop-1"
    assert (
        run(project, lies)
        == f"False False The report is on mon1 in {lies}. It was not copied to the controller, {there}: {reason}"
    )


def test_a_file_that_is_another_is_not_taken_for_the_report(project: Path, lies: Path) -> None:
    (lies / "report.md").write_text("# B\n")
    assert "report.md is another file than the one that was written" in run(project, lies)


def test_a_host_that_is_lost_meanwhile_fails_nothing(project: Path, lies: Path) -> None:
    gone = "ansible_host=192.0.2.1 ansible_ssh_common_args='-o ConnectTimeout=1 -o ProxyCommand=false'"
    assert "It was not copied to the controller" in run(project, lies, host=gone)
