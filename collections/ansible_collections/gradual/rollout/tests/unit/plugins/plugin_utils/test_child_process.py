# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What runs beside a worker: its result, its errors, and that it ends with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.gradual.rollout.plugins.plugin_utils.child_process import Beside, Everywhere

LONG = 60.0


def wait(job: Beside | Everywhere) -> Any:
    until = time.monotonic() + LONG
    while (result := job.result()) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return result


def appears(path: Path) -> None:
    until = time.monotonic() + LONG
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.01)


def fails(error: Exception) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        raise error

    return work


def test_the_result_comes_from_a_process_of_its_own() -> None:
    job = Beside("app1", lambda: {"pid": os.getpid(), "text": "x" * 1_000_000})
    result = wait(job)
    job.end()
    assert result["pid"] != os.getpid()
    assert len(result["text"]) == 1_000_000


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (fails(AnsibleConnectionFailure("timed\n out")), {"lost_host": "app1", "msg": "Host app1 was lost. timed out"}),
        (lambda: {"unreachable": True, "msg": "gone"}, {"lost_host": "app1", "msg": "Host app1 was lost. gone"}),
        (fails(ValueError("no such thing")), {"msg": "app1: no such thing"}),
        (lambda: os._exit(1), {"msg": "the process that ran it on app1 died"}),
    ],
)
def test_whatever_goes_wrong_is_a_result(work: Callable[[], Any], told: dict[str, Any]) -> None:
    assert wait(Beside("app1", work)) == {"failed": True, **told}


def test_it_ends_with_all_that_it_started(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        with subprocess.Popen(["sleep", str(LONG)]) as sleeping:
            (tmp_path / "part").write_text(str(sleeping.pid))
            (tmp_path / "part").rename(tmp_path / "pid")
        return {}

    job = Beside("app1", work)
    appears(tmp_path / "pid")
    job.end()
    started = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    until = time.monotonic() + LONG
    while started.exists() and started.read_text().rpartition(") ")[2][0] != "Z":
        assert time.monotonic() < until, "what it started still runs"
        time.sleep(0.01)
    assert job.result() == {"failed": True, "msg": "ended on app1 before it was done"}


@pytest.mark.parametrize("outlives", [False, True])
def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path, outlives: bool) -> None:
    def work() -> dict[str, Any]:
        (tmp_path / "begun").touch()
        time.sleep(4)
        (tmp_path / "done").touch()
        return {}

    worker = os.fork()
    if worker == 0:
        Beside("app1", work, outlives)
        time.sleep(LONG)
        os._exit(0)
    appears(tmp_path / "begun")
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    time.sleep(6)
    assert (tmp_path / "done").exists() is outlives


def test_the_connection_cleans_up_after_itself(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        try:
            (tmp_path / "begun").touch()
            time.sleep(LONG)
        finally:
            (tmp_path / "cleaned").touch()
        return {}

    job = Beside("app1", work)
    appears(tmp_path / "begun")
    job.end()
    assert (tmp_path / "cleaned").exists()


def test_a_host_that_does_not_answer_delays_no_other(tmp_path: Path) -> None:
    def hangs() -> dict[str, Any]:
        time.sleep(LONG)
        return {}

    hosts = Everywhere({"app1": hangs, "app2": lambda: {"n": 2}, "app3": dict}, at_once=2, seconds=3)
    results = wait(hosts)
    assert (results["app2"], results["app3"]) == ({"n": 2}, {})
    assert results["app1"] == {"failed": True, "lost_host": "app1", "msg": "Host app1 did not answer within 3 s"}


def test_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    def work(name: str) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            (tmp_path / name).touch()
            beside = len(list(tmp_path.iterdir()))
            time.sleep(0.2)
            (tmp_path / name).unlink()
            return {"beside": beside}

        return run

    results = wait(Everywhere({f"app{n}": work(f"app{n}") for n in range(5)}, at_once=2, seconds=LONG))
    assert len(results) == 5
    assert max(result["beside"] for result in results.values()) <= 2


def test_what_has_not_begun_never_begins_once_it_is_ended(tmp_path: Path) -> None:
    def touch() -> dict[str, Any]:
        (tmp_path / "begun").touch()
        return {}

    def hangs() -> dict[str, Any]:
        time.sleep(LONG)
        return {}

    hosts = Everywhere({"app1": hangs, "app2": touch}, at_once=1, seconds=LONG)
    hosts.end()
    assert hosts.result() == {"app1": {"failed": True, "msg": "ended on app1 before it was done"}}
    assert not (tmp_path / "begun").exists()
