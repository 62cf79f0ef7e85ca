# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The library's types, with the frameworks that it really runs with."""

from __future__ import annotations

import subprocess
import sys

from integrations.python.tests.server import LIBRARY


def test_types() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".cache/mypy-integrations"]
    done = subprocess.run(
        [*command, LIBRARY / "gradual_contract", LIBRARY / "backend.py"],
        cwd=LIBRARY.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
