"""A first release that fails leaves the fleet as it was found, and the next deploy simply works."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet, prepare, toy
from tests.support.fixtures import Run
from tests.support.story import Play
from tests.support.waiting import until

QUICK = ["-e", "release_ready_timeout_seconds=5"]
SLOW = {"ready_after": 3600, "features": ["search"]}


def state() -> dict[str, Any]:
    """What runs, what is linked, and what each server is on the balancer."""
    return {
        host: {key: fleet.look(host)[key] for key in ("version", "current", "previous", "unit")} for host in fleet.HOSTS
    } | {"balancer": settled()}


def settled() -> dict[str, str]:
    """The balancer's servers, once none is between two states."""
    limit = time.monotonic() + 20
    while any("/" in status for status in fleet.balancer().values()) and time.monotonic() < limit:
        time.sleep(0.5)
    return fleet.balancer()


def outcomes() -> list[str]:
    return [line["data"]["outcome"] for line in fleet.events(fleet.ledger()) if line["event"] == "rollout.finished"]


def shown() -> set[str]:
    """How each flag is answered for everybody, by what the flag files say."""
    flags = [flag for host in fleet.HOSTS for flag in (fleet.look(host)["flags"] or {"flags": {}})["flags"].values()]
    return {str(flag.get("targeting") or flag["defaultVariant"]) for flag in flags}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The fleet as it was provisioned."""
    prepare.without_release()
    return state()


def test_a_first_release_that_never_gets_ready_leaves_nothing(found: dict[str, Any], run: Run) -> None:
    assert set(found["balancer"].values()) == {"DOWN"}
    ran = run("deploy.yml", *toy.release("1.1.0", SLOW), *QUICK)
    assert ran.status != 0
    assert "not in time, 5 s" in ran.screen
    assert state() == found
    assert outcomes() == ["returned"]
    assert shown() <= {"off"}


def test_one_that_is_killed_while_it_starts_is_taken_back_by_rollback_and_the_next_one_works(
    found: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    play = Play(
        tmp_path / "killed", "deploy.yml", [*toy.release("1.1.1", SLOW), "-e", "release_ready_timeout_seconds=60"]
    )
    until(lambda: fleet.look("app1")["current"], "the canary is switched to its first release")
    play.kill()
    run("rollback.yml").insist()
    assert state() == found
    ran = run("deploy.yml", *toy.release("1.2.0"))
    ran.insist()
    assert outcomes() == ["returned", "returned", "completed"]
    after = state()
    assert set(after.pop("balancer").values()) == {"UP"}
    assert {(host["version"]["release"], host["current"][:6], host["previous"]) for host in after.values()} == {
        ("1.2.0", "1.2.0-", None)
    }


def test_a_host_that_was_added_goes_back_to_nothing_and_the_others_to_what_users_had(run: Run) -> None:
    """The release fails on app3, which has just been added; its smoke test and its backup are such that the release
    before fails them."""
    fleet.execute(
        "app3",
        "sh",
        "-c",
        "systemctl stop storefront && rm /opt/storefront/current && rm -r /opt/storefront/releases/*",
    )
    dropin = "/etc/systemd/system/storefront.service.d/fails.conf"
    fleet.execute(
        "app3",
        "sh",
        "-c",
        f"mkdir -p $(dirname {dropin}) && printf '[Service]\\nExecStartPre=/bin/false\\n' > {dropin} && systemctl"
        " daemon-reload",
    )
    until(lambda: fleet.balancer()["app3"] == "DOWN", "the balancer has noticed")
    before = state()
    new_page = {"name": "says that it is new", "path": "/", "contains": "1.3.0"}
    ran = run(
        "deploy.yml",
        *toy.release("1.3.0", smoke=[toy.PAGE, new_page], backup={"method": "dump", "level": "sound"}),
        *QUICK,
    )
    fleet.execute("app3", "sh", "-c", f"rm {dropin} && systemctl daemon-reload")
    assert ran.status != 0
    assert "app1: says that it is new: contains is" in ran.screen, (
        "preflight names the test that the release before does not pass"
    )
    assert "release failed on app3" in ran.screen
    assert outcomes()[-1] == "returned"
    started = [line for line in fleet.events(fleet.ledger()) if line["event"] == "rollout.started"][-1]["data"]
    assert started["smoke"]["held"] == ["page"]
    assert started["hosts"]["app3"] is None
    after = state()
    # Not 1.3.0, from which they came back.
    assert {after[host].pop("previous")[:6] for host in ("app1", "app2")} == {"1.2.0-"}
    assert [before[host].pop("previous") for host in ("app1", "app2")] == [None, None]
    assert after == before


BROKEN = {
    "app1": [
        "mount -t tmpfs -o nr_inodes=500 tmpfs /tmp",
        "mount --bind /opt/storefront /opt/storefront && mount -o remount,ro,bind /opt/storefront",
    ],
    "app2": [
        "cd /opt/storefront && cp -a $(readlink current) copy && rm current && mv copy current",
        "mv /etc/gradual/storefront /etc/gradual/away",
    ],
    "app3": ["mv /etc/systemd/system/storefront.service /var/tmp && systemctl daemon-reload"],
    "lb1": ["echo set server application/app2 state maint | socat stdio /run/haproxy/admin.sock"],
    "mon1": ["sed s/storefront.test/nowhere.test/ /etc/hosts > /var/tmp/hosts && cat /var/tmp/hosts > /etc/hosts"],
}
MENDED = {
    "app1": ["umount /tmp /opt/storefront"],
    "app2": [
        "cd /opt/storefront && rm -r current && ln -s releases/1.2.0-* current",
        "mv /etc/gradual/away /etc/gradual/storefront",
    ],
    "app3": ["mv /var/tmp/storefront.service /etc/systemd/system/ && systemctl daemon-reload"],
    "mon1": ["sed s/nowhere.test/storefront.test/ /etc/hosts > /var/tmp/hosts && cat /var/tmp/hosts > /etc/hosts"],
}
NAMED = [
    "app1: Gradual must write below /opt/storefront, and its file system is read-only",
    "inodes are free at /tmp, 10000 are needed",
    "app2: /opt/storefront/current is a directory, and must be a link",
    "app2: Gradual must write below /etc/gradual/storefront, and there is no such directory",
    "app3: systemd must be able to start storefront.service, and says that it is not-found",
    "mon1: probes ask for the front door from there and cannot reach it",
    "lb1: app1 is the only application host that serves users there",
]


def test_preflight_names_what_would_have_been_found_on_the_way(run: Run) -> None:
    ledger = fleet.ledger()
    arguments = toy.release("1.4.0", {})
    try:
        for host, commands in BROKEN.items():
            for command in commands:
                fleet.execute(host, "sh", "-ec", command)
        ran = run("playbooks/preflight.yml", *arguments)
    finally:
        for host, commands in MENDED.items():
            for command in commands:
                fleet.execute(host, "sh", "-c", command, check=False)
    assert ran.status != 0
    said = " ".join(ran.screen.split())
    assert [line for line in NAMED if line not in said] == []
    # The same fleet, mended, with one host in traffic: refused for nothing else, and permitted by the setting.
    permitted = run("playbooks/preflight.yml", *arguments, "-e", "min_in_traffic=0", "--check")
    permitted.insist()
    assert "USERS WILL NOTICE IT" in permitted.screen
    assert fleet.ledger() == ledger
