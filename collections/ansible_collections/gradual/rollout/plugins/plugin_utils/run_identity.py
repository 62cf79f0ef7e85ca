# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who holds a lease, as a name: user@controller/mark:pid of ansible-playbook. And whether that one is still alive,
which only the same controller can tell."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import glob
import hashlib
import multiprocessing
import os
import re
import socket
import time
from typing import Iterator

NAME = re.compile(r"(?P<place>.+):(?P<pid>\d+)\Z", re.DOTALL)
LOCK = "gradual.lock"


def person() -> str:
    """user@controller, for people."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _place() -> str:
    """user@controller/mark: the mark tells this boot and this container from others of the same name."""
    seen = ""
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            seen = stream.read()
        seen += os.readlink("/proc/self/ns/pid")
    mark = hashlib.sha256(seen.encode()).hexdigest()[:6]
    return f"{person()}/{mark}"


def _own_pid() -> int:
    """ansible-playbook's, whichever of its workers asks."""
    parent = multiprocessing.parent_process()
    return (parent.pid if parent else None) or os.getpid()


def holder() -> str:
    """Name of this run of ansible-playbook."""
    return f"{_place()}:{_own_pid()}"


def orphaned() -> bool:
    """Whether ansible-playbook was killed while this worker of it still runs."""
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid


def is_dead(name: str) -> bool:
    """Whether the run of that name was on this controller and is certainly no more."""
    return _lives(name) is False


def is_alive(name: str) -> bool:
    """Whether the run of that name is on this controller and certainly at work."""
    return _lives(name) is True


def _lives(name: str) -> bool | None:
    """None when that cannot be known from here."""
    match = NAME.match(name)
    if match is None or match["place"] != _place():
        return None
    pid = int(match["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    command = _command(pid)
    return b"ansible" in command if command else None


@contextlib.contextmanager
def at_work(directory: str) -> Iterator[None]:
    """Around each step: a lock in the run's own temporary directory (the controller's, which Ansible names after the
    run)."""
    try:
        descriptor = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def has_stopped(name: str, directory: str, patience: float = 20.0, pause: float = 0.1) -> bool:
    """A run that was killed may leave a worker that still finishes its step: wait for it. False when it takes too long.

    directory: the temporary directory of this run, beside which that of the other one is."""
    pid = name.rpartition(":")[2]
    until = time.monotonic() + patience
    for path in glob.glob(os.path.join(os.path.dirname(directory), f"ansible-local-{pid}????????", LOCK)):
        with contextlib.suppress(OSError), open(path, "rb") as stream:
            while not _free(stream.fileno()):
                if time.monotonic() > until:
                    return False
                time.sleep(pause)
    return True


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except OSError:
        return b""
