"""Monitoring as it lives: every series that a rule needs is there, and an alert reaches its receiver."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.support import fleet
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("finished")
RULES = sorted((fleet.HOME / "roles/monitoring/files/rules").glob("*.yml"))
WORDS = {
    "sum",
    "rate",
    "increase",
    "by",
    "on",
    "and",
    "or",
    "unless",
    "max",
    "min",
    "avg",
    "time",
    "absent",
    "vector",
    "offset",
    "avg_over_time",
    "ignoring",
}
# Born by their first event, which a healthy fleet may never have had.
MAY_BE_MISSING: set[str] = set()


def prometheus(path: str, **parameters: str) -> Any:
    query = urllib.parse.urlencode(parameters)
    said = json.loads(fleet.execute("mon1", "curl", "-s", f"http://127.0.0.1:9090/api/v1/{path}?{query}"))
    assert said["status"] == "success", said
    return said["data"]


def deliveries() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in fleet.execute("mon1", "tail", "-n", "400", "/var/lib/gradual/alerts/deliveries.jsonl").splitlines()
    ]


def delivered(alert: str, status: str, since: float, **labels: str) -> Callable[[], bool]:
    after = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
    return lambda: any(
        line["alert"] == alert
        and line["status"] == status
        and line["received"] >= after
        and labels.items() <= line["labels"].items()
        for line in deliveries()
    )


def test_the_disk_of_each_host_is_measured() -> None:
    """The root alone: what else is mounted in a container, and whether that is a disk, differs by machine."""
    roots = prometheus("query", query='node_filesystem_avail_bytes{mountpoint="/"}')["result"]
    assert sorted(series["metric"]["host"] for series in roots) == ["app1", "app2", "app3", "db1", "lb1", "mon1"]


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def names(expression: str) -> set[str]:
    """Metrics that an expression reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|ignoring)\s*\([^)]*\)|\boffset \w+", " ", expression)
    return set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - WORDS


def test_names_are_found_in_expressions() -> None:
    assert names('sum by (a, b) (rate(x_total{c="d"}[5m])) / on (a) group_left y:z offset 3m > 1e3') - {
        "group_left",
        "e3",
    } == {"x_total", "y:z"}


def found(name: str) -> Any:
    """Its series in the last half hour: a share is there only while somebody asks for something."""
    return prometheus("query", query=f"count(last_over_time({name}[30m]))")["result"]


@pytest.mark.parametrize("name", sorted({name for rule in rules() for name in names(rule["expr"])} - MAY_BE_MISSING))
def test_every_metric_of_a_rule_is_there(name: str) -> None:
    assert found(name), f"no series is called {name}"


def test_a_metric_that_is_not_there_is_noticed() -> None:
    """Negative control."""
    assert not found("feature_request_total")


def test_every_rule_is_evaluated() -> None:
    loaded = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {rule.get("alert") or rule["record"] for rule in rules()}
    assert [rule["name"] for rule in loaded if rule["health"] != "ok"] == []


def test_every_target_is_read() -> None:
    targets = prometheus("targets", state="active")["activeTargets"]
    assert [(target["labels"]["job"], target["lastError"]) for target in targets if target["health"] != "up"] == []
    assert {target["labels"]["job"] for target in targets} == {
        "application",
        "haproxy",
        "front_door",
        "readiness",
        "postgres",
        "node",
        "prometheus",
        "alertmanager",
    }
    assert {target["labels"]["instance"] for target in targets if target["labels"]["job"] == "application"} == {
        "app1:8080",
        "app2:8080",
        "app3:8080",
    }


def test_the_watchdog_is_heard_every_minute() -> None:
    until(delivered("Watchdog", "firing", time.time() - 90), "the watchdog has been delivered")


def test_a_fault_reaches_the_receiver_and_so_does_its_end() -> None:
    since = time.time()
    try:
        fleet.execute("app3", "systemctl", "stop", "storefront")
        until(
            delivered("BackendServerDown", "firing", since, server="app3", severity="warning"),
            "the alert has been delivered",
        )
    finally:
        fleet.execute("app3", "systemctl", "start", "storefront")
    until(delivered("BackendServerDown", "resolved", since, server="app3"), "the end of the alert has been delivered")
    until(lambda: fleet.balancer()["app3"] == "UP", "app3 is back in traffic")


def test_a_delivery_without_the_token_is_refused() -> None:
    said = fleet.execute(
        "mon1",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-d",
        '{"alerts": []}',
        "http://127.0.0.1:9095/record",
    )
    assert said == "401"


def test_the_health_check_runs_every_five_minutes() -> None:
    assert fleet.execute("mon1", "systemctl", "is-active", "gradual-health-check.timer").strip() == "active"
    began = float(fleet.execute("mon1", "date", "+%s"))
    fleet.execute("mon1", "systemctl", "start", "gradual-health-check.service")
    last = "gradual_health_check_last_run_timestamp_seconds"
    # Not of a run before, when a test had a host stopped.
    until(lambda: float(prometheus("query", query=last)["result"][0]["value"][1]) >= began, "Prometheus knows of it")
    passed = {
        (found["metric"]["target"], found["metric"]["check"]): found["value"][1]
        for found in prometheus("query", query="gradual_health_check_passed")["result"]
    }
    assert ("front_door", "page") in passed
    assert ("app1", "readyz") in passed
    assert not [check for check, value in passed.items() if value != "1"]


def test_a_health_check_that_stopped_is_noticed() -> None:
    """The dead man's expression, with the time of the last run put back."""
    path = "/var/lib/prometheus/node-exporter/gradual-health-check.prom"
    stale = next(rule["expr"] for rule in rules() if rule.get("alert") == "HealthCheckStale")
    assert not prometheus("query", query=stale)["result"]
    fleet.execute(
        "mon1", "sed", "-i", "s/^\\(gradual_health_check_last_run_timestamp_seconds\\) .*/\\1 1700000000/", path
    )
    try:
        until(lambda: prometheus("query", query=stale)["result"], "it is noticed")
    finally:
        fleet.execute("mon1", "systemctl", "start", "gradual-health-check.service")
    until(lambda: not prometheus("query", query=stale)["result"], "it is over")
