# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One module at a time on a host. The controller's lease cannot see to that: a run that was killed leaves its last
module at work.

Two ways: `waited`, for work that has to be finished before anything else begins (a release that is being switched); and
`Claim`, for work that the next call may overtake at any moment (a drain): the newest call wins, and the older one stops
before its next step.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import select
import time
import uuid
from typing import Any, Iterator

# Cleared by a reboot, which ends every module, too; and small, so that a full disk does not matter.
DIRECTORY = "/run/gradual"
PAUSE = 0.2


class Busy(Exception):
    """Another module still works here: who it is, for how long it was waited, what to do."""


class Overtaken(Exception):
    """A newer call has taken this work over; this one stops and changes nothing more."""


@contextlib.contextmanager
def waited(path: str, what: str, patience: float, create: bool = True) -> Iterator[None]:
    """Hold the lock in the file at `path` as soon as the module that has it has ended; Busy when that takes longer than
    `patience` seconds.

    what: tells others what this one does. Without `create` a file that is not there is no lock, as in check mode.
    OSError as open raises it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except (FileNotFoundError, PermissionError):
        if create:
            raise
        yield
        return
    try:
        _lock(descriptor, path, patience)
        _write(descriptor, {"pid": os.getpid(), "what": what, "since": _stamp()})
        yield
    finally:
        os.close(descriptor)


def acquire(descriptor: int, patience: float, pause: float = PAUSE) -> Iterator[bool]:
    """Lock the open file: yields False after each try that failed, `pause` seconds before the next one, and True when
    the lock is held; ends without it after `patience` seconds. The caller decides meanwhile whether to go on."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return
            yield False
            time.sleep(pause)
        else:
            yield True
            return


def _lock(descriptor: int, path: str, patience: float) -> None:
    for held in acquire(descriptor, patience):
        if held:
            return
        if _nobody_listens():
            raise Busy("the run that this module belongs to is dead, so it does not begin")
    raise Busy(f"{_who(path)} is still at work on this host after {patience:.0f} s of waiting")


def _who(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        pid = int(found["pid"])
        return (
            f"another run's module ({found['what']}, since {found['since']} UTC, process {pid}; to end it: kill {pid})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return f"another run's module (to see which: fuser -v {path})"


def _write(descriptor: int, content: dict[str, Any]) -> None:
    """A disk that is full must not stop the work: only the name of who works is missing then."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(content).encode(), 0)


def _nobody_listens() -> bool:
    """Whether the reader of this module's output, its connection, has gone."""
    poll = select.poll()
    try:
        poll.register(1, 0)
        return any(seen & (select.POLLERR | select.POLLHUP) for _number, seen in poll.poll(0))
    except (OSError, ValueError):
        return False


def _stamp() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


class Claim:
    """The right to go on with some work, until a newer call claims the same.

        claim = Claim("haproxy", "application/app1")
        with claim.step():  # Overtaken when it is not ours any more; nobody can claim it before the step is done
            …

    takes: without it nothing is claimed: no other call is overtaken by this one, nor this one by another, and only the
    steps exclude each other. For work whose result every later step finds and honours.
    Where nothing can be written the work goes on without it."""

    def __init__(self, *name: str, directory: str = DIRECTORY, takes: bool = True) -> None:
        self.name = " ".join(name)
        self._token = uuid.uuid4().hex if takes else ""
        self._path = os.path.join(directory, hashlib.sha256("\0".join(name).encode()).hexdigest()[:24])
        self._kept = True
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            with self._locked() as descriptor:
                if takes:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, self._token.encode(), 0)
        except OSError:
            self._kept = False

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One step of the work, between two of which a newer call may take it over."""
        if not self._kept:
            yield
            return
        with self._locked() as descriptor:
            held = os.pread(descriptor, 64, 0).decode("ascii", "replace")
            if self._token and held and held != self._token:
                raise Overtaken(f"a newer call works on {self.name}; this one has stopped")
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
