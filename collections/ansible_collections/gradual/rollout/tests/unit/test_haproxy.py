# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Draining and admitting, against a balancer of the test's own; and what the runtime socket may say."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils import draining, haproxy
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import HaproxyError, Server
from hypothesis import given
from hypothesis import strategies as st

# As HAProxy 2.6.12 says them; the columns that nobody reads are left out.
STAT = """# pxname,svname,qcur,scur,status,check_status,addr,used_conn_cur,idle_conn_cur,
front,FRONTEND,,3,OPEN,,,,,
application,app1,0,2,UP,L7OK,10.0.0.11:8080,1,2,
application,app2,1,3,UP 1/2,L4OK,10.0.0.12:8080,3,0,
application,app3,0,0,MAINT,,10.0.0.13:8080,0,0,
application,app4,0,1,DRAIN,L7OK,10.0.0.14:8080,0,0,
application,app5,0,0,DOWN,L4CON,10.0.0.15:8080,0,0,
application,BACKEND,0,5,UP,,,,,
"""
STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 application 1 app1 10.0.0.11 2 0 1
3 application 2 app2 10.0.0.12 2 0 1
3 application 3 app3 10.0.0.13 0 1 1
3 application 4 app4 10.0.0.14 2 8 1
3 application 5 app5 10.0.0.15 0 0 1
4 other 1 app1 10.0.0.11 0 1 1
"""


def server(state: str = "ready", sessions: int = 0, status: str = "") -> Server:
    words = {"ready": "UP", "down": "DOWN", "drained": "DRAIN", "maintenance": "MAINT"}
    return Server("app1", state, status or words[state], "L7OK", sessions, 0, "10.0.0.11:8080")


def test_servers_are_read_from_both_tables() -> None:
    found = {entry.name: (entry.state, entry.status, entry.sessions, entry.connections, entry.settled) for entry in haproxy.servers(STAT, STATE, "application")}
    assert found == {
        "app1": ("ready", "UP", 2, 3, True),
        "app2": ("ready", "UP 1/2", 4, 3, False),
        "app3": ("maintenance", "MAINT", 0, 0, False),
        "app4": ("drained", "DRAIN", 1, 0, False),
        "app5": ("down", "DOWN", 0, 0, False),
    }


@pytest.mark.parametrize(
    ("stat", "state", "wrong"),
    [
        ("Permission denied\n", STATE, "answered `show stat` with 'Permission denied'"),
        ("", STATE, "answered `show stat` with nothing"),
        (STAT, "Unknown command.", "answered `show servers state` with 'Unknown command.'"),
        (STAT, "", "answered `show servers state` with nothing"),
        (STAT.replace("application", "web"), STATE, "the balancer has no 'application'; write one of web"),
    ],
)
def test_other_answers_are_told(stat: str, state: str, wrong: str) -> None:
    with pytest.raises(HaproxyError, match=wrong):
        haproxy.servers(stat, state, "application")


@given(st.text(), st.text())
def test_no_answer_breaks_the_reading(stat: str, state: str) -> None:
    for one, two in ((stat, state), (STAT + stat, STATE), (STAT, STATE + state), ("# pxname," + stat, "1\n# be_id " + state)):
        with contextlib.suppress(HaproxyError):
            assert all(isinstance(entry.sessions, int) for entry in haproxy.servers(one, two, "application"))


@pytest.mark.parametrize(
    ("before", "wish", "steps"),
    [
        (server("ready", 3), "drained", ["drain", "idle", "maint"]),
        (server("drained", 1), "drained", ["drain", "idle", "maint"]),
        (server("down"), "drained", ["drain", "idle", "maint"]),
        (server("maintenance"), "drained", []),
        (server("maintenance", 2), "drained", ["idle"]),
        (server("ready", 3), "maintenance", ["maint"]),
        (server("maintenance"), "maintenance", []),
        (server("ready"), "ready", []),
        (server("ready", status="UP 1/2"), "ready", ["up"]),
        (server("down"), "ready", ["up"]),
        (server("drained"), "ready", ["ready", "up"]),
        (server("maintenance"), "ready", ["ready", "up"]),
    ],
)
def test_plan(before: Server, wish: str, steps: list[str]) -> None:
    assert draining.plan(before, wish) == steps


class Balancer:
    """A balancer in memory. `sessions` are those seen by one look after the other (the last one stays);
    `looks_to_up` is how many looks a server needs to be up after `ready`."""

    def __init__(self, state: str = "ready", sessions: tuple[int, ...] = (0,), looks_to_up: int = 2) -> None:
        self.state, self.seconds = state, 0.0
        self._sessions, self._looks_to_up, self._looks = list(sessions), looks_to_up, 0
        self.told: list[str] = []

    def servers(self, backend: str) -> list[Server]:
        assert backend == "application"
        self._looks += 1
        count = self._sessions.pop(0) if len(self._sessions) > 1 else self._sessions[0]
        if self.state == "ready" and self._looks < self._looks_to_up:
            return [server("ready", count, "UP 1/2")]
        return [server(self.state, count), Server("app2", "ready", "UP", "L7OK", 0, 0, "")]

    def set_state(self, backend: str, name: str, state: str) -> None:
        self.told.append(state)
        self.state = {"drain": "drained", "maint": "maintenance", "ready": "ready"}[state]
        self._looks = 0

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def move(self, state: str, **wish: Any) -> list[dict[str, Any]]:
        return draining.move(self, ["app1"], draining.Wish("application", state, **wish), self.clock, self.sleep)


def test_a_drain_waits_for_the_last_request() -> None:
    balancer = Balancer(sessions=(4, 4, 3, 1, 0, 2, 0, 0))
    (result,) = balancer.move("drained")
    assert balancer.told == ["drain", "maint"]
    assert (result["before"], result["after"], result["sessions"], result["changed"]) == ("ready", "maintenance", 0, True)
    assert result["seconds"] == 0.5, "a request that came between two looks is waited for too"


def test_a_drain_that_does_not_end_is_taken_back() -> None:
    balancer = Balancer(sessions=(2,))
    with pytest.raises(draining.NotInTime, match="still has 2 requests under way after 3 s of draining, and was let in again") as raised:
        balancer.move("drained", timeout=3)
    assert balancer.told == ["drain", "ready"]
    assert raised.value.results == [{"server": "app1", "before": "ready", "after": "ready", "sessions": 2, "seconds": 3}]


def test_admitting_waits_for_a_check() -> None:
    balancer = Balancer("maintenance", looks_to_up=6)
    (result,) = balancer.move("ready")
    assert (balancer.told, result["after"], result["status"], result["changed"]) == (["ready"], "ready", "UP", True)
    assert result["seconds"] > 0.2


def test_a_server_that_does_not_come_up_is_told() -> None:
    balancer = Balancer("maintenance", looks_to_up=10_000)
    with pytest.raises(draining.NotInTime, match=r"application/app1 is not up after 2 s: UP 1/2, its check says L7OK.*curl -i http://10.0.0.11:8080/"):
        balancer.move("ready", timeout=2)


@pytest.mark.parametrize(("state", "wish"), [("maintenance", "drained"), ("maintenance", "maintenance"), ("ready", "ready")])
def test_again_changes_nothing(state: str, wish: str) -> None:
    balancer = Balancer(state, looks_to_up=0)
    (result,) = balancer.move(wish)
    assert (balancer.told, result["changed"]) == ([], False)


@pytest.mark.parametrize(
    ("state", "wish", "after"), [("ready", "drained", "maintenance"), ("ready", "maintenance", "maintenance"), ("maintenance", "ready", "ready")]
)
def test_check_mode_says_what_would_be_and_touches_nothing(state: str, wish: str, after: str) -> None:
    balancer = Balancer(state, looks_to_up=0)
    (result,) = balancer.move(wish, check_mode=True)
    assert (balancer.told, result["changed"], result["after"]) == ([], True, after)


def test_unknown_servers_are_named_before_anything_changes() -> None:
    balancer = Balancer()
    with pytest.raises(HaproxyError, match="has no app8, app9; write some of app1"):
        draining.move(balancer, ["app1", "app8", "app9"], draining.Wish("application", "drained"), balancer.clock, balancer.sleep)
    assert balancer.told == []


@contextlib.contextmanager
def speaking(path: Path, answers: dict[str, str]) -> Any:
    """A runtime socket that says these answers; what it was asked."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for _ in answers:
                connection, _peer = listener.accept()
                with connection:
                    asked.append(connection.recv(1000).decode())
                    connection.sendall(answers.get(asked[-1].strip(), "").encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(5)


def test_the_state_is_kept_for_the_next_reload(tmp_path: Path) -> None:
    with speaking(tmp_path / "socket", {"show servers state": "\n" + STATE + "\n"}):
        haproxy.Socket(str(tmp_path / "socket")).save(str(tmp_path / "state"))
    assert (tmp_path / "state").read_text() == STATE


def test_a_bad_answer_leaves_the_state_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("old")
    with speaking(tmp_path / "socket", {"show servers state": "Permission denied\n"}), pytest.raises(HaproxyError, match="the state file is left as it was"):
        haproxy.Socket(str(tmp_path / "socket")).save(str(tmp_path / "state"))
    assert (tmp_path / "state").read_text() == "old"


def test_words_of_the_socket_are_errors(tmp_path: Path) -> None:
    command = "set server application/app1 state drain"
    with (
        speaking(tmp_path / "socket", {command: "No such server.\n"}) as asked,
        pytest.raises(HaproxyError, match=r"refuses to set application/app1 to drain: No such server\."),
    ):
        haproxy.Socket(str(tmp_path / "socket")).set_state("application", "app1", "drain")
    assert asked == [command + "\n"]


def test_a_missing_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(HaproxyError, match="is not there; start haproxy"):
        haproxy.Socket(str(tmp_path / "none")).servers("application")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "deaf"))
    with listener, pytest.raises(HaproxyError, match="nobody answers at"):
        haproxy.Socket(str(tmp_path / "deaf")).servers("application")


@pytest.mark.parametrize("name", ["app1 state ready; shutdown", "app1\nshutdown", ""])
def test_names_cannot_smuggle_commands(tmp_path: Path, name: str) -> None:
    with pytest.raises(HaproxyError, match="not the name of a backend or server"):
        haproxy.Socket(str(tmp_path / "none")).set_state("application", name, "ready")
