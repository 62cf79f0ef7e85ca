"""A step is finished, a rollout completed and a rollback whole only if every host reports it at that
moment.

Somebody switches a host by hand at the worst moment: after it was switched, and before it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import fleet, prepare, toy
from tests.support.fixtures import RUNS, Run

PLAYBOOKS = fleet.HOME / "playbooks"
SWITCH = "cd /opt/storefront && ln -sfn releases/{version}-* current && systemctl restart storefront"


@pytest.fixture(scope="module")
def begun(run: Run) -> None:
    """1.0.0 on every host."""
    prepare.up()
    prepare.to("1.0.0", lambda arguments: run("deploy.yml", *arguments).insist(), RUNS / "prepare")


def plays(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text()))


def by_hand(host: str, version: str) -> dict[str, Any]:
    """A play in which somebody switches a host to a release that lies on it."""
    task = {"name": "Switch", "ansible.builtin.shell": SWITCH.format(version=version)}
    return {"name": "By hand", "hosts": host, "gather_facts": False, "tasks": [task]}


def write(folder: Path, *parts: dict[str, Any]) -> str:
    path = folder / "playbook.yml"
    path.write_text(yaml.safe_dump(list(parts)))
    return str(path)


def happened(event: str) -> list[dict[str, Any]]:
    return [line["data"] for line in fleet.events(fleet.ledger()) if line["event"] == event]


def runs_on(*hosts: str) -> list[str | None]:
    return [fleet.running(host) for host in hosts]


def test_a_release_step_is_not_finished_by_hosts_that_ran_it_once(begun: None, run: Run, tmp_path: Path) -> None:
    *switching, confirming = plays("release")
    before = happened("step.finished")
    way = [play for name in ("preflight", "backup", "migrate") for play in plays(name)]
    ran = run(write(tmp_path, *way, *switching, by_hand("app2", "1.0.0"), confirming), *toy.release("1.1.0", {}))
    assert ran.status != 0
    assert "app2: its link current leads to 1.0.0 (" in " ".join(ran.screen.split())
    assert [step["step"] for step in happened("step.finished")[len(before) :]] == ["backup", "migrate"]
    failed = happened("step.failed")[-1]
    assert (failed["step"], failed["host"]) == ("release", "app2")
    assert runs_on(*fleet.HOSTS) == ["1.1.0", "1.0.0", "1.1.0"]


def test_a_return_is_not_whole_while_one_host_says_otherwise(begun: None, run: Run, tmp_path: Path) -> None:
    *returning, confirming, finishing = plays("rollback")
    ran = run(write(tmp_path, *returning, by_hand("app3", "1.1.0"), confirming, finishing))
    assert ran.status != 0
    told = happened("return.finished")[-1]
    assert told["left"] == ["app3"]
    assert "its link current leads to 1.1.0 (" in told["reasons"][0]
    assert happened("rollout.finished")[-1]["outcome"] == "incomplete"
    assert "Not every host is back: app3: its link current leads to 1.1.0 (" in " ".join(ran.screen.split())
    assert fleet.balancer()["app3"] == "MAINT"

    run("rollback.yml").insist()
    assert happened("return.finished")[-1]["left"] == []
    assert happened("rollout.finished")[-1]["outcome"] == "returned"
    assert (runs_on(*fleet.HOSTS), set(fleet.balancer().values())) == (["1.0.0"] * 3, {"UP"})


def test_a_rollout_is_not_completed_while_one_host_says_otherwise(begun: None, run: Run, tmp_path: Path) -> None:
    way = [play for name in ("preflight", "backup", "migrate", "release", "ramp", "verify") for play in plays(name)]
    ran = run(write(tmp_path, *way, by_hand("app2", "1.0.0"), *plays("report")), *toy.release("1.1.0", {}))
    assert [step["step"] for step in happened("step.finished")[-5:]] == [
        "backup",
        "migrate",
        "release",
        "ramp",
        "verify",
    ], ran.screen[-3000:]
    assert ran.status != 0
    assert "Not completed: app2: its link current leads to 1.0.0 (" in " ".join(ran.screen.split())
    assert happened("rollout.finished")[-1]["outcome"] == "incomplete"
    failed = happened("step.failed")[-1]
    assert (failed["step"], failed["host"]) == ("verify", "app2")
    # Anybody's next run goes back from there.
    run("rollback.yml").insist()
    assert runs_on(*fleet.HOSTS) == ["1.0.0"] * 3
