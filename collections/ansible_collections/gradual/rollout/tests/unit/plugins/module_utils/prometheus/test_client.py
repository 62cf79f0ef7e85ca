"""The client and its arithmetic: resets, intervals, selectors, and answers that are none."""

from __future__ import annotations

import http.server
import threading
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import client as prometheus
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    PrometheusError,
    Series,
    Step,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("samples", "anew", "increases"),
    [
        ([], (), []),
        ([(0, 5)], (), []),
        ([(0, 5), (1, 5), (2, 9)], (), [0, 4]),
        ([(0, 5), (1, 2), (2, 3)], (), [2, 1]),
        ([(0, 5), (1, 6), (2, 7)], {1}, [6, 1]),
        ([(0, 0), (5, 50)], (), [50]),
    ],
)
def test_steps(samples: list[tuple[float, float]], anew: set[float], increases: list[float]) -> None:
    assert [step.increase for step in prometheus.steps(samples, anew)] == increases


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_no_counter_grows_by_less_than_nothing(values: list[int]) -> None:
    assert all(
        step.increase >= 0 for step in prometheus.steps([(float(k), float(value)) for k, value in enumerate(values)])
    )


def test_a_reset_of_one_counter_is_one_of_all_in_its_process() -> None:
    dropped = Series.of({}, [(0, 9), (1, 2)])
    grown = Series.of({}, [(0, 1), (1, 3)])
    assert [step.increase for step in prometheus.steps(grown.samples, prometheus.resets([dropped, grown]))] == [3]


@pytest.mark.parametrize(
    ("times", "interval"),
    [
        ([], None),
        ([3.0], None),
        ([0, 1.001, 2.0, 2.999], 1.0),
        ([0, 14.98, 30.01], 15.0),
        ([0, 0.2, 0.4], 0.2),
        ([0, 1, 2, 22, 23], 1.0),
        ([0, 0.001], 0.1),
    ],
)
def test_scrape_interval(times: list[float], interval: float | None) -> None:
    assert prometheus.scrape_interval([times]) == interval


def test_steps_belong_to_the_interval_in_which_they_end() -> None:
    found = [Step(100.0, 101.9, 1), Step(101.9, 102.0, 2), Step(102.0, 105.9, 4), Step(100.5, 101.5, 8)]
    assert prometheus.binned(found, 100.0, 2.0) == {0: 9, 1: 2, 2: 4}


@pytest.mark.parametrize(
    ("labels", "selector"),
    [
        ({"feature": ["search"], "job": ["a", "b"]}, '{feature=~"search",job=~"a|b"}'),
        ({"le": ["0.5"]}, '{le=~"0\\\\.5"}'),
        ({"x": ['a"b']}, '{x=~"a\\"b"}'),
        ({"x": ["a|b"]}, '{x=~"a\\\\|b"}'),
    ],
)
def test_selectors_match_literally(labels: dict[str, list[str]], selector: str) -> None:
    assert prometheus.matching(labels) == selector


class _Answer(http.server.BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(type(self).status)
        self.send_header("Content-Length", str(len(type(self).body)))
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, *_arguments: t.Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> t.Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, b'{"status": "error", "error": "parse error"}', "answers 400 to up: parse error"),
        (503, b"busy", "answers 503 to up: busy"),
        (200, b"<html>", "does not answer with data"),
        (200, b"{}", "does not answer with data"),
        (200, b"[]", "does not answer with data"),
        (200, b'{"status": "success", "data": {"result": null}}', "does not answer with data"),
        (200, b'{"status": "error", "data": {"result": []}}', "does not answer with data"),
    ],
)
def test_an_answer_without_data_is_an_error(address: str, status: int, body: bytes, message: str) -> None:
    _Answer.status, _Answer.body = status, body
    with pytest.raises(PrometheusError) as error:
        Prometheus(address).query("up", 0)
    assert message in str(error.value)


def test_what_is_no_number_is_left_out_or_none(address: str) -> None:
    _Answer.status = 200
    _Answer.body = (
        b'{"status": "success", "data": {"result": [{"metric": {"a": "1"}, "value": [5, "NaN"], "values": [[5, "1"],'
        b' [6, "NaN"], [7, "+Inf"], [8, "2"]]}]}}'
    )
    assert Prometheus(address).values("up", 5) == [({"a": "1"}, None)]
    assert Prometheus(address).series("up", 5, 9) == [Series({"a": "1"}, [5.0, 8.0], [1.0, 2.0], [6.0, 7.0])]
    assert Prometheus(address).series("up", 5, 9)[0].samples == [(5.0, 1.0), (8.0, 2.0)]


@pytest.mark.parametrize(
    ("since", "until", "times", "unusable"),
    [(0, 9, [1, 3, 4], [2]), (1, 4, [1, 3, 4], [2]), (1.5, 3, [3], [2]), (3, 3, [3], []), (5, 9, [], [])],
)
def test_a_part_of_a_series(since: float, until: float, times: list[float], unusable: list[float]) -> None:
    part = Series.of({}, [(1, "1"), (2, "NaN"), (3, "3"), (4, "4")]).between(since, until)
    assert (part.times, part.values, part.unusable) == (times, [float(at) for at in times], unusable)
    assert Series.of({}, [(1, 1), (2, 2)]).without({1}) == Series({}, [2], [2.0])


@pytest.mark.parametrize("url", ["", "localhost:9090", "file:///etc/passwd"])
def test_only_web_addresses_are_asked(url: str) -> None:
    with pytest.raises(PrometheusError, match="write an address like"):
        Prometheus(url)
