"""python -m tests.bench.preload: what loading the plugins once, in the parent process, saves in CPU of the controller.

The same playbook of TASKS tasks with one filter each is played on one local host, opened by the lookup `whole_group`
(which loads the plugins) and by the name of the group. Pairs alternate, so that other work on the machine meets both.
The figure is the CPU of ansible-playbook and all its workers, in seconds a task.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.plugin_utils.launch_check import NAMED, WHOLE

ROOT = Path(__file__).resolve().parents[2]
TASKS, ROUNDS = 40, 3
OPENED = "\"{{ lookup('gradual.rollout.whole_group', 'application') }}\""
TASK = """    - ansible.builtin.set_fact:
        known: "{{ {} | gradual.rollout.up_before('none') is defined }}"
"""
GROUPS = (*WHOLE, *NAMED)


def playbook(hosts: str) -> str:
    """A play of TASKS tasks; each asks one filter of the collection."""
    return f"- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{TASK * TASKS}"


def inventory() -> str:
    """One local host in every group of a fleet."""
    return "".join(f"[{group}]\nlocal ansible_connection=local\n" for group in GROUPS)


def seconds(folder: Path, hosts: str) -> float:
    """CPU of one run and of all processes that it forked."""
    (folder / "playbook.yml").write_text(playbook(hosts))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["ansible-playbook", "-i", folder / "hosts.ini", folder / "playbook.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the two figures and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hosts.ini").write_text(inventory())
        pairs = [(seconds(folder, "application"), seconds(folder, OPENED)) for _ in range(ROUNDS)]
    anew, once = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{TASKS} tasks with one filter each on one host, median of {ROUNDS} runs, CPU of the controller:")
    print(f"  plugins loaded by each worker  {anew:6.2f} s")
    print(f"  plugins loaded once            {once:6.2f} s   ({anew / once:.1f} times less)")
    print(f"  saved for each task and host   {(anew - once) / TASKS * 1000:6.0f} ms")


if __name__ == "__main__":
    main()
