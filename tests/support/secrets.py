"""Looks for the sandbox's secrets where none may be: screens, events, diffs, reports, the ledger, process lists."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from . import fleet

VAULT = fleet.HOME / "inventories" / "sandbox" / "group_vars" / "all" / "vault.yml"


def planted() -> dict[str, str]:
    """Name → value of every secret in the sandbox's vault: database passwords, session key, tokens."""
    text = subprocess.run(
        [fleet.binaries() / "ansible-vault", "view", VAULT],
        cwd=fleet.HOME,
        env=fleet.clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert len(found) >= 4, f"the vault has only {sorted(found)}"
    return found


def spellings(value: str) -> set[bytes]:
    """A secret as it may look inside JSON, a URL or base64."""
    raw = value.encode()
    encoded = base64.b64encode(raw).rstrip(b"=")[:-1]  # the last character depends on what follows
    return {raw, json.dumps(value)[1:-1].encode(), urllib.parse.quote(value, safe="").encode(), encoded}


def leaks_in(content: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets that stand in these bytes."""
    return [name for name, value in secrets.items() if any(spelling in content for spelling in spellings(value))]


def leaks(places: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """`file: name` for every secret in these files and in all files below these folders."""
    found, looked = [], 0
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not path.is_symlink():
                looked += 1
                found += [f"{path}: {name}" for name in leaks_in(path.read_bytes(), secrets)]
    assert looked, "there was nothing to look at, which proves nothing"
    return found


class Processes:
    """Reads the command line of every new process on this machine, the fleet's containers included, until closed.

    It looks about thirty times a second, so a process that lives for less than a tenth of a second may be missed.
    """

    def __init__(self) -> None:
        self.commands: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def leaked(self) -> list[str]:
        """Secrets that stood on a command line, with what the line began with."""
        secrets = planted()
        return [f"{command[:60]!r}: {name}" for command in self.commands for name in leaks_in(command, secrets)]

    def _watch(self) -> None:
        young: dict[str, int] = {}
        known: set[str] = set()
        while not self._stop.wait(0.03):
            there = {name for name in os.listdir("/proc") if name.isdigit()}
            known &= there
            for pid in there - known:
                try:
                    self.commands.add(Path(f"/proc/{pid}/cmdline").read_bytes())
                except OSError:
                    continue
                # A process is forked under its parent's name first: look at it a few times.
                young[pid] = young.get(pid, 0) + 1
                if young[pid] >= 4:
                    known.add(pid)
                    del young[pid]
