"""Whether anybody is watching, against a small Prometheus and a front door of the test's own."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError
from ansible_collections.gradual.rollout.plugins.module_utils.observe import health
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

NOW = 1_700_000_000.0
SERIES: dict[str, list[dict[str, Any]]] = {
    'ALERTS{alertstate="firing"}': [
        {"metric": {"alertname": "Watchdog"}, "value": [NOW, "1"]},
        {"metric": {"alertname": "HostDown", "severity": "critical"}, "value": [NOW, "1"]},
        {"metric": {"alertname": "DiskFull", "severity": "warning"}, "value": [NOW, "1"]},
    ],
    "sum(alertmanager_notifications_total) - sum(alertmanager_notifications_failed_total)": [
        {"metric": {}, "value": [NOW, "6"]}
    ],
    f"{NOW:.3f} - min(gradual_health_check_last_run_timestamp_seconds)": [{"metric": {}, "value": [NOW, "143"]}],
    "up": [{"metric": {}, "value": [NOW, "1"]}],
}
PAGES: dict[str, Any] = {
    "/api/v1/rules": {
        "groups": [{"rules": [{"type": "alerting"}, {"type": "recording"}]}, {"rules": [{"type": "alerting"}]}]
    },
    "/api/v1/alertmanagers": {"activeAlertmanagers": [{"url": "x"}]},
}
DASHBOARD = {
    "panels": [
        {"title": "Row", "panels": [{"title": "Inside", "targets": [{"expr": "up"}]}]},
        {"title": "Up", "targets": [{"expr": "up"}, {"expr": "nothing_of_that_name"}]},
    ]
}


class Handler(http.server.BaseHTTPRequestHandler):
    """A Prometheus that knows SERIES, and a front door that hides all but /version."""

    marks: ClassVar[set[str | None]] = set()

    def do_GET(self) -> None:
        Handler.marks.add(self.headers.get("X-Gradual-Probe"))
        path = urlsplit(self.path).path
        if path in PAGES:
            self.answer(200, {"status": "success", "data": PAGES[path]})
        else:
            self.answer(200 if path in ("/", "/version") else 404, {})

    def do_POST(self) -> None:
        query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["query"][0]
        self.answer(200, {"status": "success", "data": {"result": SERIES.get(query, [])}})

    def answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_what_is_watched_is_counted(url: str) -> None:
    seen = health.watch(Prometheus(url), DASHBOARD, NOW)
    assert seen == {
        "rules": 2,
        "alertmanagers": 1,
        "watchdog": True,
        "firing": ["DiskFull", "HostDown"],
        "critical": ["HostDown"],
        "delivered": 6.0,
        "health_check_age_seconds": 143.0,
        "dashboard": {"panels": 2, "queries": 3, "answered": 2, "silent": ["Up: nothing_of_that_name"]},
        "not_measured": [],
    }


def test_what_is_not_there_is_not_measured_and_never_zero() -> None:
    seen = health.watch(Prometheus("http://127.0.0.1:9", timeout=1), DASHBOARD, NOW)
    assert {
        seen[key] for key in ("rules", "alertmanagers", "watchdog", "critical", "delivered", "health_check_age_seconds")
    } == {None}
    assert seen["dashboard"] is None
    assert len(seen["not_measured"]) == 3


@pytest.mark.parametrize(
    ("critical", "accepted", "wanted"),
    [
        ([], [], ""),
        (["HostDown"], ["HostDown"], ""),
        (
            ["HostDown"],
            ["DiskFull"],
            (
                "HostDown fires. See docs/runbooks/HostDown.md. "
                'Where this release is the cure: -e \'{"preflight_accepted_alerts": ["HostDown"]}\''
            ),
        ),
        (["DiskFull", "HostDown"], ["HostDown"], "DiskFull fires"),
        (None, ["HostDown"], "It is not known whether an alert fires: nobody answers. Mend the monitoring first."),
    ],
)
def test_no_rollout_begins_while_an_alert_fires_or_nobody_can_tell(
    critical: list[str] | None, accepted: list[str], wanted: str
) -> None:
    said = health.alarm({"critical": critical, "not_measured": ["nobody answers"]}, accepted)
    assert said == wanted if not wanted else wanted in said


def test_an_alarm_says_for_how_long_it_was_waited() -> None:
    assert "HostDown fires, still after 120 s. See" in health.alarm({"critical": ["HostDown"]}, [], waited=120.04)


class Alerts:
    """A Prometheus whose alerts are told by the second, and the clock that its reader waits by."""

    def __init__(self, seconds: dict[int, Any]) -> None:
        self.seconds, self.now, self.asked = seconds, 0.0, 0

    def values(self, expression: str, _now: float) -> list[tuple[dict[str, str], float]]:
        assert expression == 'ALERTS{alertstate="firing"}', "pending alerts are none"
        self.asked += 1
        firing = next(value for second, value in sorted(self.seconds.items(), reverse=True) if second <= self.now)
        if isinstance(firing, Exception):
            raise firing
        return [({"alertname": name, "severity": severity}, 1.0) for name, severity in firing]

    def wait(self, within: float, accepted: list[str]) -> float:
        def sleep(seconds: float) -> None:
            self.now += seconds

        return health.calm(self, accepted, within, lambda: self.now, sleep)  # type: ignore[arg-type]


DOWN, FULL = ("HostDown", "critical"), ("DiskFull", "warning")


@pytest.mark.parametrize(
    ("seconds", "accepted", "waited", "asked"),
    [
        ({0: []}, [], 0, 1),
        ({0: [FULL]}, [], 0, 1),
        ({0: [DOWN]}, ["HostDown"], 0, 1),
        ({0: [DOWN, FULL], 31: [FULL]}, [], 32, 17),
        ({0: [DOWN, ("FrontDoorDown", "critical")], 10: [DOWN]}, ["HostDown"], 10, 6),
        ({0: [DOWN], 10: PrometheusError("it restarts"), 20: []}, [], 20, 11),
        ({0: [DOWN]}, [], 119, 61),
        ({0: PrometheusError("nobody answers")}, [], 119, 61),
    ],
)
def test_alerts_that_are_ending_are_waited_for(
    seconds: dict[int, Any], accepted: list[str], waited: float, asked: int
) -> None:
    alerts = Alerts(seconds)
    assert alerts.wait(119, accepted) == waited
    assert alerts.asked == asked


def test_without_a_dashboard_that_is_said(url: str) -> None:
    seen = health.watch(Prometheus(url), None, NOW)
    assert seen["dashboard"] is None
    assert seen["not_measured"] == ["dashboard: there is none to look at"]


def test_what_strangers_see(url: str) -> None:
    Handler.marks.clear()
    seen = health.front_door(url, None)
    assert Handler.marks == {None}, "a stranger does not say that he is Gradual"
    assert seen["headers"] == ["x-frame-options"]
    assert "content-security-policy" in seen["headers_missing"]
    assert seen["internal_open"] == ["/version"]
    assert seen["internal_closed"] == ["/healthz", "/readyz", "/metrics"]


def test_a_shut_front_door_is_an_error() -> None:
    with pytest.raises(HttpError):
        health.front_door("http://127.0.0.1:9", None)


@pytest.mark.parametrize("dashboard", [{}, {"panels": None}, {"panels": [{}]}, {"panels": [{"targets": [{}]}]}])
def test_a_dashboard_without_queries_has_none(dashboard: dict[str, Any]) -> None:
    assert health.queries(dashboard) == []
