"""A feature that all users have begins to err, and no rollout runs: the unit on the monitoring host turns it off
everywhere, once, unless responses are on hold. One fleet serves all, in this order."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import fleet, toy
from tests.support.fixtures import Run
from tests.support.waiting import until

VERSION = "1.3.1"
BAD = "/run/storefront/features-bad"
UNIT = "http://127.0.0.1:9096/"
HOLD = ["playbooks/hold_responses.yml", "-e"]
COUNTER = 'feature_requests_total{feature="search",variant="on",outcome="error"}'
RATE = 60.0


class Load(threading.Thread):
    """Users at the front door at a fixed rate, on one connection for each of its threads; what they get is theirs."""

    def __init__(self, rate: float) -> None:
        super().__init__(daemon=True)
        self.pause, self.over = 1 / rate, threading.Event()

    def run(self) -> None:
        context = ssl.create_default_context(cafile=str(fleet.AUTHORITY))
        connection = http.client.HTTPSConnection(fleet.FRONT_DOOR, timeout=5, context=context)
        address = fleet.addresses()["lb1"]
        connect = lambda target, *more, **named: socket.create_connection((address, target[1]), *more, **named)  # noqa: E731
        connection._create_connection = connect  # type: ignore[attr-defined]
        following = time.monotonic()
        while not self.over.wait(max(0.0, following - time.monotonic())):
            following += self.pause
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()


@pytest.fixture(scope="module", autouse=True)
def load(baseline: None) -> Iterator[None]:
    threads = [Load(RATE / 6) for _number in range(6)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.over.set()


@pytest.fixture(scope="module", autouse=True)
def shown(load: None, run: Run) -> None:
    """A finished rollout: all users have the feature."""
    changes: dict[str, Any] = {"gate": {"low_traffic": "slo"}}
    run("deploy.yml", *toy.release(VERSION, {"features": ["search"]}, **changes), "-e", "ramp_users=200").insist()
    assert shares() == {1.0}


def shares() -> set[float]:
    return {share for host in fleet.HOSTS for _flag, share in fleet.look(host)["shares"]}


def answered() -> list[dict[str, Any]]:
    return [dict(line["data"]) for line in fleet.events(fleet.ledger()) if line["event"] == "alert.answered"]


def killed() -> list[dict[str, Any]]:
    return [dict(line["data"]) for line in fleet.events(fleet.ledger()) if line["event"] == "flag.killed"]


def files() -> list[str]:
    return [fleet.execute(host, "cat", f"/etc/gradual/{fleet.APPLICATION}/flags.json") for host in fleet.HOSTS]


@contextlib.contextmanager
def erring() -> Iterator[None]:
    for host in fleet.HOSTS:
        fleet.execute(host, "touch", BAD)
    try:
        yield
    finally:
        for host in fleet.HOSTS:
            fleet.execute(host, "rm", "-f", BAD)


def first_bad_scrape(since: float) -> float:
    """When Prometheus first read a counter of errors that had grown, in seconds since the epoch."""
    query = f"query={COUNTER}[10m]".replace("{", "%7B").replace("}", "%7D").replace('"', "%22")
    said = json.loads(fleet.execute("mon1", "curl", "-sg", f"http://127.0.0.1:9090/api/v1/query?{query}"))
    grown = []
    for series in said["data"]["result"]:
        points = [(float(at), float(value)) for at, value in series["values"]]
        grown += [at for (_, before), (at, value) in zip(points, points[1:]) if value > before and at > since]
    return min(grown)


def silent() -> bool:
    """Whether Prometheus has no FeatureErrorsHigh any more."""
    said = json.loads(fleet.execute("mon1", "curl", "-s", "http://127.0.0.1:9090/api/v1/alerts"))
    return not any(alert["labels"]["alertname"] == "FeatureErrorsHigh" for alert in said["data"]["alerts"])


def deliver(*alerts: dict[str, Any], token: str | None = None) -> str:
    """The status with which the unit answers a delivery, as Alertmanager makes it."""
    known = token or fleet.execute("mon1", "cat", "/etc/gradual/responses/token").strip()
    body = json.dumps({"alerts": alerts}).replace("\\", "\\\\").replace('"', '\\"')
    settings = f'url = "{UNIT}"\nheader = "Authorization: Bearer {known}"\ndata = "{body}"\n'
    return fleet.execute("mon1", "curl", "-s", "-K", "-", "-o", "/dev/null", "-w", "%{http_code}", text=settings)


def alert(firing: str, name: str = "FeatureErrorsHigh", **labels: str) -> dict[str, Any]:
    fingerprint, starts = firing.split()
    told = {"alertname": name, "feature": "search", **labels}
    return {"status": "firing", "labels": told, "annotations": {}, "startsAt": starts, "fingerprint": fingerprint}


def test_it_is_off_everywhere_and_recorded(record_property: Any) -> None:
    began = time.time()
    with erring():
        [done] = until(answered, "the unit has responded")
        assert (done["outcome"], done["alert"], done["subject"]) == ("done", "FeatureErrorsHigh", "search")
        assert shares() == {0.0}
    first = first_bad_scrape(began)
    record_property(
        "seconds from the first bad scrape until it is off everywhere", done["at"] + done["seconds"] - first
    )
    record_property("of which the response", done["seconds"])
    [mark] = killed()
    assert (mark["by"], mark["hosts"]) == ("gradual-responses", fleet.HOSTS)
    until(silent, "the alert has ended")


def test_sent_again_it_does_nothing() -> None:
    before = (files(), fleet.ledger())
    [done] = answered()
    again = alert(done["firing"])
    assert [deliver(again), deliver(again, again)] == ["200", "200"]
    assert (files(), fleet.ledger()) == before


def test_an_alert_without_a_row_does_nothing() -> None:
    before = (files(), fleet.ledger())
    assert deliver(alert("f1 2026-01-01T00:00:00Z", "FrontDoorDown")) == "200"
    assert deliver(alert("f2 2026-01-01T00:00:00Z", "StageNotCertified", flag="search")) == "200"
    assert (files(), fleet.ledger()) == before


def test_nobody_else_gets_in() -> None:
    before = (files(), fleet.ledger())
    assert deliver(alert("f3 2026-01-01T00:00:00Z"), token="wrong") == "401"
    elsewhere = ["curl", "-s", "--connect-timeout", "3", f"http://{fleet.addresses()['mon1']}:9096/"]
    assert fleet.execute("app1", *elsewhere, check=False) == ""
    settings = json.loads(fleet.execute("mon1", "cat", "/etc/gradual/responses/settings.json"))
    ssh = settings["ssh"]
    login = ["runuser", "-u", ssh["user"], "--", "ssh", "-F", "none", "-i", ssh["key"], "-o", "BatchMode=yes"]
    login += ["-o", f"UserKnownHostsFile={ssh['known_hosts']}", "-l", ssh["user"], settings["hosts"]["app1"]]
    said = json.loads(fleet.execute("mon1", *login, "cat /etc/shadow"))
    assert (said["failed"], said["msg"][:13]) == (True, "not a request")
    token = fleet.execute("mon1", "cat", "/etc/gradual/responses/token").strip()
    assert token not in fleet.execute(
        "mon1", "sh", "-c", "cat /proc/*/cmdline /proc/*/environ | tr '\\0' ' '", check=False
    )
    assert token not in fleet.execute("mon1", "journalctl", "-b", "-u", "gradual-responses")
    assert (files(), fleet.ledger()) == before


def show_again(run: Run) -> None:
    """All users have the feature again, as after another rollout of it."""
    run("playbooks/allow_flag.yml", "-e", "flag=search").insist()
    wanted = {
        "path": f"/etc/gradual/{fleet.APPLICATION}/flags.json",
        "flags": [{"flag": "search", "certified": 100}],
        "revision": 1,
        "verify_url": "http://127.0.0.1:8080/metrics",
    }
    command = ["ansible", "application", "-m", "gradual.rollout.feature_flags", "-a", json.dumps(wanted)]
    done = subprocess.run(
        command, cwd=fleet.HOME, env=fleet.clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert shares() == {1.0}


def test_during_a_hold_nothing_is_done_and_after_it_what_still_fires(run: Run) -> None:
    show_again(run)
    run(*HOLD, json.dumps({"on": True, "reason": "load test"})).insist()
    with erring():
        until(lambda: [one["outcome"] for one in answered()] == ["done", "held"], "the unit has been told")
        assert answered()[-1]["reason"] == "responses are on hold: load test"
        assert shares() == {1.0}
        run(*HOLD, "on=false").insist()
        until(lambda: [one["outcome"] for one in answered()] == ["done", "held", "done"], "the unit has responded")
    assert shares() == {0.0}
