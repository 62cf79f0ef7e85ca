"""A feature is killed: under a rollout that shows it, and while the ledger's host is down and a host does not answer.
It stays off until it is allowed again. One fleet serves all, in this order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import fleet, seen, toy
from tests.support.fixtures import RUNS, Ran, Run
from tests.support.story import Play
from tests.support.waiting import until

OLD, NEW = "1.1.2", "1.2.1"
KILL = ["playbooks/kill.yml", "-e", "flag=search", "-e", "reason=prices"]
ALLOW = ["playbooks/allow_flag.yml", "-e", "flag=search"]


def words() -> list[tuple[str, dict[str, Any]]]:
    lines = fleet.events(fleet.ledger())
    return [(line["event"], line["data"]) for line in lines if line["event"].startswith("flag.")]


def last(event: str) -> dict[str, Any]:
    found = next(line for line in reversed(fleet.events(fleet.ledger())) if line["event"] == event)
    return dict(found["data"])


def shares(*hosts: str) -> set[float]:
    """The shares of users that any process on these hosts gives a feature to."""
    return {share for host in hosts for _flag, share in fleet.look(host)["shares"]}


def said(ran: Ran) -> str:
    return " ".join(ran.screen.split())


def shown(name: str, arguments: list[str]) -> Play:
    """A rollout that shows the feature to all users, and bakes for minutes."""
    play = Play(RUNS / f"kill-{name}", "deploy.yml", arguments)
    until(lambda: 1.0 in shares("app1") or play.over, "users have the feature")
    until(lambda: shares(*fleet.HOSTS) == {1.0} or play.over, "all hosts show it")
    assert not play.over, (play.folder / "screen.txt").read_text()[-3000:]
    return play


@pytest.fixture(scope="module")
def old(baseline: None, run: Run) -> None:
    run("deploy.yml", *toy.release(OLD)).insist()


@pytest.fixture(scope="module")
def new() -> list[str]:
    bake = {"canary": 0, "aa": 0, "min": 300, "max": 600, "look": 5, "expiry": 300}
    return [*toy.release(NEW, {"features": ["search"]}, bake=bake), "-e", "ramp_users=200"]


def test_a_kill_stops_the_rollout_that_shows_the_feature(old: None, new: list[str], run: Run) -> None:
    play = shown("under-rollout", new)
    before = fleet.snapshot()
    checked = run(*KILL, "--check", "--diff")
    assert checked.status == 0, said(checked)
    assert shares(*fleet.HOSTS) == {1.0}
    assert fleet.snapshot()["hosts"] == before["hosts"]
    done = run(*KILL)
    done.insist()
    assert shares(*fleet.HOSTS) == {0.0}
    assert seen.warnings(done.folder) == []
    assert play.wait()["status"] != 0
    failed = last("step.failed")
    assert (failed["step"], failed["error"][:45]) == ("ramp", "The rollout stops: the flag search was killed")
    assert last("rollout.finished")["outcome"] == "returned"
    assert {fleet.running(host) for host in fleet.HOSTS} == {OLD}
    assert [event for event, _data in words()] == ["flag.killed"]
    again = run(*KILL)
    again.insist()
    assert seen.changed(again.folder) == []
    assert len(words()) == 1


def test_a_deploy_is_refused_until_the_flag_is_allowed(old: None, new: list[str], run: Run) -> None:
    before = fleet.snapshot()
    refused = run("deploy.yml", *new)
    assert refused.status != 0
    assert "the flag search was killed at " in said(refused)
    assert "prices (marked on app1, app2, app3). To let rollouts show it again: ansible-playbook" in said(refused)
    assert fleet.snapshot() == before
    run(*ALLOW).insist()
    assert shares(*fleet.HOSTS) <= {0.0}
    assert [event for event, _data in words()] == ["flag.killed", "flag.allowed"]


@pytest.fixture
def broken() -> Iterator[None]:
    """The ledger's host, which has Prometheus too, is down, and app3 does not answer."""
    fleet.fleet("stop", "mon1")
    fleet.fleet("pause", "app3")
    yield
    fleet.fleet("unpause", "app3")
    fleet.fleet("start", "mon1")
    until(
        lambda: fleet.execute("mon1", "systemctl", "is-system-running", check=False).strip() in ("running", "degraded"),
        "mon1 has booted",
    )


def test_it_is_off_though_the_ledger_and_a_host_are_down(
    old: None, new: list[str], run: Run, request: pytest.FixtureRequest, record_property: Any
) -> None:
    play = shown("all-down", new)
    play.kill()  # with the ledger's host it could not go on
    request.getfixturevalue("broken")
    done = run(*KILL)
    assert done.status != 0
    assert shares("app1", "app2") == {0.0}
    took = [
        float(each)
        for each in re.findall(r"app[12]: search is off in \d+ process(?:es)?, after ([\d.]+) s", said(done))
    ]
    assert len(took) == 2, said(done)
    record_property("seconds until it is off on the hosts that answer", max(took))
    assert "app3: Host app3" in said(done)
    assert "Meanwhile app3 shows search as it was written last: 100 % of users until " in said(done)
    assert "Not recorded in the ledger: Host mon1 was lost" in said(done)


def test_it_is_made_good_when_they_are_back(old: None, run: Run) -> None:
    since = min(fleet.look(host)["flags"]["flags"]["search"]["metadata"]["killed_at"] for host in ("app1", "app2"))
    run(*KILL).insist()
    assert shares(*fleet.HOSTS) == {0.0}
    event, data = words()[-1]
    assert (event, data["at"], data["hosts"], data["lost"]) == ("flag.killed", since, fleet.HOSTS, [])
    run("rollback.yml").insist()
    assert "killed_at" in fleet.look("app3")["flags"]["flags"]["search"]["metadata"], "a rollback keeps the mark"
