# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The lock is renewed while a module runs, and by nobody for a run that was killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS

NOTE = {"host": "mon1", "path": "/x", "holder": "me"}


def renewing(directory: Path, *answers: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """Renews by writing down when; the answers come one after the other, the last again and again."""

    def renew(_note: Any) -> dict[str, Any]:
        with open(directory / "renewed", "a", encoding="ascii") as stream:
            stream.write(f"{time.monotonic()}\n")
        return answers[min(len((directory / "renewed").read_text().split()), len(answers)) - 1]

    return renew


def times(directory: Path) -> list[float]:
    path = directory / "renewed"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(directory: Path, count: int) -> None:
    """The module runs until the lease has been renewed so often."""
    until = time.monotonic() + 30
    while len(times(directory)) < count:
        assert time.monotonic() < until, f"renewed {len(times(directory))} times, wanted are {count}"
        time.sleep(0.02)


def often(renewed: list[float]) -> bool:
    """Whether none came sooner after the one before than it should."""
    return all(later - earlier > 0.15 for earlier, later in zip(renewed, renewed[1:]))


def test_the_lease_is_renewed_while_a_module_runs_and_not_after_it(tmp_path: Path, quick: None) -> None:
    lease_renewal.remember(str(tmp_path), NOTE)
    with lease_renewal.Keeper(str(tmp_path), renewing(tmp_path, {"changed": False})) as kept:
        wait_for(tmp_path, 3)
    renewed = times(tmp_path)
    assert kept.lost is None
    assert often(renewed)
    time.sleep(0.5)
    assert times(tmp_path) == renewed


def test_a_short_module_and_a_run_without_the_lease_renew_nothing(tmp_path: Path, quick: None) -> None:
    with lease_renewal.Keeper(str(tmp_path), renewing(tmp_path, {})) as kept:
        time.sleep(0.5)
    lease_renewal.remember(str(tmp_path), NOTE)
    os.utime(lease_renewal.note_path(str(tmp_path)), (0, 0))
    with lease_renewal.Keeper(str(tmp_path), renewing(tmp_path, {})):
        time.sleep(0.05)
    assert kept.lost is None
    assert times(tmp_path) == []


def test_one_of_many_workers_renews(tmp_path: Path, quick: None) -> None:
    lease_renewal.remember(str(tmp_path), NOTE)
    with contextlib.ExitStack() as stack:
        for _number in range(5):
            stack.enter_context(lease_renewal.Keeper(str(tmp_path), renewing(tmp_path, {"changed": False})))
        wait_for(tmp_path, 4)
    assert often(times(tmp_path))


def test_a_renewal_that_did_not_get_through_is_tried_again(tmp_path: Path, quick: None) -> None:
    lease_renewal.remember(str(tmp_path), NOTE)
    gone = {"failed": True, "msg": "cannot be reached"}
    with lease_renewal.Keeper(
        str(tmp_path), renewing(tmp_path, gone, {"unreachable": True}, gone, {"changed": False})
    ) as kept:
        wait_for(tmp_path, 4)
    assert kept.lost is None


def test_nobody_renews_the_lease_of_a_run_that_was_killed(tmp_path: Path) -> None:
    """Of ansible-playbook alone: its worker lives on and finishes its module."""
    lease_renewal.remember(str(tmp_path), NOTE)
    script = (
        "import multiprocessing, os, sys, time\n"
        "from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal\n"
        "lease_renewal.EVERY, lease_renewal.PATIENCE, lease_renewal.PAUSE = 0.1, 0.0, 0.02\n"
        "def renew(note):\n    open(sys.argv[1] + '/renewed', 'a').write('%s\\n' % time.monotonic()); return {}\n"
        "def work():\n    with lease_renewal.Keeper(sys.argv[1], renew):\n        time.sleep(2.5)\n"
        "multiprocessing.get_context('fork').Process(target=work).start()\ntime.sleep(1)\nos._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(COLLECTIONS), *filter(None, sys.path)])}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False, timeout=20)
    time.sleep(0.2)
    before = times(tmp_path)
    time.sleep(0.6)
    assert before
    assert times(tmp_path) == before
