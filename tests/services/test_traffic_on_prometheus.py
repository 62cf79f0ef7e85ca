"""What users got, from a real HAProxy scraped by a real Prometheus, and from a remembered rollout whose figures are known."""

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
from ansible_collections.gradual.rollout.plugins.module_utils import prometheus as prometheus_utils
from ansible_collections.gradual.rollout.plugins.module_utils import silence, traffic
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import Prometheus

from .history import START, History, arm, free_port, needs, prometheus, wait_ready

SECONDS = 120


def http_side(requests: float, slow: float = 0.0) -> dict[str, float]:
    labels = 'method="GET",route="/",'
    fast = requests - slow
    return {
        'http_requests_total{method="GET",route="/",status="200"}': requests,
        **{f'http_request_duration_seconds_bucket{{{labels}le="{bound}"}}': count for bound, count in (("0.1", fast), ("0.5", fast), ("1.0", requests))},
        f'http_request_duration_seconds_bucket{{{labels}le="+Inf"}}': requests,
        'http_request_duration_seconds_count{method="GET",route="/"}': requests,
        'http_request_duration_seconds_sum{method="GET",route="/"}': 0.05 * fast + 0.8 * slow,
    }


def application(second: int) -> dict[str, float]:
    erring = 1 if 60 <= second < 70 else 0
    grown = http_side(20, slow=2 if second >= 60 else 0) | arm("search", "on", 5, erring, 1) | arm("search", "off", 15)
    grown |= arm("search", "aa25", 2) | arm("search", "aa50", 1)
    grown |= {'feature_feedback_total{feature="search",variant="on",opinion="good"}': 1, 'feature_orders_total{feature="search",variant="on"}': 2}
    grown |= {'feature_evaluations_total{flag="search"}': 20, 'feature_evaluations_total{flag="cart"}': 0}
    return grown | ({"up": 0.0} if second == 30 else {})


def balancer(second: int) -> dict[str, float]:
    return {
        'haproxy_frontend_http_requests_total{proxy="front_door"}': 41,
        'haproxy_frontend_http_responses_total{proxy="front_door",code="5xx"}': 1 if 60 <= second < 70 else 0,
        'haproxy_frontend_http_responses_total{proxy="front_door",code="2xx"}': 40,
        'haproxy_frontend_http_requests_total{proxy="internal"}': 7,
    }


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    folder: pathlib.Path = tmp_path_factory.mktemp("traffic")
    history = History()
    history.host("application", "app1", application, SECONDS)
    history.host("application", "app2", application, SECONDS, shift=0.4)
    history.host("haproxy", "lb1", balancer, SECONDS)
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
    assert (seen["requests"], seen["failed"]) == (41 * 119, 10)
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
    assert "has no bucket le=0.3, only 0.1, 0.5, 1, inf" in str(traffic.observe(Prometheus(address), window(0, 119, slow_seconds=0.3))["not_measured"])


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
        ("application", ["search"], 100, {"search": pytest.approx(2 * 20 * 49, rel=0.05)}, "remove them from the code first"),
        ("application", ["cart"], 100, {"cart": 0}, "nothing has evaluated cart"),
        ("retired", ["search"], 100, {"search": 0}, "nothing has evaluated search"),
        ("half", ["cart"], 100, {}, "Prometheus has no figures of app2:8080"),
        ("application", ["cart"], 40, {}, "it is not known what evaluates cart"),
        ("nobody", ["cart"], 100, {}, "no figures of any host"),
    ],
)
def test_whether_a_flag_is_still_evaluated(address: str, job: str, flags: list[str], at: float, counted: dict[str, int], word: str) -> None:
    found, sentence = silence.evaluations(Prometheus(address), flags, 50, START + at, job)
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
    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: t.Any) -> None:
        pass


@contextlib.contextmanager
def haproxy(folder: pathlib.Path, server_port: int) -> t.Iterator[tuple[int, int]]:
    """(front door, exporter) ports of an HAProxy with one server that answers and one that nobody listens for."""
    needs("haproxy")
    front, internal, log = free_port(), free_port(), folder / "haproxy.log"
    (folder / "haproxy.cfg").write_text(f"""
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend front_door
  bind 127.0.0.1:{front}
  use_backend nobody if {{ path /nobody }}
  default_backend application
backend application
  server app1 127.0.0.1:{server_port}
backend nobody
  retries 0
  server app9 127.0.0.1:9
frontend internal
  bind 127.0.0.1:{internal}
  http-request use-service prometheus-exporter if {{ path /metrics }}
""")
    with log.open("wb") as output:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=output, stderr=output)
    try:
        wait_ready(internal, "/metrics", process, log)
        yield front, internal
    finally:
        process.terminate()
        process.wait(20)


def test_a_live_haproxy_is_counted_as_users_saw_it(tmp_path: pathlib.Path) -> None:
    """The names and meanings of HAProxy's metrics are not ours: 5xx of the application and of HAProxy itself are failures, all are requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with haproxy(tmp_path, server.server_port) as (front, internal):
        scrape = f"scrape_configs: [{{job_name: haproxy, static_configs: [{{targets: ['127.0.0.1:{internal}'], labels: {{host: lb1}}}}]}}]\n"
        with prometheus(tmp_path, scrape) as url:
            since, client = time.time(), Prometheus(url)

            def scraped(least: int) -> bool:
                found = client.series('haproxy_frontend_http_requests_total{proxy="front_door"}', since, time.time())
                return bool(found) and len(found[0].samples) > 1 and found[0].samples[-1][1] >= least

            until = time.monotonic() + 30
            while not scraped(0):
                assert time.monotonic() < until, "HAProxy is not scraped"
                time.sleep(0.2)
            for path in ["/"] * 20 + ["/broken"] * 3 + ["/nobody"] * 2:
                connection = http.client.HTTPConnection("127.0.0.1", front, timeout=5)
                connection.request("GET", path)
                connection.getresponse().read()
            while not scraped(25):
                assert time.monotonic() < until, "the requests were not scraped"
                time.sleep(0.2)
            seen = traffic.observe(client, traffic.Window(since, time.time(), []))
    server.shutdown()
    server.server_close()
    assert (seen["requests"], seen["failed"]) == (25, 5)
    assert [sentence.partition(":")[0] for sentence in seen["not_measured"]] == ["times of answers"]
