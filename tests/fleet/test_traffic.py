"""Users always keep a server: releases that leave traffic by themselves, and hosts on which nothing can be seen any
more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import fleet, prepare, toy
from tests.support.fixtures import RUNS, Ran, Run
from tests.support.pages import Pages
from tests.support.story import Events

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture
def fresh(run: Run) -> None:
    """1.0.0 on every host, whatever the test before has left."""
    prepare.up()
    prepare.to("1.0.0", lambda arguments: run("deploy.yml", *arguments).insist(), RUNS / "prepare")


class Watched:
    """Looks at the balancer every second; `fewest` is the least number of servers that were up."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: list[dict[str, str]] = []

    @property
    def fewest(self) -> int:
        return min(sum(status.startswith("UP") for status in states.values()) for states in self.seen)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.seen.append(fleet.balancer())
            self._stop.wait(1)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def events() -> Iterator[Events]:
    """The lines that the ledger gets from now on."""
    following = Events()
    yield following
    following.close()


def returned(ran: Ran, users: Pages, states: Watched, at_least: int) -> dict[str, Any]:
    """Hold what every one of these rollouts must have come to; the failure that was recorded."""
    assert ran.status != 0, ran.screen[-3000:]
    lines = fleet.events(fleet.ledger())
    outcomes = [line["data"].get("outcome") for line in lines if line["event"] == "rollout.finished"]
    assert outcomes[-1] == "returned", ran.screen[-3000:]
    assert {host: fleet.running(host) for host in fleet.HOSTS} == dict.fromkeys(fleet.HOSTS, "1.0.0")
    assert (users.record.failed, set(fleet.balancer().values())) == (0, {"UP"}), [
        answer for answer in users.record.answers if answer.why
    ][:5]
    assert users.record.sent > 500
    assert states.fewest >= at_least, states.seen
    return dict(
        next(
            line["data"]
            for line in reversed(lines)
            if line["event"] == "step.failed" and line["data"]["step"] != "rollback"
        )
    )


def test_a_canary_that_leaves_traffic_stops_the_release(run: Run) -> None:
    """Its /readyz turns 503 while it is watched, and nothing else is wrong with it."""
    arguments = toy.release(
        "1.1.6", {"bad_after": 20}, bake={"canary": 25, "aa": 0, "min": 5, "max": 60, "look": 5, "expiry": 60}
    )
    with Pages() as users, Watched() as states:
        ran = run("deploy.yml", *arguments)
    failed = returned(ran, users, states, 2)
    assert (failed["step"], failed["host"]) == ("release", "app1")
    assert (
        "abort of the canary app1: app1 gets no users from lb1: it is DOWN, its check says L7STS/503" in failed["error"]
    )


def test_hosts_go_back_one_by_one_when_nobody_can_see_that_the_features_are_off(run: Run, events: Events) -> None:
    """/metrics hangs on every host in the middle of a stage; the applications themselves are well."""
    arguments = toy.release(
        "1.4.0",
        {"features": ["search"]},
        stages=[25, 100],
        bake={"canary": 0, "aa": 0, "min": 40, "max": 120, "look": 5, "expiry": 60},
    )

    def break_metrics() -> None:
        events.wait(lambda line: line["event"] == "gate.looked", stop.is_set, 300)
        with ThreadPoolExecutor() as pool:  # at once: a host on which it still answers is seen to be off
            list(
                pool.map(
                    lambda host: fleet.execute(host, "touch", f"/run/{fleet.APPLICATION}/metrics-bad"), fleet.HOSTS
                )
            )

    stop = threading.Event()
    breaking = threading.Thread(target=break_metrics)
    with Pages() as users, Watched() as states:
        breaking.start()
        ran = run("deploy.yml", *arguments, "-e", "ramp_users=600")
        stop.set()
        breaking.join()
    failed = returned(ran, users, states, 2)
    assert failed["step"] == "ramp"
    off = next(line for line in events.seen if line["event"] == "flags.off")
    assert off["data"]["unverified"]
    assert off["data"]["lost"] == []


def test_the_last_server_waits_until_another_one_is_back(run: Run) -> None:
    """Two hosts serve users. The second one does not come up on the release, so the first one, which has it, is the
    last server."""
    arguments = toy.release("1.5.0", {"bad_on": ["app2"]})
    fleet.execute("lb1", "socat", "stdio", "/run/haproxy/admin.sock", text="set server application/app3 state maint\n")
    with Pages() as users, Watched() as states:
        ran = run("deploy.yml", *arguments, "-e", "release_ready_timeout_seconds=15")
    failed = returned(ran, users, states, 1)
    assert (failed["step"], failed["host"]) == ("release", "app2")
    assert "app1 must stay in traffic: no other server is up" in " ".join(ran.screen.split())
