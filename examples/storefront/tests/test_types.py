"""The application's types, checked with the libraries that it really runs with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.storefront.tests.support import Releases


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_types(releases: Releases, tmp_path_factory: pytest.TempPathFactory, version: str) -> None:
    directory: Path = releases.ready(version)
    cache = tmp_path_factory.getbasetemp() / "mypy"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        directory / ".venv" / "bin" / "python",
        "--cache-dir",
        cache,
    ]
    done = subprocess.run(
        [*command, "app", "gunicorn.conf.py", "prepare"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
