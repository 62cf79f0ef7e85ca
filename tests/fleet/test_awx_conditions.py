"""As AWX runs jobs: each on a controller of its own, as another user, from a project that is read-only; a cancelled one
is killed, and the next one brings users back."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch

from tests.support import fleet, toy
from tests.support.controller import USER, Job
from tests.support.fixtures import Run
from tests.support.waiting import until

# How long a killed job keeps others out, at the most; and the next job's attempts at the lease, on a busy machine.
LEASE, ATTEMPTS = 90, 60


def taken_by(controller: str) -> float:
    """When a job first had the lease, in seconds since the epoch."""
    lines = [line for line in fleet.events(fleet.ledger()) if line["event"] == "lease.taken"]
    return next(epoch(line["time"]) for line in lines if line["data"]["holder"].startswith(f"{USER}@{controller}/"))


def test_a_cancelled_job_and_the_next_one(baseline: None, run: Run, tmp_path: Path) -> None:
    new = toy.release("1.3.0", {})
    first = Job("awx-1", tmp_path, "deploy.yml", *new)
    since = len(fleet.events(fleet.ledger()))
    until(lambda: first.over or fleet.look("app1")["current"].startswith("1.3.0-"), "app1 is switched")
    assert not first.over, first.screen[-3000:]
    first.kill()
    killed = time.time()
    taken = [line for line in fleet.events(fleet.ledger())[since:] if line["event"] == "lease.taken"]
    assert taken[-1]["data"]["holder"].startswith(f"{USER}@awx-1/")
    assert taken[-1]["data"]["seconds"] == LEASE
    back = Job("awx-2", tmp_path, "rollback.yml")
    assert back.wait() == 0, back.screen[-3000:]
    assert killed < taken_by("awx-2") < killed + LEASE + ATTEMPTS
    assert re.search(
        rf"Locked by {USER}@awx-1/\w+:\d+ until \S+; waiting up to 90 s for that\. To take over at once: -e"
        r" gradual_take_over=true",
        back.screen,
    )
    assert {fleet.running(host) for host in fleet.HOSTS} == {"1.0.0"}
    assert set(fleet.balancer().values()) == {"UP"}
    ledger = fleet.events(fleet.ledger())
    assert [line["data"]["outcome"] for line in ledger if line["event"] == "rollout.finished"][-1] == "returned"


def test_a_person_takes_over_at_once(baseline: None, run: Run, tmp_path: Path) -> None:
    """From a job that is alive: it loses the lease, and stops after the module that it is running."""
    new = toy.release("1.3.1", {})
    first = Job("awx-3", tmp_path, "deploy.yml", *new)
    until(lambda: first.over or fleet.look("app1")["current"].startswith("1.3.1-"), "app1 is switched")
    began = time.time()
    back = Job("awx-4", tmp_path, "rollback.yml", "-e", "gradual_take_over=true")
    assert back.wait() == 0, back.screen[-3000:]
    assert taken_by("awx-4") < began + LEASE, "it waited for the lease of a job that is alive"
    assert first.wait(60) != 0
    assert "This run has lost the lock of rollout" in " ".join(first.screen.split())
    assert {fleet.running(host) for host in fleet.HOSTS} == {"1.0.0"}
