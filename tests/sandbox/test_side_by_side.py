"""Tests on two fleets side by side: each worker has a fleet for itself, and what must be played in sequence stays on
one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]

CONFTEST = """
import os, time
import pytest
from tests.fleet.conftest import group, pytest_runtest_setup{modify}

@pytest.fixture
def finished():
    pass

@pytest.fixture
def good():
    pass

@pytest.fixture(autouse=True)
def kept(request):
    time.sleep(0.1)
    with open("played", "a") as played:
        played.write(f"{{os.environ['PYTEST_XDIST_WORKER']}} {{group(request.node)}} {{request.node.originalname}}\\n")
"""
STORIES = """
import pytest

@pytest.mark.xdist_group("good-release")
def test_good_release(): pass
@pytest.mark.parametrize("story", [pytest.param("rollback", marks=pytest.mark.xdist_group("good-release"))])
def test_story(story): pass
@pytest.mark.xdist_group("never-ready")
def test_never_ready(): pass
"""
OTHERS = """
def test_begins_where_a_rollout_ended(finished): pass
def test_another_one(finished): pass
def test_reads_what_the_good_release_left(good): pass
def test_for_itself(): pass
def test_with_its_file(): pass
"""


@pytest.fixture
def play(tmp_path: Path) -> Path:
    (tmp_path / "test_stories.py").write_text(STORIES)
    (tmp_path / "test_others.py").write_text(OTHERS)
    return tmp_path


def run(folder: Path, *, grouped: bool) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.format(modify=", pytest_collection_modifyitems" if grouped else ""))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "GRADUAL_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "--no-loadscope-reorder",
        ".",
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "GRADUAL_FLEETS": "test test2", "PYTHONPATH": f"{HOME}:{HOME}/collections"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_group_is_played_in_sequence_by_one_worker(play: Path) -> None:
    done = run(play, grouped=True)
    assert done.returncode == 0, done.stdout + done.stderr
    played = [line.split() for line in (play / "played").read_text().splitlines()]
    assert len({worker for worker, _, _ in played}) == 2
    groups: dict[str, list[str]] = {}
    for _, name, test in played:
        groups.setdefault(name, []).append(test.removeprefix("test_"))
    assert groups == {
        "good-release": [
            "good_release",
            "begins_where_a_rollout_ended",
            "another_one",
            "reads_what_the_good_release_left",
            "story",
        ],
        "test_others.py": ["for_itself", "with_its_file"],
        "never-ready": ["never_ready"],
    }
    assert all(len({worker for worker, name, _ in played if name == wanted}) == 1 for wanted in groups)


def test_a_group_that_is_not_kept_together_is_told(play: Path) -> None:
    done = run(play, grouped=False)
    assert done.returncode != 0
    assert "does not keep the group good-release together" in done.stdout
    assert "5 errors" in done.stdout, "all that no mark of its own keeps together"


@pytest.mark.parametrize(
    ("environment", "fleet"),
    [
        ({}, "test"),
        ({"GRADUAL_FLEET": "dev1"}, "dev1"),
        ({"GRADUAL_FLEET": "dev1", "GRADUAL_FLEETS": "test test2"}, "dev1"),
        ({"PYTEST_XDIST_WORKER": "gw0", "GRADUAL_FLEETS": "test test2"}, "test"),
        ({"PYTEST_XDIST_WORKER": "gw1", "GRADUAL_FLEETS": "test test2"}, "test2"),
    ],
)
def test_a_worker_has_a_fleet_for_itself(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], fleet: str
) -> None:
    monkeypatch.setenv("GRADUAL_FLEET", "test")
    from tests.support.fleet import chosen

    assert chosen(environment) == fleet


@pytest.mark.parametrize("fleets", [{}, {"GRADUAL_FLEETS": "test"}, {"GRADUAL_FLEET": "test"}])
def test_two_workers_never_share_a_fleet(monkeypatch: pytest.MonkeyPatch, fleets: dict[str, str]) -> None:
    monkeypatch.setenv("GRADUAL_FLEET", "test")
    from tests.support.fleet import chosen

    with pytest.raises(RuntimeError, match='worker 2 needs one for itself: GRADUAL_FLEETS="test test2"'):
        chosen({"PYTEST_XDIST_WORKER": "gw1", **fleets})
