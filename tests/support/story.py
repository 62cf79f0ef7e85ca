"""A failure story on the fleet: load runs, a playbook is launched, a fault strikes at its moment, everything is kept.

    with Story("does-not-start") as story:
        story.begin_load()
        story.play("deploy.yml", "-e", "@releases/epic21.yml")

leaves in .gradual/stories/does-not-start/: story.json (what was done, when, with which exit status, and the fleet
before and after), load.json, ledger.jsonl, reports/, and a folder of ansible-runner events for each playbook.
What must be seen of it stands in the scenario's tests, not here.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from . import fleet, prepare
from .users import USUAL, Users
from .waiting import HANGS

STORIES = fleet.HOME / ".gradual" / "stories"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class Play:
    """One playbook as AWX runs it: through ansible-runner, its events kept in `folder`."""

    def __init__(
        self, folder: Path, playbook: str, arguments: list[str], *, verbosity: int = 0, venv: str = ".venv"
    ) -> None:
        self.folder, self.playbook, self.arguments = folder, playbook, arguments
        self.began, self.started = time.monotonic(), now()
        folder.mkdir(parents=True)
        command = [
            str(fleet.binaries(venv) / "ansible-runner"),
            "run",
            str(folder),
            "--project-dir",
            str(fleet.HOME),
            "--inventory",
            str(fleet.HOME / "inventories" / "sandbox"),
            "--playbook",
            playbook,
            "--ident",
            "events",
            "--artifact-dir",
            str(folder),
            "--cmdline",
            shlex.join(arguments),
        ]
        if verbosity:
            command.append("-" + "v" * verbosity)
        self._screen = (folder / "screen.txt").open("w")
        # SSH connections of its own: those of an earlier run may lead to a host that is no more.
        self._connections = tempfile.TemporaryDirectory(prefix="gradual-ssh-")
        environment = {**fleet.clean_environment(venv), "ANSIBLE_SSH_CONTROL_PATH_DIR": self._connections.name}
        self._process = subprocess.Popen(
            command,
            cwd=fleet.HOME,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout: float = HANGS) -> dict[str, Any]:
        """What is kept of the run once it is over."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.playbook} was not over after {timeout:.0f} s; its screen: {self.folder}/screen.txt"
            ) from None
        finally:
            self._close()
        status = self.folder / "events" / "rc"
        return {
            "playbook": self.playbook,
            "arguments": self.arguments,
            "started": self.started,
            "ended": now(),
            "seconds": round(time.monotonic() - self.began, 1),
            "folder": os.path.relpath(self.folder, fleet.HOME),
            # ansible-runner tells ansible-playbook's own status; its command line tells only 0 or not.
            "status": int(status.read_text()) if status.exists() else self._process.returncode,
        }

    def _close(self) -> None:
        self._screen.close()
        for socket in Path(self._connections.name).glob("*"):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "controller"], capture_output=True, check=False
            )
        self._connections.cleanup()

    def kill(self) -> None:
        """Kill -9 the run and everything it started, at once: a controller that loses its power."""
        for pid in [self._process.pid, *descendants(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        self._close()


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of theirs."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in children for found in (child, *descendants(child))]


class Events:
    """Follows the ledger file on its host and calls back for every new line, as it is written."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._before = fleet.ledger().count(b"\n")
        self._closed = False
        self._tail = self._follow()
        threading.Thread(target=self._read, daemon=True).start()

    def _follow(self) -> subprocess.Popen[str]:
        """Reads on after the lines that are known; the file may not be there yet."""
        wanted = f"+{self._before + len(self.seen) + 1}"
        return subprocess.Popen(
            fleet.podman(
                "exec",
                fleet.container("mon1"),
                "tail",
                "--lines",
                wanted,
                "--follow=name",
                "--retry",
                "--sleep-interval",
                "0.1",
                f"{fleet.LEDGER}/ledger.jsonl",
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _read(self) -> None:
        while not self._closed:
            assert self._tail.stdout is not None
            for line in self._tail.stdout:
                with contextlib.suppress(ValueError), self._news:
                    self.seen.append(json.loads(line))
                    self._news.notify_all()
            if not self._closed:  # the connection into the container ended: take up where it did
                time.sleep(0.5)
                self._tail = self._follow()

    def last(self, event: str) -> dict[str, Any]:
        """The newest event of this name that was written while the story runs."""
        with self._news:
            return next(line for line in reversed(self.seen) if line["event"] == event)

    def wait(
        self, wanted: Callable[[dict[str, Any]], bool], give_up: Callable[[], bool], timeout: float
    ) -> dict[str, Any] | None:
        """The first event that is wanted; None when the time is over or there is no more to come."""
        until, at = time.monotonic() + timeout, 0
        with self._news:
            while True:
                for event in self.seen[at:]:
                    at += 1
                    if wanted(event):
                        return event
                if time.monotonic() > until or give_up():
                    return None
                self._news.wait(0.5)

    def close(self) -> None:
        self._closed = True
        self._tail.terminate()
        self._tail.wait(10)


class Story:
    """What is done to the fleet in one story, and the record of it."""

    def __init__(self, name: str, begins: str = "1.0.0") -> None:
        self.name, self.begins = name, begins
        self.directory = STORIES / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.record: dict[str, Any] = {"story": name, "fleet": fleet.NAME, "plays": [], "faults": [], "snapshots": {}}
        self._load: Users | None = None
        self._plays: list[Play] = []
        self._lost: set[str] = set()
        self._stopped: set[tuple[str, str]] = set()

    def __enter__(self) -> Story:
        with self.measured("prepared_seconds"):
            self._prepare()
        self.record["started"], self._began = now(), time.monotonic()
        self.snapshot("before")
        self._ledger_from = self.record["snapshots"]["before"]["ledger"]["bytes"]
        self.events = Events()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._load is not None:
                self.end_load()
        finally:
            for play in self._plays:
                if not play.over:
                    play.kill()
            self.events.close()
            for host in sorted(self._lost):
                self.mend(host)
            self._keep()
            for host, unit in sorted(self._stopped):
                self.service("start", host, unit)

    def _prepare(self) -> None:
        """Bring the fleet to where the story begins: 1.0.0 on every host, or 2.0.0 at the end of its rollout."""

        def deploy(arguments: list[str]) -> None:
            play = Play(
                self.directory / f"prepare-{arguments[1].removeprefix('@releases/').removesuffix('.yml')}",
                "deploy.yml",
                arguments,
            )
            done = play.wait()
            assert done["status"] == 0, (
                f"deploy.yml {' '.join(arguments)} ended with {done['status']}; its screen: {play.folder}/screen.txt"
            )

        prepare.to(self.begins, deploy, self.directory / "prepare")

    # --- load ---------------------------------------------------------------------------------------------------

    def begin_load(self, rate: float = USUAL) -> None:
        """Start the open-model load and return once its first requests are answered."""
        self._load = Users(self.directory, rate)

    def end_load(self) -> dict[str, Any]:
        """Stop sending, wait for the answers under way, return the load's record."""
        assert self._load is not None
        users, self._load = self._load, None
        return users.stop()

    # --- playbooks and faults -----------------------------------------------------------------------------------

    def launch(self, playbook: str, *arguments: str, verbosity: int = 0, venv: str = ".venv") -> Play:
        """Start a playbook and return at once."""
        folder = self.directory / f"{len(self._plays) + 1}-{Path(playbook).stem}"
        play = Play(folder, playbook, list(arguments), verbosity=verbosity, venv=venv)
        self._plays.append(play)
        return play

    def finish(self, play: Play) -> int:
        """Wait for the end of a playbook and record it; its exit status."""
        done = play.wait()
        self.record["plays"].append(done)
        self.record["plays"].sort(
            key=lambda kept: int(Path(kept["folder"]).name.split("-")[0])
        )  # as they were launched
        return int(done["status"])

    def play(self, playbook: str, *arguments: str, verbosity: int = 0, venv: str = ".venv") -> int:
        """Run a playbook to its end; its exit status."""
        return self.finish(self.launch(playbook, *arguments, verbosity=verbosity, venv=venv))

    def wait_for(self, play: Play, event: str, timeout: float = HANGS, **data: Any) -> dict[str, Any]:
        """The first ledger event of this name that carries this data, written while the playbook runs."""

        def wanted(line: dict[str, Any]) -> bool:
            return line["event"] == event and all(line["data"].get(key) == value for key, value in data.items())

        found = self.events.wait(wanted, lambda: play.over, timeout)
        if found is None:
            raise AssertionError(
                f"{play.playbook} never wrote {event} {data or ''}; its screen: {play.folder}/screen.txt"
            )
        return found

    def fault(self, verb: str, host: str) -> None:
        """Do something bad to a host, or undo it, and write down when."""
        self.record["faults"].append({"verb": verb, "host": host, "at": now()})
        fleet.fleet(verb, host)
        {
            "kill": self._lost.add,
            "stop": self._lost.add,
            "pause": self._lost.add,
            "disconnect": self._lost.add,
            "start": self._lost.discard,
            "unpause": self._lost.discard,
            "connect": self._lost.discard,
        }[verb](host)

    def service(self, verb: str, host: str, unit: str) -> None:
        """Stop or start one service of a host, and write down when; what is still stopped at the end is started
        again."""
        self.record["faults"].append({"verb": verb, "host": host, "unit": unit, "at": now()})
        fleet.execute(host, "systemctl", verb, unit)
        {"stop": self._stopped.add, "start": self._stopped.discard}[verb]((host, unit))

    def mend(self, host: str) -> None:
        """Bring a lost host back, whatever was done to it."""
        undo = {"kill": "start", "stop": "start", "pause": "unpause", "disconnect": "connect"}
        last = next(fault["verb"] for fault in reversed(self.record["faults"]) if fault["host"] == host)
        self.fault(undo[last], host)

    # --- what is kept -------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> dict[str, Any]:
        """Keep what a rollout can change, of all hosts that are there."""
        hosts = [host for host in fleet.HOSTS if host not in self._lost]
        self.record["snapshots"][name] = fleet.snapshot(hosts)
        return dict(self.record["snapshots"][name])

    def note(self, key: str, value: Any) -> None:
        """Keep a finding of the story for its tests."""
        self.record[key] = value

    @contextlib.contextmanager
    def measured(self, key: str) -> Iterator[None]:
        """Keep how many seconds something took."""
        began = time.monotonic()
        yield
        self.note(key, round(time.monotonic() - began, 1))

    def _keep(self) -> None:
        self.snapshot("after")
        content = fleet.ledger()
        (self.directory / "ledger.jsonl").write_bytes(content)
        self.record["ledger_from"] = self._ledger_from
        rollouts = {line["rollout"] for line in fleet.events(content[self._ledger_from :])}
        for rollout in sorted(rollouts):
            target = self.directory / "reports" / rollout
            target.mkdir(parents=True)
            with contextlib.suppress(subprocess.CalledProcessError):  # the tests say whether a report is wanted
                fleet.copy_from("mon1", f"{fleet.LEDGER}/reports/{rollout}/.", target)
        self.record.update(ended=now(), seconds=round(time.monotonic() - self._began, 1))
        (self.directory / "story.json").write_text(json.dumps(self.record, indent=1) + "\n")
