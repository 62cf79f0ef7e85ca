"""Hosts leave and enter traffic at a real HAProxy, under requests that leave on schedule whether or not answers
came."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import OWN
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import (
    drain,
    min_in_traffic,
    runtime_api,
    smoke_test,
)
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Socket

from tests.services import balancer
from tests.services.history import free_port, needs

RATE = 80
"""Requests a second."""

# An application that takes a moment for each request, and drops everything when it is told to end.
APPLICATION = """
import http.server, signal, sys, os, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep({"/readyz": 0, "/long": 2}.get(self.path, 0.08))
        while self.path == "/slow" and not os.path.exists("answer-now"):
            time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@dataclasses.dataclass
class Fleet:
    """Two applications behind a balancer."""

    folder: pathlib.Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = dataclasses.field(default_factory=dict)

    @property
    def socket(self) -> Socket:
        return Socket(str(self.folder / "admin.sock"))

    def start(self, name: str) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, str(self.ports[name]), name], cwd=self.folder
        )

    def stop(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGTERM)
        self.processes[name].wait(10)

    def beside(self, folder: pathlib.Path) -> Fleet:
        """A second balancer of the same applications."""
        folder.mkdir()
        other = Fleet(folder, {**self.ports, "front_door": free_port()})
        other.configure()
        other.balance()
        return other

    def configure(self) -> None:
        """Write what roles/balancer would."""
        servers = {name: self.ports[name] for name in ("app1", "app2")}
        settings: dict[str, t.Any] = {"balancer_check_interval": "500ms", "balancer_rate_limit_requests": 100 * RATE}
        (self.folder / "haproxy.cfg").write_text(
            balancer.configuration(self.folder, self.ports["front_door"], servers, **settings)
        )

    def balance(self) -> None:
        """Start HAProxy, or reload it as systemd would: the new process takes the listening sockets over."""
        before = self.processes.get("haproxy")
        command = ["haproxy", "-W", "-f", str(self.folder / "haproxy.cfg")]
        if before is not None:
            before.send_signal(signal.SIGUSR2)
            time.sleep(1.5)
        else:
            self.processes["haproxy"] = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def move(self, name: str, state: str, timeout: float = 20) -> dict[str, t.Any]:
        rule = min_in_traffic.Rule(up_before=["app1", "app2"], balancer="lb1")
        (result,) = drain.move(self.socket, [name], drain.Wish("application", state, timeout, rule=rule))
        self.socket.save(str(self.folder / "server-state"))
        return result

    def states(self) -> dict[str, str]:
        return {server.name: server.state for server in self.socket.servers("application")}

    def wait_up(self) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(HaproxyError):
                if all(server.settled for server in self.socket.servers("application")):
                    return
            time.sleep(0.1)
        pytest.fail(f"the servers are not up: {self.socket.servers('application')}")


@pytest.fixture
def fleet(tmp_path: pathlib.Path) -> t.Iterator[Fleet]:
    needs("haproxy")
    made = Fleet(tmp_path, {name: free_port() for name in ("front_door", "app1", "app2")})
    made.configure()
    made.start("app1")
    made.start("app2")
    made.balance()
    try:
        made.wait_up()
        yield made
    finally:
        for process in made.processes.values():
            process.terminate()
        for process in made.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


class Load:
    """Requests on schedule; every second one over a connection that is kept, the others over a new one each.

    Half of them are users', half are Gradual's own: these reach the same servers through another backend."""

    def __init__(self, port: int) -> None:
        self._port, self._ended = port, threading.Event()
        self._kept = threading.local()
        self.answers: collections.Counter[str] = collections.Counter()
        self.own: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            began, number = time.monotonic(), 0
            while not self._ended.is_set():
                number += 1
                pool.submit(self._ask, number % 2 == 0, number % 4 < 2)
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))

    def _ask(self, keep: bool, own: bool) -> None:
        connection = getattr(self._kept, "connection", None) if keep else None
        connection = connection or http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=10, source_address=(balancer.FLEET, 0)
        )
        try:
            connection.request("GET", "/", headers=OWN if own else {})
            answer = connection.getresponse()
            said = answer.read().decode() if answer.status == 200 else "failed"
        except (OSError, http.client.HTTPException):
            said = "failed"
        if own:
            with self._lock:
                self.own[said] += 1
        if keep and said != "failed":
            self._kept.connection = connection
        else:
            connection.close()
        with self._lock:
            self.answers[said] += 1


def test_every_host_is_replaced_and_no_request_fails(fleet: Fleet) -> None:
    with Load(fleet.ports["front_door"]) as load:
        time.sleep(1)
        for name in ("app1", "app2"):
            drained = fleet.move(name, "drained")
            assert (drained["after"], drained["sessions"]) == ("maintenance", 0)
            fleet.stop(name)
            seen = load.answers[name]
            time.sleep(1)
            assert load.answers[name] == seen, "a host in maintenance was asked"
            fleet.start(name)
            assert fleet.move(name, "ready")["after"] == "ready"
            time.sleep(1)
            assert load.answers[name] > seen, "an admitted host was not asked"
    assert load.answers["failed"] == 0, load.answers
    assert load.answers.total() > 4 * RATE
    assert load.own.total() > RATE
    assert set(load.own) == {"app1", "app2"}


def test_a_drain_waits_for_requests_of_gradual_too(fleet: Fleet) -> None:
    """They come through another backend, whose servers track those that are drained; a measurement must not see a
    failure that is none."""
    answers = []

    def ask(server: str) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", fleet.ports["front_door"], timeout=10, source_address=(balancer.FLEET, 0)
        )
        connection.request("GET", "/long", headers={**OWN, "X-Gradual-Server": server})
        with contextlib.suppress(OSError, http.client.HTTPException):
            answers.append(connection.getresponse().read().decode())

    asking = threading.Thread(target=ask, args=("app1",))
    asking.start()
    time.sleep(0.5)
    drained = fleet.move("app1", "drained")
    fleet.stop("app1")
    asking.join()
    assert answers == ["app1"]
    assert (drained["sessions"], drained["seconds"] > 1) == (0, True)


def test_without_a_drain_requests_fail(fleet: Fleet) -> None:
    """The negative control of the test above."""
    with Load(fleet.ports["front_door"]) as load:
        time.sleep(1)
        fleet.stop("app1")
        time.sleep(1)
    assert load.answers["failed"] > 0, load.answers


def test_the_last_server_is_not_drained(fleet: Fleet) -> None:
    with Load(fleet.ports["front_door"]) as load:
        fleet.move("app2", "drained")
        fleet.stop("app2")
        for state in ("drained", "maintenance"):
            with pytest.raises(
                drain.NotEnough, match=r"lb1: app1 must stay in traffic: no other server is up, .*Seen: app2 MAINT"
            ):
                fleet.move("app1", state)
        time.sleep(0.5)
    assert fleet.states() == {"app1": "ready", "app2": "maintenance"}
    assert (load.answers["failed"], load.answers["app1"] > RATE / 2) == (0, True)


def test_without_the_rule_users_lose_their_last_server(fleet: Fleet) -> None:
    """The negative control of the test above."""
    fleet.move("app2", "drained")
    with Load(fleet.ports["front_door"]) as load:
        drain.move(fleet.socket, ["app1"], drain.Wish("application", "drained", rule=min_in_traffic.Rule(least=0)))
        time.sleep(0.5)
    assert load.answers["failed"] > 0


def test_a_server_whose_checks_fail_counts_for_nobody(fleet: Fleet) -> None:
    fleet.stop("app2")
    until = time.monotonic() + 10
    while fleet.states()["app2"] != "down" and time.monotonic() < until:
        time.sleep(0.1)
    with pytest.raises(drain.NotEnough, match=r"Seen: app2 DOWN \(L4CON\)"):
        fleet.move("app1", "drained")
    assert fleet.move("app2", "drained")["after"] == "maintenance", "who gets no users may go"


def admit(fleet: Fleet, text: str) -> str | None:
    """Admit app1, with a smoke test through the front door that wants this text; returns why it failed."""
    wish = drain.Wish("application", "ready", 20, rule=min_in_traffic.Rule(balancer="lb1"))
    results = drain.move(fleet.socket, ["app1"], wish)
    front_door = smoke_test.FrontDoor(f"http://shop.test:{fleet.ports['front_door']}", "127.0.0.1")
    try:
        smoke_test.smoke_test(
            fleet.socket, wish, results, front_door, [{"name": "page", "path": "/", "contains": text}]
        )
    except smoke_test.SmokeTestFailed as error:
        return str(error)
    return None


def test_an_admitted_server_that_fails_its_smoke_tests_gets_no_users(fleet: Fleet) -> None:
    configuration = fleet.folder / "haproxy.cfg"
    configuration.write_text(configuration.read_text().replace(balancer.FLEET, balancer.USER))
    fleet.balance()
    fleet.wait_up()
    failure = (
        f"lb1: app1 fails its smoke tests: 1 of 1 probes of http://shop.test:{fleet.ports['front_door']} failed:"
        ' page: contains is "app1" and not "other".'
    )
    fleet.move("app1", "maintenance")
    assert admit(fleet, "other") == f"{failure} It was admitted and is in maintenance again."
    assert fleet.states()["app1"] == "maintenance"
    assert admit(fleet, "app1") is None
    assert fleet.states()["app1"] == "ready"
    assert admit(fleet, "other") == failure, "it was in traffic before"
    assert fleet.states()["app1"] == "ready"


class Slow(Socket):
    """It takes its time between what it sees and what it does, so that another one may act in between."""

    def servers(self, backend: str) -> list[runtime_api.Server]:
        seen = super().servers(backend)
        time.sleep(0.4)
        return seen


class Heedless(Slow):
    @contextlib.contextmanager
    def alone(self) -> t.Iterator[None]:
        yield


@pytest.mark.parametrize(("kind", "left"), [(Slow, 1), (Heedless, 0)])
def test_two_at_once_do_not_take_both_servers(fleet: Fleet, kind: type[Slow], left: int) -> None:
    """Without the lock (the second case, a negative control) each sees the other one up, and both leave."""

    def leave(name: str) -> str:
        try:
            drain.move(kind(fleet.socket.path), [name], drain.Wish("application", "maintenance"))
        except drain.NotEnough:
            return "stays"
        return "left"

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(leave, ["app1", "app2"]))
    assert (done.count("stays"), list(fleet.states().values()).count("ready")) == (left, left)


# What a playbook does with one host on all balancers; its own sockets instead of one path on two machines.
PLAY = """
- hosts: app1
  gather_facts: false
  module_defaults:
    gradual.rollout.haproxy_server: {state_file: ""}
  vars:
    application: shop
    rollout_ledger_host: mon1
    rollout_ledger_path: "{{ folder }}/ledger"
    rollout_balancer_socket: "{{ hostvars[balancer].socket }}"
    rollout_backend: application
    rollout_min_in_traffic:
    rollout_front_door: http://shop.test
    rollout_front_door_ca:
    rollout_state: "{{ opened.rollout }}"
    release_drain_timeout_seconds: 1.5
  tasks:
    - gradual.rollout.haproxy_server_info:
        socket: "{{ hostvars[item].socket }}"
        backend: application
      loop: "{{ groups.balancer }}"
      register: seen
    - gradual.rollout.ledger:
        path: "{{ rollout_ledger_path }}"
        state: opened
        release: {application: shop, version: 2.0.0}
        servers: "{{ dict(groups.balancer | zip(seen.results | map(attribute='servers'))) | gradual.rollout.servers_on_balancers }}"
      register: opened
    - ansible.builtin.include_role:
        name: release
        tasks_from: set_traffic
      vars:
        release_server_state: drained
        release_server_event: host.drained
"""


def play(first: Fleet, second: Fleet) -> subprocess.CompletedProcess[str]:
    """Drain app1 on both balancers, as roles/release does it."""
    hosts: dict[str, t.Any] = {
        "balancer": {"hosts": {
            f"lb{number}": {"socket": each.socket.path, "host_address": "127.0.0.1"}
            for number, each in ((1, first), (2, second))
        }},
        "application": {"hosts": {"app1": {}, "app2": {}}}, "ledger": {"hosts": {"mon1": {}}},
    }  # fmt: skip
    shared = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "folder": str(first.folder),
    }
    (first.folder / "hosts.json").write_text(json.dumps({"all": {"children": hosts, "vars": shared}}))
    (first.folder / "play.yml").write_text(PLAY)
    home = pathlib.Path(__file__).parents[2]
    command = [
        str(pathlib.Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        str(first.folder / "hosts.json"),
        str(first.folder / "play.yml"),
    ]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def test_all_balancers_agree_before_the_first_one_drains(fleet: Fleet, tmp_path: pathlib.Path) -> None:
    other = fleet.beside(tmp_path / "second")
    try:
        other.wait_up()
        # One of them has no other server for its users: it is asked, and nothing is drained anywhere.
        drain.move(other.socket, ["app2"], drain.Wish("application", "maintenance"))
        with Load(fleet.ports["front_door"]) as load, Load(other.ports["front_door"]) as load_of_other:
            done = play(fleet, other)
        assert done.returncode != 0
        assert "lb2: app1 must stay in traffic: no other server is up" in " ".join(
            done.stdout.split() + done.stderr.split()
        ), done.stdout + done.stderr
        assert "(item=lb1)" in done.stdout
        assert "changed: [app1 -> lb1] => (item=lb1)" not in done.stdout
        assert (
            fleet.states()["app1"],
            other.states()["app1"],
            load.answers["failed"],
            load_of_other.answers["failed"],
        ) == ("ready", "ready", 0, 0)

        # Both could do without it, but a request that does not end keeps it on one of them: the other one takes it
        # back.
        drain.move(other.socket, ["app2"], drain.Wish("application", "ready"))
        # A server that has just come back may get two requests in a row.
        waiting = [http.client.HTTPConnection("127.0.0.1", other.ports["front_door"]) for _ in range(4)]
        for connection in waiting:
            connection.request("GET", "/slow")
        done = play(fleet, other)
        (tmp_path / "answer-now").touch()
        assert {connection.getresponse().read() for connection in waiting} == {b"app1", b"app2"}
        assert done.returncode != 0
        assert re.search(r"still has [1-4] requests under way", " ".join(done.stdout.split())), (
            done.stdout + done.stderr
        )
        assert "changed: [app1 -> lb1] => (item=lb1)" in done.stdout
        assert (fleet.states()["app1"], other.states()["app1"]) == ("ready", "ready")

        # Nothing speaks against it any more.
        done = play(fleet, other)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (fleet.states()["app1"], other.states()["app1"]) == ("maintenance", "maintenance")
    finally:
        for process in other.processes.values():
            process.terminate()
            process.wait(5)


def test_a_reload_forgets_nothing(fleet: Fleet) -> None:
    fleet.move("app1", "drained")
    fleet.balance()
    assert fleet.states() == {"app1": "maintenance", "app2": "ready"}
    fleet.move("app1", "ready")
    fleet.balance()
    fleet.wait_up()


def test_a_reload_forgets_what_was_not_saved(fleet: Fleet) -> None:
    """The negative control of the test above."""
    fleet.move("app1", "drained")
    (fleet.folder / "server-state").unlink()
    fleet.balance()
    assert fleet.states()["app1"] == "ready"


def test_a_host_that_does_not_come_up_is_told(fleet: Fleet) -> None:
    fleet.move("app1", "drained")
    fleet.stop("app1")
    with pytest.raises(drain.NotInTime, match=r"application/app1 is not up after 3 s: .*its check says L4CON"):
        fleet.move("app1", "ready", timeout=3)


def test_the_socket_is_where_it_should_be(fleet: Fleet) -> None:
    shutil.move(fleet.folder / "admin.sock", fleet.folder / "elsewhere.sock")
    with pytest.raises(HaproxyError, match="is not there; start haproxy"):
        fleet.move("app1", "ready")
