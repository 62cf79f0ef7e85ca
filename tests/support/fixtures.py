"""Fixtures of the tests that run single playbooks on the fleet: `run`, and the two beginnings `baseline` and
`finished`."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import fleet, prepare
from .seen import COLOURS
from .story import Play

RUNS = fleet.HOME / ".gradual" / "runs" / fleet.NAME


class Ran:
    """A playbook that has been run: its exit status and the folder of its events."""

    def __init__(self, play: Play) -> None:
        done = play.wait()
        self.status, self.folder = int(done["status"]), play.folder

    @property
    def screen(self) -> str:
        return COLOURS.sub("", (self.folder / "screen.txt").read_text())

    def insist(self) -> None:
        """Go on only if the playbook ended well."""
        assert self.status == 0, f"{self.folder.name} ended with {self.status}: {self.screen[-2000:]}"


Run = Callable[..., Ran]


@functools.cache
def _numbers() -> Iterator[int]:
    """The numbers of this session's runs; each conftest.py that imports `run` has a fixture of its own, and all count
    together."""
    shutil.rmtree(RUNS, ignore_errors=True)
    return itertools.count(1)


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a playbook as AWX would: run("deploy.yml", "-e", "…", verbosity=0, venv=".venv")."""

    def play(playbook: str, *arguments: str, verbosity: int = 0, venv: str = ".venv") -> Ran:
        folder = RUNS / f"{next(_numbers()):02d}-{Path(playbook).stem}"
        return Ran(Play(folder, playbook, list(arguments), verbosity=verbosity, venv=venv))

    return play


def _begin(begins: str, run: Run) -> None:
    prepare.up()
    prepare.to(begins, lambda arguments: run("deploy.yml", *arguments).insist(), RUNS / "prepare")


@pytest.fixture(scope="module")
def baseline(run: Run) -> None:
    """1.0.0 runs on every host."""
    _begin("1.0.0", run)


@pytest.fixture(scope="module")
def finished(run: Run) -> None:
    """2.0.0 has been rolled out to all users."""
    _begin("2.0.0", run)
