"""There is always a way back: after a kill at the worst moment, beside a second run, without a ledger that can be
written or reached, and with a
full disk at the balancer. One deploy serves several faults, in this order."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet, toy
from tests.support.controller import Job
from tests.support.fixtures import RUNS, Run
from tests.support.story import Play
from tests.support.waiting import until

OLD, NEW = "1.1.2", "1.2.0"
# A process that ignores SIGTERM keeps its unit stopping for this long.
STUBBORN = "/run/systemd/system/storefront.service.d/stubborn.conf"
STOPS_IN = 12


def launch(name: str, playbook: str, *arguments: str) -> Play:
    return Play(RUNS / f"way-back-{name}", playbook, list(arguments))


def events(since: int = 0) -> list[dict[str, Any]]:
    return fleet.events(fleet.ledger())[since:]


def named(name: str, since: int) -> list[dict[str, Any]]:
    return [line for line in events(since) if line["event"] == name]


def shares() -> set[float]:
    """The shares of users that any process on any host gives a feature to."""
    return {share for host in fleet.HOSTS for _flag, share in fleet.look(host)["shares"]}


def rests_on(version: str) -> bool:
    """Whether every host runs the version by its links, its unit and its own word, and gets traffic."""
    seen = {host: fleet.look(host) for host in fleet.HOSTS}
    return all(
        look["version"]
        and look["version"]["release"] == version
        and look["current"].startswith(f"{version}-")
        and look["unit"] == "active"
        for look in seen.values()
    ) and set(fleet.balancer().values()) == {"UP"}


def link(host: str) -> str:
    return fleet.execute(host, "readlink", "/opt/storefront/current").strip()


@pytest.fixture(scope="module")
def old(baseline: None, run: Run) -> Iterator[None]:
    """The old release of the toy runs on every host, and its process ignores SIGTERM."""
    run("deploy.yml", *toy.release(OLD, {"ignore_term": 1})).insist()
    for host in fleet.HOSTS:
        fleet.execute(
            host,
            "sh",
            "-c",
            f"mkdir -p $(dirname {STUBBORN}); cat > {STUBBORN}; systemctl daemon-reload",
            text=f"[Service]\nTimeoutStopSec={STOPS_IN}\n",
        )
    yield
    for host in fleet.HOSTS:
        fleet.execute(host, "sh", "-c", f"rm -rf $(dirname {STUBBORN}); systemctl daemon-reload")


@pytest.fixture(scope="module")
def new() -> list[str]:
    return [
        *toy.release(
            NEW, {"features": ["search"]}, bake={"canary": 0, "aa": 0, "min": 300, "max": 600, "look": 5, "expiry": 300}
        ),
        "-e",
        "ramp_users=200",
    ]


def test_a_run_killed_when_the_link_was_just_switched(old: None, new: list[str], run: Run) -> None:
    """The module that it left still waits for the old process to end, which still answers; case 09."""
    play = launch("killed", "deploy.yml", *new)
    until(lambda: NEW in link("app1") or play.over, "app1 is switched", every=0.1)
    play.kill()
    back = run("rollback.yml")
    back.insist()
    assert rests_on(OLD), {host: link(host) for host in fleet.HOSTS}
    assert fleet.execute("app1", "systemctl", "show", "-P", "Job", "storefront").strip() in ("", "0")
    assert named("rollout.finished", 0)[-1]["data"]["outcome"] == "returned"


def test_a_second_run_beside_a_long_drain(old: None, new: list[str], tmp_path: Path) -> None:
    """The first run is alive and renews its lock while it waits for requests that take long, so the second one is
    refused; case 05."""
    since = len(events())
    play = launch("drains", "deploy.yml", *new, "-e", "release_drain_timeout_seconds=120")
    until(
        lambda: (
            (named("step.started", since) and named("step.started", since)[-1]["data"]["step"] == "release")
            or play.over
        ),
        "the release step",
    )
    slow = [
        fleet.podman(
            "exec",
            fleet.container("lb1"),
            "curl",
            "-sk",
            "-o",
            "/dev/null",
            f"https://127.0.0.1/slow?seconds={seconds}",
            "-H",
            f"Host: {fleet.FRONT_DOOR}",
        )
        for seconds in [42] * 9
    ]
    requests = [subprocess.Popen(command) for command in slow]
    try:
        second = Job("second", tmp_path, "deploy.yml", *new)
        assert second.wait(120) != 0
        assert "is at work and has just renewed its lock, so nothing is done here" in " ".join(second.screen.split()), (
            second.screen[-3000:]
        )
        assert "gradual_take_over=true" in second.screen
        assert named("lease.renewed", since), "a drain records nothing"
        assert not [line for line in named("lease.taken", since) if "controller" in str(line["data"].get("after"))]
        assert not play.over
        until(lambda: named("stage.set", since) or play.over, "a feature is shown")
        assert not play.over, (play.folder / "screen.txt").read_text()[-3000:]
        until(lambda: 1.0 in shares(), "users have the feature")
    finally:
        play.kill()
        for request in requests:
            request.kill()


def test_features_go_off_though_the_ledger_cannot_be_written(old: None, run: Run) -> None:
    """Case 08: the features of a run that was killed while it showed them; nothing could be recorded, and the run says
    so."""
    assert 1.0 in shares()
    before = fleet.ledger()
    fleet.execute(
        "mon1", "sh", "-c", f"mount --bind {fleet.LEDGER} {fleet.LEDGER} && mount -o remount,ro,bind {fleet.LEDGER}"
    )
    try:
        back = run("rollback.yml")
    finally:
        fleet.execute("mon1", "umount", fleet.LEDGER)
    assert back.status != 0
    said = " ".join(back.screen.split())
    assert "The features are off, but nothing could be recorded, and no host was switched" in said
    assert "ansible-playbook rollback.yml -e rollback_without_ledger=true (docs/runbooks/ledger-lost.md)" in said
    assert shares() == {0.0}
    assert {fleet.running(host) for host in fleet.HOSTS} == {NEW}
    assert fleet.ledger() == before


def test_a_way_back_without_the_ledger_and_with_a_full_disk_at_the_balancer(old: None, run: Run) -> None:
    """The ledger's host is down, and HAProxy's state file cannot be written; cases 08 and 15."""
    before = len(events())
    fleet.execute(
        "lb1",
        "sh",
        "-c",
        "cd /var/lib && mount -t tmpfs -o size=16k tmpfs haproxy && dd if=/dev/zero of=haproxy/full bs=1k count=64;"
        " true",
    )
    fleet.fleet("stop", "mon1")
    try:
        blind = run("rollback.yml")
        assert blind.status != 0
        assert "rollback_without_ledger=true" in blind.screen
        back = run("rollback.yml", "-e", "rollback_without_ledger=true")
        assert back.status == 0, back.screen[-3000:]
        said = " ".join(back.screen.split())
        assert f"Without the ledger, so nothing of this is recorded: app1 goes to {OLD}" in said
        assert "their state is not kept: state_file:" in said
        assert rests_on(OLD)
    finally:
        fleet.fleet("start", "mon1")
        fleet.execute("lb1", "umount", "/var/lib/haproxy")
    until(
        lambda: fleet.execute("mon1", "systemctl", "is-system-running", check=False).strip() in ("running", "degraded"),
        "mon1 has booted",
    )
    assert len(events()) == before
    # With the ledger back, what it lacks is found on the hosts, and nothing is switched again.
    again = run("rollback.yml")
    again.insist()
    assert rests_on(OLD)
    assert named("rollout.finished", before)[-1]["data"]["outcome"] == "returned"
    assert not named("host.drained", before), json.dumps([line["event"] for line in events(before)])
