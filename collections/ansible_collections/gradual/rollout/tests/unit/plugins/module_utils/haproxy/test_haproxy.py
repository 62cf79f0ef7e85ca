# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Draining and admitting, against a balancer of the test's own; and what the runtime socket may say."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common import host_lock
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import drain, min_in_traffic, runtime_api
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Server
from ansible_collections.gradual.rollout.plugins.modules import haproxy_server
from ansible_collections.gradual.rollout.tests.unit.sample_haproxy import STAT, STATE
from hypothesis import given
from hypothesis import strategies as st


def server(state: str = "ready", sessions: int = 0, status: str = "") -> Server:
    words = {"ready": "UP", "down": "DOWN", "drained": "DRAIN", "maintenance": "MAINT"}
    return Server("app1", state, status or words[state], "L7OK", sessions, 0, "10.0.0.11:8080")


def test_servers_are_read_from_both_tables() -> None:
    found = {
        entry.name: (entry.state, entry.status, entry.sessions, entry.connections, entry.settled)
        for entry in runtime_api.servers(STAT, STATE, "application")
    }
    assert found == {
        "app1": ("ready", "UP", 2, 3, True),
        "app2": ("ready", "UP 1/2", 4, 3, False),
        "app3": ("maintenance", "MAINT", 0, 0, False),
        "app4": ("drained", "DRAIN", 1, 0, False),
        "app5": ("down", "DOWN", 0, 0, False),
    }


def test_the_status_that_a_check_got_is_told() -> None:
    stat = (
        STAT.replace("check_status,", "check_status,check_code,")
        .replace("DOWN,L4CON,", "DOWN,L7STS,503,")
        .replace("UP,L7OK,", "UP,L7OK,200,")
    )
    found = {entry.name: entry.check for entry in runtime_api.servers(stat, STATE, "application")}
    assert (found["app1"], found["app5"]) == ("L7OK", "L7STS/503")


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
        runtime_api.servers(stat, state, "application")


@given(st.text(), st.text())
def test_no_answer_breaks_the_reading(stat: str, state: str) -> None:
    for one, two in (
        (stat, state),
        (STAT + stat, STATE),
        (STAT, STATE + state),
        ("# pxname," + stat, "1\n# be_id " + state),
    ):
        with contextlib.suppress(HaproxyError):
            assert all(isinstance(entry.sessions, int) for entry in runtime_api.servers(one, two, "application"))


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
        (server("ready"), "enabled", []),
        (server("down"), "enabled", []),
        (server("drained"), "enabled", ["enable"]),
        (server("maintenance"), "enabled", ["enable"]),
    ],
)
def test_plan(before: Server, wish: str, steps: list[str]) -> None:
    assert drain.plan(before, wish) == steps


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

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def enable(self, backend: str, name: str) -> None:
        self.told.append("enable")
        self.state = "down"

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def move(self, state: str, **wish: Any) -> list[dict[str, Any]]:
        return drain.move(self, ["app1"], drain.Wish("application", state, **wish), self.clock, self.sleep)


def test_a_drain_waits_for_the_last_request() -> None:
    balancer = Balancer(sessions=(4, 4, 4, 3, 1, 0, 2, 0, 0))
    (result,) = balancer.move("drained")
    assert balancer.told == ["drain", "maint"]
    assert (result["before"], result["after"], result["sessions"], result["changed"]) == (
        "ready",
        "maintenance",
        0,
        True,
    )
    assert result["seconds"] == 0.5, "a request that came between two looks is waited for too"


def test_a_drain_that_does_not_end_is_taken_back() -> None:
    balancer = Balancer(sessions=(2,))
    with pytest.raises(
        drain.NotInTime, match="still has 2 requests under way after 3 s of draining, and was admitted again"
    ) as raised:
        balancer.move("drained", timeout=3)
    assert balancer.told == ["drain", "ready"]
    assert raised.value.results == [
        {"server": "app1", "before": "ready", "after": "ready", "sessions": 2, "seconds": 3}
    ]


@pytest.mark.parametrize(("sessions", "timeout"), [((4, 4, 0, 0), 30), ((4,), 0.5)])
def test_a_drain_that_a_newer_call_has_overtaken_does_not_go_on(
    tmp_path: Path, sessions: tuple[int, ...], timeout: float
) -> None:
    """Left by a killed run; a rollback has let the server in meanwhile, and it stays in, whether the drain ends or its
    time is over."""
    balancer = Balancer(sessions=sessions)
    claims: list[host_lock.Claim] = []

    def claim(name: str) -> host_lock.Claim:
        claims.append(host_lock.Claim("haproxy", name, directory=str(tmp_path)))
        return claims[-1]

    def sleep(seconds: float) -> None:
        balancer.sleep(seconds)
        if len(claims) == 1:
            claim("app1")

    with pytest.raises(host_lock.Overtaken, match="a newer call works on haproxy app1"):
        drain.move(
            balancer, ["app1"], drain.Wish("application", "drained", timeout, claim=claim), balancer.clock, sleep
        )
    assert balancer.told == ["drain"]


def test_a_state_file_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    balancer = Balancer("maintenance")
    told: list[str] = []
    monkeypatch.setattr(haproxy_server, "Socket", lambda path: balancer)
    monkeypatch.setattr(haproxy_server, "Claim", lambda *name: drain.Free())
    monkeypatch.setattr(balancer, "ask", lambda command: STATE, raising=False)
    monkeypatch.setattr(balancer, "save", lambda path: runtime_api.Socket.save(balancer, path), raising=False)  # type: ignore[arg-type]
    given = {
        "socket": "s",
        "backend": "application",
        "servers": ["app1"],
        "state": "ready",
        "timeout": 9,
        "state_file": f"{tmp_path}/nowhere/state",
        "min_in_traffic": None,
        "up_before": None,
        "must_be_up": [],
        "balancer": None,
        "probes": None,
        "front_door": None,
    }
    assert haproxy_server.work(given, False, told.append)["changed"]
    (warning,) = told
    assert "The servers are as wanted, but their state is not kept: state_file:" in warning
    assert "No such file or directory" in warning
    assert haproxy_server.work({**given, "state_file": f"{tmp_path}/state"}, False, told.append)["changed"] is False
    assert told == [warning]
    assert (tmp_path / "state").read_text() == STATE


def test_admitting_waits_for_a_check() -> None:
    balancer = Balancer("maintenance", looks_to_up=6)
    (result,) = balancer.move("ready")
    assert (balancer.told, result["after"], result["status"], result["changed"]) == (["ready"], "ready", "UP", True)
    assert result["seconds"] > 0.2


def test_enabling_waits_for_nothing_and_never_lets_users_in_before_a_check() -> None:
    balancer = Balancer("maintenance", looks_to_up=10_000)
    (result,) = balancer.move("enabled", timeout=0)
    assert (balancer.told, result["before"], result["after"], result["changed"]) == (
        ["enable"],
        "maintenance",
        "down",
        True,
    )
    (again,) = balancer.move("enabled")
    assert (again["after"], again["changed"]) == ("down", False)
    (foreseen,) = Balancer("drained").move("enabled", check_mode=True)
    assert (foreseen["after"], foreseen["changed"]) == ("down", True)


def test_a_server_that_does_not_come_up_is_told() -> None:
    balancer = Balancer("maintenance", looks_to_up=10_000)
    with pytest.raises(
        drain.NotInTime,
        match=(
            r"application/app1 is not up after 2 s: UP 1/2, its check says L7OK.*curl -i http://10.0.0.11:8080/readyz "
        ),
    ):
        balancer.move("ready", timeout=2)


@pytest.mark.parametrize(
    ("state", "wish"), [("maintenance", "drained"), ("maintenance", "maintenance"), ("ready", "ready")]
)
def test_again_changes_nothing(state: str, wish: str) -> None:
    balancer = Balancer(state, looks_to_up=0)
    (result,) = balancer.move(wish)
    assert (balancer.told, result["changed"]) == ([], False)


@pytest.mark.parametrize(
    ("state", "wish", "after"),
    [("ready", "drained", "maintenance"), ("ready", "maintenance", "maintenance"), ("maintenance", "ready", "ready")],
)
def test_check_mode_says_what_would_be_and_touches_nothing(state: str, wish: str, after: str) -> None:
    balancer = Balancer(state, looks_to_up=0)
    (result,) = balancer.move(wish, check_mode=True)
    assert (balancer.told, result["changed"], result["after"]) == ([], True, after)


def fleet(**statuses: str) -> list[Server]:
    """Servers app1, app2 … by HAProxy's word for them."""
    states = {"UP": "ready", "no check": "ready", "MAINT": "maintenance", "DRAIN": "drained", "DOWN": "down"}
    return [
        Server(name, states.get(status.partition(" 1")[0], "ready"), status, "L7OK", 0, 0, "")
        for name, status in statuses.items()
    ]


@pytest.mark.parametrize(("up", "least"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 4), (50, 33)])
def test_two_thirds_stay_and_one_at_least(up: int, least: int) -> None:
    assert min_in_traffic.least_of(up) == least


THREE = ["app1", "app2", "app3"]


@pytest.mark.parametrize(
    ("statuses", "rule", "wrong"),
    [
        # all are up: one of three may go, one of two, but not the only one
        ({"app1": "UP", "app2": "UP", "app3": "UP"}, {"up_before": THREE}, ""),
        ({"app1": "UP", "app2": "no check"}, {}, ""),
        ({"app1": "UP"}, {}, "app1 must stay in traffic: no other server is up, at least 1 must be"),
        ({"app1": "UP"}, {"least": 0}, ""),
        # two of three were up when it began, so one must stay; of three, two must
        ({"app1": "UP", "app2": "UP", "app3": "MAINT"}, {"up_before": ["app1", "app2"]}, ""),
        (
            {"app1": "UP", "app2": "UP", "app3": "MAINT"},
            {"up_before": THREE},
            "1 other server is up, at least 2 must be (two thirds of the 3 that were up",
        ),
        (
            {"app1": "UP", "app2": "DOWN", "app3": "MAINT"},
            {"up_before": ["app1", "app2"]},
            "Seen: app2 DOWN (L7OK), app3 MAINT (L7OK). Bring another",
        ),
        # what is not known of the beginning is taken from what is up now
        ({"app1": "UP", "app2": "UP", "app3": "MAINT"}, {}, ""),
        (
            {"app1": "UP", "app2": "MAINT", "app3": "DOWN"},
            {},
            "no other server is up, at least 1 must be (two thirds of the 1 that are up now",
        ),
        # only what HAProxy has seen to be up counts
        ({"app1": "UP", "app2": "UP 1/2", "app3": "UP"}, {"up_before": THREE}, "1 other server is up"),
        ({"app1": "UP", "app2": "DRAIN", "app3": "UP"}, {"up_before": THREE}, "1 other server is up"),
        # the site's own number
        (
            {"app1": "UP", "app2": "UP", "app3": "UP"},
            {"least": 3, "up_before": THREE},
            "2 other servers are up, at least 3 must be (min_in_traffic)",
        ),
        ({"app1": "UP", "app2": "UP", "app3": "DOWN"}, {"least": 1, "up_before": THREE}, ""),
        # a server without requests takes nothing away; one that is about to come up does
        ({"app1": "DOWN", "app2": "DOWN", "app3": "DOWN"}, {"up_before": THREE}, ""),
        ({"app1": "MAINT", "app2": "UP", "app3": "DOWN"}, {"up_before": THREE}, ""),
        ({"app1": "DRAIN", "app2": "DOWN", "app3": "DOWN"}, {"up_before": THREE}, ""),
        ({"app1": "DOWN 1/2", "app2": "DOWN", "app3": "DOWN"}, {"up_before": THREE}, "no other server is up"),
        # hosts that were switched already, however many others are up, and whatever this server is
        ({"app1": "UP", "app2": "UP", "app3": "UP"}, {"least": 0, "must_be_up": ["app2", "app3"]}, ""),
        (
            {"app1": "UP", "app2": "DOWN", "app3": "UP", "app4": "UP", "app5": "UP"},
            {"must_be_up": ["app2"]},
            "because app2 must be up before and is not",
        ),
        (
            {"app1": "MAINT", "app2": "DOWN", "app3": "DOWN"},
            {"must_be_up": ["app2", "app3"]},
            "because app2 and app3 must be up before and are not",
        ),
        ({"app1": "UP", "app2": "UP"}, {"must_be_up": ["app9"]}, "Seen: app9 is not in the backend"),
        ({"app1": "DOWN"}, {"must_be_up": ["app1"]}, ""),
    ],
)
def test_who_may_be_taken_out_of_traffic(statuses: dict[str, str], rule: dict[str, Any], wrong: str) -> None:
    said = min_in_traffic.refusal(fleet(**statuses), "app1", min_in_traffic.Rule(balancer="lb2", **rule))
    assert (said == "") == (wrong == "")
    assert wrong in said
    assert said == "" or said.startswith("lb2: app1 ")


def test_a_refusal_says_what_to_type() -> None:
    assert (
        min_in_traffic.refusal(
            fleet(app1="UP", app2="UP", app3="DOWN"), "app1", min_in_traffic.Rule(up_before=THREE, balancer="lb2")
        )
        == "lb2: app1 must stay in traffic: 1 other server is up, at least 2 must be (two thirds of the 3 that were up"
        " when the rollout began, and one at least). Seen: app2 UP, app3 DOWN (L7OK). Bring another server into"
        " traffic first. Where fewer can carry all users: -e min_in_traffic=1"
    )


class Changing:
    """A balancer whose servers are another table at each look (the last one stays); `told` is what it was told."""

    def __init__(self, *looks: dict[str, str]) -> None:
        self._looks, self.told, self.seconds, self._set = list(looks), list[str](), 0.0, dict[str, str]()

    def servers(self, backend: str) -> list[Server]:
        seen = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return fleet(**{**seen, **self._set})

    def set_state(self, backend: str, name: str, state: str) -> None:
        self.told.append(f"{name} {state}")
        self._set[name] = {"drain": "DRAIN", "maint": "MAINT", "ready": "UP"}[state]

    def enable(self, backend: str, name: str) -> None:
        self.told.append(f"{name} enable")
        self._set[name] = "DOWN"

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def move(self, *names: str, state: str = "drained", **wish: Any) -> list[dict[str, Any]]:
        def sleep(seconds: float) -> None:
            self.seconds += seconds

        return drain.move(self, list(names), drain.Wish("application", state, **wish), lambda: self.seconds, sleep)


@pytest.mark.parametrize("state", ["drained", "maintenance"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_the_last_server_is_left_alone(state: str, check_mode: bool) -> None:
    balancer = Changing({"app1": "UP", "app2": "DOWN"})
    with pytest.raises(drain.NotEnough, match="app1 must stay in traffic"):
        balancer.move("app1", state=state, check_mode=check_mode)
    assert (balancer.told, balancer.seconds) == ([], 0)


def test_if_one_server_must_stay_all_stay() -> None:
    for check_mode in (False, True):
        balancer = Changing({"app1": "UP", "app2": "UP"})
        with pytest.raises(drain.NotEnough, match="app2 must stay in traffic"):
            balancer.move("app1", "app2", check_mode=check_mode)
        assert balancer.told == ([] if check_mode else ["app1 drain", "app1 ready"])


def test_servers_are_drained_at_the_same_time() -> None:
    balancer = Changing({"app1": "UP", "app2": "UP", "app3": "UP"})
    results = balancer.move("app2", "app1", rule=min_in_traffic.Rule(least=1))
    assert [(result["server"], result["after"]) for result in results] == [
        ("app2", "maintenance"),
        ("app1", "maintenance"),
    ]
    assert balancer.told == ["app2 drain", "app1 drain", "app2 maint", "app1 maint"]


def test_a_drain_that_does_not_end_admits_those_that_have_ended() -> None:
    class Busy(Changing):
        def servers(self, backend: str) -> list[Server]:
            return [
                dataclasses.replace(one, sessions=3 if one.name == "app2" else 0) for one in super().servers(backend)
            ]

    balancer = Busy({"app1": "UP", "app2": "UP", "app3": "UP"})
    with pytest.raises(drain.NotInTime, match="app2 still has 3 requests under way after 5 s") as raised:
        balancer.move("app1", "app2", rule=min_in_traffic.Rule(least=1), timeout=5)
    assert balancer.told == ["app1 drain", "app2 drain", "app1 maint", "app2 ready", "app1 ready"]
    assert [(one["server"], one["after"]) for one in raised.value.results] == [("app1", "ready"), ("app2", "ready")]


def test_a_server_that_is_between_two_states_is_waited_for() -> None:
    between, up, down = ({"app1": "UP", "app2": word} for word in ("UP 1/2", "UP", "DOWN"))
    balancer = Changing(between, between, between, up)
    balancer.move("app1")
    assert balancer.told == ["app1 drain", "app1 maint"]
    balancer = Changing(between, between, between, down)
    with pytest.raises(drain.NotEnough):
        balancer.move("app1")
    assert balancer.told == []
    balancer = Changing(between)
    with pytest.raises(drain.NotEnough):
        balancer.move("app1")
    assert drain.SETTLE < balancer.seconds < drain.SETTLE + 1


def test_a_drain_is_taken_back_when_the_others_go_down_meanwhile() -> None:
    up, flaps, down = ({"app1": "UP", "app2": word} for word in ("UP", "UP 1/2", "DOWN"))
    balancer = Changing(up, up, up, down)
    with pytest.raises(
        drain.NotEnough,
        match="app1 was admitted again while it was drained, because no other server is up now and at least 1 must be",
    ):
        balancer.move("app1")
    assert balancer.told == ["app1 drain", "app1 ready"]
    balancer = Changing(up, up, up, flaps)
    balancer.move("app1")
    assert balancer.told == ["app1 drain", "app1 maint"], "one failed check of another is no reason"


def test_unknown_servers_are_named_before_anything_changes() -> None:
    balancer = Balancer()
    with pytest.raises(HaproxyError, match="has no app8, app9; write some of app1"):
        drain.move(
            balancer, ["app1", "app8", "app9"], drain.Wish("application", "drained"), balancer.clock, balancer.sleep
        )
    assert balancer.told == []
