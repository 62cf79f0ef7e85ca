# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renews the lease of a run while one of its modules runs, whatever that is and however long it takes.

Whether a run holds a lease, of which ledger and on which host, stands in a note in the run's own temporary directory;
its time is that of the last renewal. So all workers of a run know it, and one of them renews for all. The renewing is
done by a child of the worker: the worker itself is blocked until its module returns, and a child shares no lock,
connection or variable with it. It ends with the worker, and once ansible-playbook is dead nothing renews the lease any
more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import signal
import time
from types import TracebackType
from typing import Any, Callable, Mapping

from ansible.utils.display import Display
from ansible_collections.gradual.rollout.plugins.module_utils.common import files

NOTE = "gradual.lease"
# Renewed so many seconds after the last time, and no sooner than after so many seconds of one module: a short step
# costs no connection.
EVERY = 30.0
PATIENCE = 10.0
# After a renewal that failed because the ledger's host could not be reached or its disk not written.
AGAIN = 5.0
PAUSE = 0.5

Renew = Callable[[Mapping[str, str]], Mapping[str, Any]]


def note_path(directory: str) -> str:
    """Where the note is; directory: the temporary directory of the run (the controller's, which Ansible makes for each
    run)."""
    return os.path.join(directory, NOTE)


def held(directory: str) -> dict[str, str] | None:
    """{host, path, holder} of the lease that this run holds, as far as it knows; None when it holds none."""
    try:
        with open(note_path(directory), encoding="utf-8") as stream:
            note = json.load(stream)
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def remember(directory: str, note: Mapping[str, str]) -> None:
    """The lease of this note has just been taken or renewed."""
    with contextlib.suppress(OSError):
        files.replace(note_path(directory), json.dumps(dict(note)), durable=False)


def forget(directory: str) -> None:
    """This run holds no lease any more."""
    with contextlib.suppress(OSError):
        os.unlink(note_path(directory))


class Keeper:
    """with Keeper(directory, renew) as kept: …; kept.lost then tells by what message the lease was lost meanwhile, else
    it is None.

    renew(note) does it once and returns the result of the module `ledger`."""

    def __init__(self, directory: str, renew: Renew) -> None:
        self.lost: str | None = None
        self._directory, self._renew = directory, renew
        self._child, self._reader = 0, -1

    def __enter__(self) -> Keeper:
        if held(self._directory) is None:
            return self
        self._reader, writer = os.pipe()
        worker, playbook = os.getpid(), parent_of(os.getpid())
        try:
            self._child = os.fork()
        except OSError:  # no process can be made: the module runs without renewals
            os.close(writer)
            return self
        if self._child == 0:
            try:
                os.close(self._reader)
                become_quiet()
                self._keep(writer, lambda: os.getppid() == worker and parent_of(worker) == playbook)
            finally:
                os._exit(0)
        os.close(writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            self.look()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._child, 0)
            self._child = 0
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def look(self) -> str | None:
        """See, without waiting, whether the lease has been lost."""
        if self._reader >= 0 and self.lost is None:
            os.set_blocking(self._reader, False)
            with contextlib.suppress(BlockingIOError):
                self.lost = os.read(self._reader, 4096).decode("utf-8", "replace") or None
        return self.lost

    def _keep(self, writer: int, wanted: Callable[[], bool]) -> None:
        began, not_before = time.monotonic(), 0.0
        while wanted():
            time.sleep(PAUSE)
            now = time.monotonic()
            if now - began < PATIENCE or now < not_before or not _due(note_path(self._directory)):
                continue
            result = self._once()
            if result is None:
                continue
            if isinstance(result.get("lease"), dict):
                os.write(writer, str(result.get("msg"))[:4000].encode())
                return
            if result.get("failed") or result.get("unreachable"):
                not_before = time.monotonic() + AGAIN

    def _once(self) -> Mapping[str, Any] | None:
        """Renew, unless another worker of this run is doing so or no lease is held any more: None."""
        path = note_path(self._directory)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            note = held(self._directory)
            if note is None or not _due(path):
                return None
            try:
                result = self._renew(note)
            except Exception as error:  # whatever it was, it is tried again
                return {"failed": True, "msg": str(error)}
            if not result.get("failed") and not result.get("unreachable"):
                with contextlib.suppress(OSError):
                    os.utime(path)
            return result
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)


def _due(path: str) -> bool:
    """Whether the last renewal is old; a clock that was set back makes it so, too."""
    try:
        return not 0 <= time.time() - os.stat(path).st_mtime < EVERY
    except OSError:
        return False


def parent_of(pid: int) -> int:
    """The parent of a process now; 0 when there is no such process. Where /proc is missing, whether ansible-playbook is
    there at all."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return int(stream.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        parent = multiprocessing.parent_process()
        return parent.pid or 0 if parent and parent.is_alive() and not os.path.exists("/proc/self/stat") else 0


class _Nobody:
    """Takes what is to be shown, and shows nothing: a child that is killed while it writes into the run's own queue
    would stop the run."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_arguments, **_options: None


def become_quiet() -> None:
    """In the child: the worker's signals and its way to the screen are not the child's."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    Display()._final_q = _Nobody()  # type: ignore[assignment]
