# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Who runs, and which runs on this controller are dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.plugin_utils import run_identity
from ansible_collections.gradual.rollout.tests.unit.dead_process import dead_pid
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS


def test_a_process_knows_that_its_parent_is_gone() -> None:
    assert not run_identity.orphaned()
    script = (
        "import multiprocessing, os, time\nfrom ansible_collections.gradual.rollout.plugins.plugin_utils import"
        " run_identity\ndef work(pipe):\n    pipe.send(run_identity.orphaned())\n    time.sleep(0.6)\n   "
        " print(run_identity.orphaned(), flush=True)\nours, theirs ="
        " multiprocessing.Pipe()\nmultiprocessing.get_context('fork').Process(target=work,"
        " args=(theirs,)).start()\nprint(ours.recv(), flush=True)\nos._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(COLLECTIONS), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False, timeout=20
    )
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_who_is_dead() -> None:
    place = run_identity.holder().rpartition(":")[0]
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        assert run_identity.is_dead(f"{place}:{dead_pid()}")
        assert run_identity.is_dead(f"{place}:{other.pid}"), "the number was given to another program meanwhile"
    finally:
        other.communicate()
    assert not run_identity.is_dead(f"{place}x:{dead_pid()}"), "another controller's runs cannot be known"
    assert not run_identity.is_dead(f"{place}:{10**30}")
    for name in ("", "x", f"{place}:", f"{place}:-1", f"{place}:1:2x"):
        assert not run_identity.is_dead(name)


def test_a_step_that_a_killed_run_left_is_waited_for(tmp_path: Path) -> None:
    mine, other = tmp_path / "ansible-local-10abcdefgh", tmp_path / "ansible-local-9abcdefgh"
    for directory in (mine, other):
        directory.mkdir()
    assert run_identity.has_stopped("ann@here/1:9", str(mine)), "it never began a step"
    with run_identity.at_work(str(other)), run_identity.at_work(str(other)):
        assert not run_identity.has_stopped("ann@here/1:9", str(mine), patience=0.05)
        assert run_identity.has_stopped("ann@here/1:10", str(mine), patience=0.05)
    assert run_identity.has_stopped("ann@here/1:9", str(mine))
    with run_identity.at_work(str(tmp_path / "nowhere")):
        assert run_identity.has_stopped("ann@here/1:9", str(mine))
