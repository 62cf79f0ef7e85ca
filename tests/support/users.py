"""Users who shop all the time: the open-model load, as a process of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from . import fleet
from .waiting import until

# Requests a second. The good release is played under the heavy load; under it two stories side by side would keep two
# cores busy with the load alone.
HEAVY, USUAL = 40.0, 25.0


class Users:
    """The load, from its first answers until `stop`; its record is load.json in the directory."""

    def __init__(self, directory: Path, rate: float = USUAL) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        screen = directory / "load.txt"
        command = [
            str(fleet.binaries() / "python"),
            "-m",
            "tests.load",
            "--url",
            f"https://{fleet.FRONT_DOOR}",
            "--rate",
            str(rate),
            "--resolve",
            f"{fleet.FRONT_DOOR}={fleet.addresses()['lb1']}",
            "--ca",
            str(fleet.AUTHORITY),
            "--output",
            str(directory / "load.json"),
        ]
        with screen.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                cwd=fleet.HOME,
                env=fleet.clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        until(lambda: "answered" in screen.read_text() or self._process.poll() is not None, "the load has begun")
        if self._process.poll() is not None:
            raise AssertionError(f"the load did not start: {screen.read_text()[-500:]}")

    def stop(self) -> dict[str, Any]:
        """Send nothing more, wait for the answers under way, return the record."""
        self._process.terminate()
        self._process.wait(60)
        found: dict[str, Any] = json.loads((self.directory / "load.json").read_text())
        return found

    def __enter__(self) -> Users:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
