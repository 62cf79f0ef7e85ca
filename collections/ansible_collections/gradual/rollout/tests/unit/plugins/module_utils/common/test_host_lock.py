# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""One module at a time on a host, with real locks between real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common import host_lock
from ansible_collections.gradual.rollout.plugins.module_utils.release.install import StagingError, alone
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(COLLECTIONS), *filter(None, sys.path)])}


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


@contextmanager
def left_over(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A module of a run that was killed: it holds the lock of the releases until its input ends."""
    script = (
        "import sys\nfrom ansible_collections.gradual.rollout.plugins.module_utils.release.install import alone\n"
        "with alone(sys.argv[1], 'release to current, 1.2.0'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    process = python(script, str(root))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_killed_run_left_is_waited_for(tmp_path: Path) -> None:
    with left_over(tmp_path) as process:
        waits = python(
            "import sys, time\nfrom ansible_collections.gradual.rollout.plugins.module_utils.release.install import"
            " alone\nwith alone(sys.argv[1]):\n    print(time.monotonic())\n",
            str(tmp_path),
        )
        time.sleep(1)
        assert waits.poll() is None
        ended = time.monotonic()
        process.kill()
        assert float(waits.communicate(timeout=20)[0]) >= ended


def test_the_wait_ends_and_names_who_works(tmp_path: Path) -> None:
    with left_over(tmp_path) as process:
        wrong = (
            rf"release to current, 1\.2\.0, since 20.* UTC, process {process.pid}; to end it: kill {process.pid}\) is"
            r" still at work .* after 0 s"
        )
        with pytest.raises(StagingError, match=wrong), alone(str(tmp_path), patience=0.3):
            raise AssertionError("two at once")
        process.kill()
        process.wait()
    with alone(str(tmp_path), patience=0.3), alone(str(tmp_path), patience=0.3):
        pass


def test_a_lock_file_of_an_earlier_version_names_nobody(tmp_path: Path) -> None:
    with left_over(tmp_path):
        (tmp_path / "releases" / ".lock").write_text("")
        with (
            pytest.raises(StagingError, match=r"to see which: fuser -v .*/releases/\.lock"),
            alone(str(tmp_path), patience=0),
        ):
            pass


def test_check_mode_waits_and_makes_nothing(tmp_path: Path) -> None:
    with alone(str(tmp_path), create=False):
        assert list(tmp_path.iterdir()) == []
    with (
        left_over(tmp_path),
        pytest.raises(StagingError, match="is still at work"),
        alone(str(tmp_path), patience=0, create=False),
    ):
        pass


def test_a_module_that_waits_ends_with_its_run(tmp_path: Path) -> None:
    """Else it would begin when the one before it ends, perhaps after a rollback that came meanwhile."""
    waits = python(
        "import sys\nfrom ansible_collections.gradual.rollout.plugins.module_utils.common import"
        " host_lock\nsys.stdin.read()\ntry:\n    with host_lock.waited(sys.argv[1], 'x', 60):\n        pass\nexcept"
        " host_lock.Busy as error:\n    sys.exit(7 if 'is dead' in str(error) else 8)\n",
        str(tmp_path / "releases" / ".lock"),
    )
    with left_over(tmp_path):
        assert waits.stdout is not None
        assert waits.stdin is not None
        waits.stdout.close()
        waits.stdin.close()
        assert waits.wait(20) == 7


def test_a_step_that_claims_nothing_overtakes_nobody_and_is_not_overtaken(tmp_path: Path) -> None:
    mine = host_lock.Claim("flags", "f.json", directory=str(tmp_path))
    beside = host_lock.Claim("flags", "f.json", directory=str(tmp_path), takes=False)
    host_lock.Claim("flags", "f.json", directory=str(tmp_path))
    with beside.step():
        waits = python(
            "import sys\nfrom ansible_collections.gradual.rollout.plugins.module_utils.common.host_lock import Claim\n"
            "with Claim('flags', 'f.json', directory=sys.argv[1], takes=False).step():\n    print('in', flush=True)\n",
            str(tmp_path),
        )
        time.sleep(1)
        assert waits.poll() is None, "the steps exclude each other"
    assert waits.communicate(timeout=20)[0] == "in\n"
    with pytest.raises(host_lock.Overtaken), mine.step():
        pass


def test_the_newest_claim_wins(tmp_path: Path) -> None:
    old = host_lock.Claim("haproxy", "application", "app1", directory=str(tmp_path))
    with old.step():
        pass
    other = host_lock.Claim("haproxy", "application", "app2", directory=str(tmp_path))
    new = host_lock.Claim("haproxy", "application", "app1", directory=str(tmp_path))
    with pytest.raises(host_lock.Overtaken, match="a newer call works on haproxy application app1"), old.step():
        raise AssertionError("both work")
    with new.step(), other.step():
        pass


def test_a_claim_comes_between_two_steps_and_not_into_one(tmp_path: Path) -> None:
    claim = host_lock.Claim("flags", directory=str(tmp_path))
    script = (
        "import sys, time\nfrom ansible_collections.gradual.rollout.plugins.module_utils.common import host_lock\n"
        "print('there', flush=True)\nhost_lock.Claim('flags', directory=sys.argv[1])\nprint(time.monotonic())\n"
    )
    with claim.step():
        process = python(script, str(tmp_path))
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        time.sleep(0.5)
        ended = time.monotonic()
    assert float(process.communicate(timeout=20)[0]) >= ended


def test_where_nothing_can_be_written_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    claim = host_lock.Claim("flags", directory=str(tmp_path / "file" / "below"))
    with claim.step():
        pass
