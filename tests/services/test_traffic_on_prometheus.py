"""What users got, from a real HAProxy scraped by a real Prometheus, and from a remembered rollout whose figures are
known."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import pathlib
import subprocess
import threading
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import OWN
from ansible_collections.gradual.rollout.plugins.module_utils.flags import usage as flag_usage
from ansible_collections.gradual.rollout.plugins.module_utils.observe import traffic
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import client as prometheus_utils
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

from . import balancer
from .history import START, History, arm, free_port, needs, prometheus, wait_ready

SECONDS = 120


def http_side(requests: float, slow: float = 0.0) -> dict[str, float]:
    labels = 'method="GET",route="/",'
    fast = requests - slow
    return {
        'http_requests_total{method="GET",route="/",status="200"}': requests,
        **{
            f'http_request_duration_seconds_bucket{{{labels}le="{bound}"}}': count
            for bound, count in (("0.1", fast), ("0.5", fast), ("1.0", requests))
        },
        f'http_request_duration_seconds_bucket{{{labels}le="+Inf"}}': requests,
        'http_request_duration_seconds_count{method="GET",route="/"}': requests,
        'http_request_duration_seconds_sum{method="GET",route="/"}': 0.05 * fast + 0.8 * slow,
    }


def own(requests: float) -> dict[str, float]:
    """Requests of Gradual's own, which are slow and fail: they must be seen in no figure of users."""
    labels = 'route="gradual-probe"'
    buckets = {f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}}': 0 for bound in ("0.1", "0.5", "1.0")}
    return {
        'http_requests_total{method="GET",route="gradual-probe",status="500"}': requests,
        **buckets,
        f'http_request_duration_seconds_bucket{{{labels},le="+Inf"}}': requests,
        f"http_request_duration_seconds_count{{{labels}}}": requests,
        f"http_request_duration_seconds_sum{{{labels}}}": 9 * requests,
        'http_request_duration_seconds_count{route="/readyz"}': 3 * requests,
        'http_request_duration_seconds_sum{route="/readyz"}': 9 * requests,
        'http_request_duration_seconds_bucket{route="/readyz",le="0.5"}': 0,
    }


def application(second: int) -> dict[str, float]:
    erring = 1 if 60 <= second < 70 else 0
    grown = http_side(20, slow=2 if second >= 60 else 0) | arm("search", "on", 5, erring, 1) | arm("search", "off", 15)
    grown |= arm("search", "aa25", 2) | arm("search", "aa50", 1) | own(50)
    grown |= {
        'feature_feedback_total{feature="search",variant="on",opinion="good"}': 1,
        'feature_orders_total{feature="search",variant="on"}': 2,
    }
    grown |= {'feature_evaluations_total{flag="search"}': 20, 'feature_evaluations_total{flag="cart"}': 0}
    return grown | ({"up": 0.0} if second == 30 else {})


def door(second: int) -> dict[str, float]:
    return {
        'haproxy_frontend_http_requests_total{proxy="front_door"}': 41 + 100,
        'haproxy_backend_http_requests_total{proxy="application_probes"}': 100,
        'haproxy_backend_http_requests_total{proxy="application"}': 41,
        'haproxy_frontend_http_responses_total{proxy="front_door",code="5xx"}': (1 if 60 <= second < 70 else 0) + 30,
        'haproxy_backend_http_responses_total{proxy="application_probes",code="5xx"}': 30,
        'haproxy_frontend_http_responses_total{proxy="front_door",code="2xx"}': 40,
        'haproxy_frontend_http_requests_total{proxy="internal"}': 7,
    }


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    folder: pathlib.Path = tmp_path_factory.mktemp("traffic")
    history = History()
    history.host("application", "app1", application, SECONDS)
    history.host("application", "app2", application, SECONDS, shift=0.4)
    history.host("haproxy", "lb1", door, SECONDS)
    history.host("half", "app1", application, SECONDS)
    history.host("half", "app2", lambda second: None if second > 60 else application(second), SECONDS)
    history.host("retired", "app1", lambda _second: http_side(20), SECONDS)
    history.write(folder)
    with prometheus(folder) as url:
        yield url


def window(since: float, until: float, **more: t.Any) -> traffic.Window:
    return traffic.Window(START + since, START + until, ["search"], **more)


def test_totals_are_those_of_the_rollout(address: str) -> None:
    seen = traffic.observe(Prometheus(address), window(0, 119))
    assert (seen["requests"], seen["failed"], seen["own_requests"]) == (41 * 119, 10, 100 * 119)
    assert seen["own_answered"] == pytest.approx(2 * 50 * 118, rel=0.02)
    # At the restart what was not scraped is lost, and one of the two hosts is scraped 0.4 s late.
    assert seen["answered"] == pytest.approx(2 * 20 * 118, rel=0.02)
    assert seen["slow"] == pytest.approx(2 * 2 * 59, rel=0.02)
    assert seen["mean_seconds"] == pytest.approx(0.05 + 0.75 * seen["slow"] / seen["answered"], rel=0.02)
    assert seen["not_measured"] == []
    on, off = seen["by_variant"]
    assert on["requests"] == pytest.approx(2 * 5 * 118, rel=0.02)
    assert (on["errors"], on["good"], on["bad"]) == (20, pytest.approx(236, rel=0.02), None)
    assert on["orders"] == pytest.approx(472, rel=0.02)
    assert (off["errors"], off["slow"]) == (0, 0)
    # Users of the A/A stage are without the feature too.
    assert off["requests"] == pytest.approx(2 * 18 * 118, rel=0.02)
    assert on["slow"] == pytest.approx(236, rel=0.02)


def test_points_of_the_chart_add_up_to_the_totals(address: str) -> None:
    seen = traffic.observe(Prometheus(address), window(0, 119))
    assert len(seen["series"]) <= traffic.POINTS + 1
    assert sum(point["requests"] or 0 for point in seen["series"]) == seen["requests"]
    assert [point["time"] for point in seen["series"]] == sorted(point["time"] for point in seen["series"])
    bad = [point for point in seen["series"] if point["failed"]]
    assert START + 59 <= bad[0]["time"] <= START + 62
    late = [point for point in seen["series"] if point["time"] > START + 70 and point["p95"]]
    assert all(0.5 < point["p95"] <= 1.0 and point["p50"] < 0.1 for point in late)


def test_what_was_not_measured_is_null_and_told(address: str) -> None:
    seen = traffic.observe(Prometheus(address), window(0, 119, job="nobody", frontends=["elsewhere"], slow_seconds=0.3))
    assert {seen[key] for key in ("requests", "failed", "answered", "slow", "mean_seconds")} == {None}
    assert len(seen["not_measured"]) == 3


def test_own_requests_that_are_not_told_apart_are_counted_and_it_is_said(address: str) -> None:
    """An application that knows no route gradual-probe, and a balancer without the backend: not a part of the contract,
    so no zero either."""
    seen = traffic.observe(Prometheus(address), window(0, 119, job="retired", probe_backends=["nobody"]))
    assert (seen["requests"], seen["own_requests"], seen["own_answered"]) == (141 * 119, None, None)
    assert [
        sentence for sentence in seen["not_measured"] if sentence.startswith("Gradual's own requests are counted among")
    ] == [
        (
            "Gradual's own requests are counted among those of users: Prometheus has no"
            " haproxy_backend_http_requests_total of the backend nobody"
        ),
        (
            "Gradual's own requests are counted among the answers to users: http_request_duration_seconds has no route"
            " gradual-probe"
        ),
    ]


def test_a_slow_bound_that_the_histogram_lacks_is_told(address: str) -> None:
    assert "has no bucket le=0.3, only 0.1, 0.5, 1, inf" in str(
        traffic.observe(Prometheus(address), window(0, 119, slow_seconds=0.3))["not_measured"]
    )


def test_a_prometheus_that_does_not_answer_has_measured_nothing() -> None:
    seen = traffic.observe(Prometheus("http://127.0.0.1:9"), window(0, 119))
    assert {seen[key] for key in ("requests", "failed", "answered", "slow", "mean_seconds")} == {None}
    assert seen["series"] == seen["by_variant"] == []
    assert "does not answer" in seen["not_measured"][0]


def test_a_time_that_ends_before_it_begins_is_refused(address: str) -> None:
    with pytest.raises(prometheus_utils.PrometheusError, match="is not before until"):
        traffic.observe(Prometheus(address), window(10, 10))


@pytest.mark.parametrize(
    ("job", "flags", "at", "counted", "word"),
    [
        (
            "application",
            ["search"],
            100,
            {"search": pytest.approx(2 * 20 * 49, rel=0.05)},
            "remove them from the code first",
        ),
        ("application", ["cart"], 100, {"cart": 0}, "nothing has evaluated cart"),
        ("retired", ["search"], 100, {"search": 0}, "nothing has evaluated search"),
        ("half", ["cart"], 100, {}, "Prometheus has no figures of app2:8080"),
        ("application", ["cart"], 40, {}, "it is not known what evaluates cart"),
        ("nobody", ["cart"], 100, {}, "no figures of any host"),
    ],
)
def test_whether_a_flag_is_still_evaluated(
    address: str, job: str, flags: list[str], at: float, counted: dict[str, int], word: str
) -> None:
    found, sentence = flag_usage.evaluations(Prometheus(address), flags, 50, START + at, job)
    assert found == counted
    assert word in sentence


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({0.1: 0, 0.5: 0, float("inf"): 0}, 0.5, None),
        ({0.1: 10, 0.5: 10, float("inf"): 10}, 0.5, 0.05),
        ({0.1: 0, 0.5: 10, float("inf"): 10}, 0.5, 0.3),
        ({0.1: 5, 0.5: 10, float("inf"): 10}, 0.95, 0.46),
        ({0.1: 0, 0.5: 0, float("inf"): 10}, 0.95, 0.5),
    ],
)
def test_quantile_of_buckets(buckets: dict[float, float], share: float, seconds: float | None) -> None:
    assert traffic.quantile(buckets, share) == seconds


class _Application(http.server.BaseHTTPRequestHandler):
    probes = 0

    def do_GET(self) -> None:
        _Application.probes += "X-Gradual-Probe" in self.headers
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: t.Any) -> None:
        pass


@contextlib.contextmanager
def haproxy(folder: pathlib.Path, servers: dict[str, int]) -> t.Iterator[tuple[int, int]]:
    """(front door, exporter) ports of an HAProxy as roles/balancer configures it."""
    needs("haproxy")
    front, internal, log = free_port(), free_port(), folder / "haproxy.log"
    (folder / "haproxy.cfg").write_text(balancer.configuration(folder, front, servers, internal))
    with log.open("wb") as output:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=output, stderr=output)
    try:
        wait_ready(internal, "/metrics", process, log)
        yield front, internal
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, path: str, source: str, headers: t.Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5, source_address=(source, 0))
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_live_haproxy_counts_users_and_nobody_else(tmp_path: pathlib.Path) -> None:
    """120 requests of Gradual's own, of which 40 fail, and 30 of users, of which 5 fail, through the configuration of
    roles/balancer.

    The names and meanings of HAProxy's metrics are not ours. A user who sends the header of Gradual's own requests is a
    user all the same.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with haproxy(tmp_path, {"app1": server.server_port}) as (front, internal):
        scrape = (
            f"scrape_configs: [{{job_name: haproxy, static_configs: [{{targets: ['127.0.0.1:{internal}'], labels:"
            " {host: lb1}}]}]\n"
        )
        with prometheus(tmp_path, scrape) as url:
            since, client = time.time(), Prometheus(url)

            def scraped(least: int) -> bool:
                found = client.series('haproxy_frontend_http_requests_total{proxy="front_door"}', since, time.time())
                return bool(found) and len(found[0].samples) > 1 and found[0].samples[-1][1] >= least

            until = time.monotonic() + 30
            while not scraped(0):
                assert time.monotonic() < until, "HAProxy is not scraped"
                time.sleep(0.2)
            own = [
                ask(front, path, balancer.FLEET, OWN)
                for path in ["/"] * 50 + ["/broken"] * 40 + ["/static/none"] * 10 + ["/metrics"] * 20
            ]
            users = [
                ask(front, path, balancer.USER, {})
                for path in ["/"] * 15 + ["/broken"] * 2 + ["/static/none"] * 3 + ["/readyz"] * 2
            ]
            # One who would hide failures, and one of the fleet's addresses who does not say that it is Gradual.
            users += [ask(front, "/broken", balancer.USER, OWN) for _each in range(2)] + [
                ask(front, "/", balancer.USER, OWN) for _each in range(4)
            ]
            users += [ask(front, path, balancer.FLEET, {}) for path in ("/", "/broken")]
            while not scraped(150):
                assert time.monotonic() < until, "the requests were not scraped"
                time.sleep(0.2)
            seen = traffic.observe(client, traffic.Window(since, time.time(), []))
    server.shutdown()
    server.server_close()
    assert (len(own), own.count(500), own.count(404)) == (120, 40, 20)
    assert (len(users), users.count(500), users.count(404)) == (30, 5, 2)
    assert (seen["requests"], seen["failed"], seen["own_requests"]) == (30, 5, 120)
    assert _Application.probes == 100, "the header reaches the application from the fleet alone"
    assert [sentence.partition(":")[0] for sentence in seen["not_measured"]] == ["times of answers"]


def test_what_haproxy_answers_itself_is_a_failure_too(tmp_path: pathlib.Path) -> None:
    """No server is up: users and Gradual get 503 from HAProxy, and each is counted where it belongs."""
    with haproxy(tmp_path, {"app1": free_port()}) as (front, internal):
        scrape = (
            f"scrape_configs: [{{job_name: haproxy, static_configs: [{{targets: ['127.0.0.1:{internal}'], labels:"
            " {host: lb1}}]}]\n"
        )
        with prometheus(tmp_path, scrape) as url:
            since, client = time.time(), Prometheus(url)
            until = time.monotonic() + 30
            while traffic.observe(client, traffic.Window(since, time.time(), []))["requests"] is None:
                assert time.monotonic() < until, "HAProxy is not scraped"
                time.sleep(0.2)
            assert {ask(front, "/", balancer.USER, {}) for _each in range(3)} == {503}
            assert {ask(front, "/", balancer.FLEET, OWN) for _each in range(7)} == {503}
            while (seen := traffic.observe(client, traffic.Window(since, time.time(), [])))["own_requests"] != 7:
                assert time.monotonic() < until, f"the requests were not scraped: {seen}"
                time.sleep(0.2)
    assert (seen["requests"], seen["failed"]) == (3, 3)
