"""What HAProxy keeps of its servers over a reload, and what it takes from a configuration that has changed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import (
    HaproxyError,
    Socket,
    parse_state,
)

from tests.services.history import free_port, needs

SCRIPT = pathlib.Path(__file__).parents[2] / "roles/balancer/files/server_state.py"
CONFIGURATION = """
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    server-state-file {folder}/server-state
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend front_door
    bind 127.0.0.1:{front_door}
    default_backend application
backend application
    load-server-state-from-file global
{servers}
backend other
    load-server-state-from-file global
    server app1 127.0.0.1:9
"""
BEFORE = {
    "app1": "127.0.0.1:8081",
    "app2": "127.0.0.1:8082",
    "app3": "127.0.0.1:8083",
    "app4": "127.0.0.1:8084",
    "app5": "127.0.0.1:8085",
}
# app1 and app2 have another port, app3 another address, app4 is called app9, app5 is gone.
AFTER = {"app1": "127.0.0.1:9081", "app2": "127.0.0.1:9082", "app3": "127.0.0.3:8083", "app9": "127.0.0.1:8084"}
DRAINED = {"app2", "app3", "app4"}
WANTED = {
    "app1": "127.0.0.1:9081 ready",
    "app2": "127.0.0.1:9082 drained",
    "app3": "127.0.0.3:8083 drained",
    "app9": "127.0.0.1:8084 ready",
}


class Balancer:
    """A HAProxy of the test's own, reloaded and started as its unit does it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.port = folder, free_port()
        self.socket = Socket(str(folder / "admin.sock"))
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, servers: dict[str, str]) -> None:
        lines = "\n".join(f"    server {name} {address}" for name, address in servers.items())
        (self.folder / "haproxy.cfg").write_text(
            CONFIGURATION.format(folder=self.folder, front_door=self.port, servers=lines)
        )

    def script(self, verb: str) -> subprocess.CompletedProcess[str]:
        paths = {
            "CONFIG": str(self.folder / "haproxy.cfg"),
            "STATE": str(self.folder / "server-state"),
            "SOCKET": str(self.folder / "admin.sock"),
        }
        return subprocess.run(
            [sys.executable, SCRIPT, verb], env=os.environ | paths, capture_output=True, text=True, check=False
        )

    def start(self) -> None:
        with (self.folder / "haproxy.log").open("ab") as log:
            command = ["haproxy", "-W", "-f", str(self.folder / "haproxy.cfg")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        assert self.answered(0, 20), f"haproxy does not answer: {(self.folder / 'haproxy.log').read_text()}"

    def reload(self) -> None:
        assert self.process is not None
        before, until = self.pid(), time.monotonic() + 30
        while time.monotonic() < until:
            # A master that has just started drops the signal.
            self.process.send_signal(signal.SIGUSR2)
            if self.answered(before, 3):
                return
        pytest.fail(f"haproxy has not reloaded: {(self.folder / 'haproxy.log').read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def pid(self) -> int:
        return int(
            next(line for line in self.socket.ask("show info").splitlines() if line.startswith("Pid:")).split()[1]
        )

    def answered(self, before: int, timeout: float) -> bool:
        """Whether a process other than the one before answers in time."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            with contextlib.suppress(HaproxyError, StopIteration):
                if self.pid() != before:
                    return True
            time.sleep(0.05)
        return False

    def seen(self) -> dict[str, str]:
        """Server → address, port and state, as the running process has them."""
        ports = {
            name: row["srv_port"]
            for name, row in parse_state(self.socket.ask("show servers state"), "application").items()
        }
        return {
            server.name: f"{server.address.split(':')[0]}:{ports[server.name]} {server.state}"
            for server in self.socket.servers("application")
        }


@pytest.fixture
def balancer(tmp_path: pathlib.Path) -> t.Iterator[Balancer]:
    needs("haproxy")
    made = Balancer(tmp_path)
    made.configure(BEFORE)
    made.start()
    for name in DRAINED:
        made.socket.set_state("application", name, "drain")
    yield made
    made.stop()


@pytest.mark.parametrize("way", ["reload", "restart", "start"])
def test_a_changed_configuration_is_taken_and_what_was_drained_stays_drained(balancer: Balancer, way: str) -> None:
    if way == "start":  # stopped before the configuration changed
        assert balancer.script("save").returncode == 0
        balancer.stop()
    balancer.configure(AFTER)
    if way == "start":
        assert balancer.script("mend").returncode == 0
    else:
        assert balancer.script("save").returncode == 0
    if way == "reload":
        balancer.reload()
    else:
        balancer.stop()
        balancer.start()
    assert balancer.seen() == WANTED
    assert parse_state(balancer.socket.ask("show servers state"), "other")["app1"]["srv_port"] == "9", (
        "a server of the same name elsewhere"
    )


def test_haproxy_by_itself_keeps_the_old_port(balancer: Balancer) -> None:
    """The negative control: why the file is mended."""
    balancer.socket.save(str(balancer.folder / "server-state"))
    balancer.configure(AFTER)
    balancer.reload()
    assert balancer.seen()["app1"] == "127.0.0.1:8081 ready"


def test_a_state_that_cannot_be_had_leaves_the_file_as_it_was(balancer: Balancer) -> None:
    state = balancer.folder / "server-state"
    assert balancer.script("save").returncode == 0
    kept = state.read_text()
    balancer.stop()
    assert balancer.script("save").returncode != 0
    assert state.read_text() == kept
    state.write_text("2\n# be_id another format\n4 application 1 app1\n")
    assert balancer.script("mend").returncode == 0
    assert state.read_text() == "2\n# be_id another format\n4 application 1 app1\n"
    state.unlink()
    assert balancer.script("mend").returncode == 0
    assert not state.exists()
    assert sorted(path.name for path in balancer.folder.iterdir() if "server-state" in path.name) == []
