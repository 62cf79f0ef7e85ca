# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Where the processes of a host share their metrics; set before prometheus_client is imported, which looks then."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("gradual_contract")
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OWN = "gradual-metrics-"
FOLDED = "0"
"""Stands for the pid in the name of a file that holds the counts of all dead processes."""


class ContractError(Exception):
    """The library cannot be used in this way; the message says what to write instead."""


def share() -> Path:
    """The directory, made if need be: PROMETHEUS_MULTIPROC_DIR, or metrics in systemd's RUNTIME_DIRECTORY, or one of
    this process and of those that it forks."""
    if VARIABLE not in os.environ:
        if "prometheus_client.values" in sys.modules:
            raise ContractError(
                f"prometheus_client was imported before gradual_contract, and {VARIABLE} is not set, so the processes"
                f" would not share their metrics; import gradual_contract first, or set {VARIABLE}"
            )
        os.environ[VARIABLE] = _runtime() or _own()
    directory = Path(os.environ[VARIABLE])
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _runtime() -> str | None:
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return os.path.join(runtime, "metrics") if runtime else None


def _own() -> str:
    directory, owner = tempfile.mkdtemp(prefix=OWN), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


DIRECTORY = share()

# The import looks at the variable that share() has set.
from prometheus_client import mmap_dict, multiprocess  # noqa: E402

# Neither has types.
MmapedDict: Any = mmap_dict.MmapedDict
mark_process_dead: Any = multiprocess.mark_process_dead


def warn() -> None:
    """Say so where other processes of the application would not be seen."""
    if DIRECTORY.name.startswith(OWN):
        log.warning("%s and RUNTIME_DIRECTORY are not set: /metrics shows this process and what it forks", VARIABLE)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No other process of this host renders or removes metrics meanwhile."""
    with open(DIRECTORY / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bury() -> None:
    """Remove the files of processes that have ended; what they counted stays, in one file a kind. Call it `alone`."""
    files: dict[str, list[Path]] = {}
    for path in DIRECTORY.glob("*_*.db"):
        kind, _, pid = path.stem.rpartition("_")
        if pid.isdecimal() and pid != FOLDED and not _alive(int(pid)):
            files.setdefault(kind, []).append(path)
    for kind, paths in files.items():
        if kind in ("counter", "histogram", "summary"):
            _fold(DIRECTORY / f"{kind}_{FOLDED}.db", paths)
        else:
            for path in paths:
                mark_process_dead(path.stem.rpartition("_")[2], str(DIRECTORY))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _fold(target: Path, paths: list[Path]) -> None:
    values: dict[str, float] = {}
    for path in [*([target] if target.exists() else []), *paths]:
        for key, value, _time, _position in MmapedDict.read_all_values_from_file(str(path)):
            values[key] = values.get(key, 0.0) + value
    new = target.with_suffix(".new")
    new.unlink(missing_ok=True)
    written = MmapedDict(str(new))
    for key, value in values.items():
        written.write_value(key, value, 0.0)
    written.close()
    os.replace(new, target)
    for path in paths:
        path.unlink()
