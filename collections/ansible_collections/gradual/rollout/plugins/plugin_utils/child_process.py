# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs something in a process of its own while the worker of a task goes on: one module beside another, or the same
module on many hosts at once.

A process and not a thread: connections, templates and locks of Ansible are made for one thread, and a process with all
that it started can be ended at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Mapping

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.gradual.rollout.plugins.plugin_utils.lease_renewal import become_quiet, parent_of

Result = dict[str, Any]
# Seconds that it gets to end by itself before it is killed, and between two looks at whether the run is still there.
PATIENCE, WATCH = 1.0, 0.5


class Beside:
    """What runs beside the worker, from now on; it ends with the run unless it `outlives` it.

    name: the host that is named when its connection fails."""

    def __init__(self, name: str, work: Callable[[], Result], outlives: bool = False) -> None:
        self.name = name
        self._result: Result | None = None
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, it is closed by end()
        worker, playbook = os.getpid(), parent_of(os.getpid())
        self._process = os.fork()
        if self._process == 0:
            try:
                os.setpgid(0, 0)
                become_quiet()
                signal.signal(signal.SIGTERM, lambda *_arguments: sys.exit(1))
                if not outlives:
                    _end_with(worker, playbook)
                self._file.write(json.dumps(outcome(name, work), default=str).encode())
                self._file.flush()
            finally:
                os._exit(0)
        with contextlib.suppress(OSError):  # the child does it too, whichever comes first
            os.setpgid(self._process, self._process)

    def result(self) -> Result | None:
        """The result, or None as long as there is none; never waits."""
        if self._result is None and os.waitpid(self._process, os.WNOHANG)[0]:
            self._result = self._read()
        return self._result

    def end(self) -> None:
        """End it with all that it started; what it did on its host by then stays done."""
        if self._result is None:
            self._signal(signal.SIGTERM)  # the connection cleans up after itself, a password in shared memory too
            until = time.monotonic() + PATIENCE
            while not (ended := os.waitpid(self._process, os.WNOHANG)[0]) and time.monotonic() < until:
                time.sleep(0.02)
            if not ended:
                self._signal(signal.SIGKILL)
                os.waitpid(self._process, 0)
            self._result = {"failed": True, "msg": f"ended on {self.name} before it was done"}
        self._file.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process, number)

    def _read(self) -> Result:
        self._file.seek(0)
        try:
            return Result(json.loads(self._file.read()))
        except ValueError:
            return {"failed": True, "msg": f"the process that ran it on {self.name} died"}


class Everywhere:
    """The same on many hosts, at most `at_once` at a time. A host that is not done within `seconds` is lost, and delays
    no other.

    works: what to run, by the host that it concerns. outlives: as for Beside."""

    def __init__(
        self, works: Mapping[str, Callable[[], Result]], at_once: int, seconds: float, outlives: bool = False
    ) -> None:
        self._waiting, self._at_once, self._seconds = list(works.items()), max(1, at_once), seconds
        self._outlives = outlives
        self._running: dict[str, tuple[Beside, float]] = {}
        self._results: dict[str, Result] = {}
        self.result()

    def result(self) -> dict[str, Result] | None:
        """The results by host, or None as long as one is missing; never waits."""
        while self._waiting and len(self._running) < self._at_once:
            name, work = self._waiting.pop(0)
            self._running[name] = Beside(name, work, self._outlives), time.monotonic() + self._seconds
        for name, (job, until) in list(self._running.items()):
            result = job.result()
            if result is None and time.monotonic() > until:
                result = self._late(name)
            if result is not None:
                self._results[name] = result
                self._running.pop(name)[0].end()
        return None if self._waiting or self._running else self._results

    @property
    def ended(self) -> Mapping[str, Result]:
        """The results so far, by host in the order in which they came."""
        return self._results

    def end(self) -> None:
        """End what still runs, and begin nothing more."""
        self._waiting = []
        for job, _until in self._running.values():
            job.end()

    def _late(self, name: str) -> Result:
        return {"failed": True, "lost_host": name, "msg": f"Host {name} did not answer within {self._seconds:.0f} s"}


def _end_with(worker: int, playbook: int) -> None:
    """In the child: end when the worker or ansible-playbook does, however these end."""

    def watch() -> None:
        while os.getppid() == worker and parent_of(worker) == playbook:
            time.sleep(WATCH)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def outcome(name: str, work: Callable[[], Result]) -> Result:
    """What the work on this host returns; a connection that fails or any other error is a result that says so."""
    try:
        result = work()
        if result.get("unreachable"):
            raise AnsibleConnectionFailure(str(result.get("msg", "")))
        return result
    except AnsibleConnectionFailure as error:
        return {"failed": True, "lost_host": name, "msg": f"Host {name} was lost. {' '.join(str(error).split())}"}
    except Exception as error:
        return {"failed": True, "msg": f"{name}: {error}"}
