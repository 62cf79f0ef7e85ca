# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One process of the release's environment for many steps: it loads the migration tool once, and a copy of it (fork)
does each step. So a step begins as in a fresh process, without the time to load everything again.

The process does its first step with the arguments that it was started with. It reads each further step from its
standard input as a line of JSON, {words, environment: what is other than for the first one}, and writes the exit status
of each step as a line to the descriptor GRADUAL_STATUS. Where it does a step itself (a thread runs in it, so a copy
would lack something), its own exit status is that of the step, and the next step gets a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from typing import IO, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Command
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import credentials, die_with_parent

# The program's part, in front of a hook. serve() returns in the copy that is to do a step.
PROGRAM = """
import ctypes, json, os, sys, threading
_libc = ctypes.CDLL(None)

def serve():
    status = int(os.environ.pop("GRADUAL_STATUS"))
    if threading.active_count() > 1:
        return
    task = None
    server = os.getpid()
    while True:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            break
        ended = os.waitpid(child, 0)[1]
        code = -os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)
        os.write(status, b"%d\\n" % code)
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        task = json.loads(line)
    _libc.prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM: the copy ends with this process
    if os.getppid() != server:
        os._exit(1)
    os.close(status)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if task is not None:
        os.environ.update(task["environment"])
        sys.argv[1:] = task["words"]
"""
_PAUSE = 0.005


class Worker:
    """The process, started with its first step. hook: how many of argv are not the words of the step."""

    def __init__(self, command: Command, variables: Mapping[str, str], user: str | None) -> None:
        self.argv, self.folder, self.user = command.argv[: command.hook], command.folder, user
        self.variables = dict(variables)
        self.ending = False
        self.printed: IO[bytes] = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 (it lives as long as the process)
        self.statuses, writing = os.pipe()
        try:
            self.process = subprocess.Popen(
                command.argv,
                cwd=command.folder,
                env={**variables, "GRADUAL_STATUS": str(writing)},
                stdin=subprocess.PIPE,
                stdout=self.printed,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                preexec_fn=die_with_parent,  # noqa: PLW1509 (a module has no threads)
                **credentials(user),
            )
        except OSError:
            os.close(self.statuses)
            self.printed.close()
            raise
        finally:
            os.close(writing)

    def fits(self, command: Command, user: str | None) -> bool:
        """Whether it waits for a step of this kind."""
        same = (command.argv[: command.hook], command.folder, user) == (self.argv, self.folder, self.user)
        return same and not self.ending and self.process.poll() is None

    def give(self, command: Command, variables: Mapping[str, str]) -> None:
        other = {name: value for name, value in variables.items() if self.variables.get(name) != value}
        task = {"words": command.argv[command.hook :], "environment": other}
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.statuses)
        self.printed.close()


class Step:
    """One step of a worker, to be watched and ended like a process of its own."""

    def __init__(self, worker: Worker, begin: int) -> None:
        self.worker, self.begin = worker, begin
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            if select.select([self.worker.statuses], [], [], 0)[0]:
                line = os.read(self.worker.statuses, 100).strip()
                self.returncode = int(line) if line else self.worker.process.wait()
            else:
                self.returncode = self.worker.process.poll()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.worker.argv, timeout or 0)
            time.sleep(_PAUSE)
        return self.returncode or 0

    def terminate(self) -> None:
        """Ends the worker too, and the copy with it."""
        self.worker.ending = True
        self.worker.process.terminate()

    def kill(self) -> None:
        self.worker.ending = True
        self.worker.process.kill()

    def output(self) -> bytes:
        size = os.fstat(self.worker.printed.fileno()).st_size
        return os.pread(self.worker.printed.fileno(), size - self.begin, self.begin)


class Workers:
    """The worker of a run, if its tool has one."""

    def __init__(self) -> None:
        self.worker: Worker | None = None

    def start(self, command: Command, variables: Mapping[str, str], user: str | None) -> Step:
        if self.worker is not None and not self.worker.fits(command, user):
            self.close()
        if self.worker is None:
            self.worker = Worker(command, variables, user)
            return Step(self.worker, 0)
        begin = os.fstat(self.worker.printed.fileno()).st_size
        try:
            self.worker.give(command, variables)
        except BrokenPipeError:
            # It was killed while it waited, so it has not begun the step.
            self.close()
            return self.start(command, variables, user)
        return Step(self.worker, begin)

    def close(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.close()
