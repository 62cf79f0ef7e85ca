# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Smoke tests over HTTP: the judging as tables, the client against a server of the test's own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common import probe as http_probe
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer, HttpError, Session, fetch_json
from hypothesis import given
from hypothesis import strategies as st

CART = {"cart": {"items": [{"sku": "tea-01", "count": 2}], "open": True}, "a.b": {"c": 1}, "none": None}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("cart.items.0.sku", "tea-01"),
        ("cart.items.0.count", 2),
        ("cart.items.1", http_probe.ABSENT),
        ("cart.items.x", http_probe.ABSENT),
        ("cart.nix", http_probe.ABSENT),
        ("cart.open.deeper", http_probe.ABSENT),
        ("a.b.c", 1),
        ("none", None),
        ("", CART),
    ],
)
def test_lookup(path: str, wanted: Any) -> None:
    assert http_probe.lookup(CART, path) == wanted


@pytest.mark.parametrize(
    ("seen", "wanted", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (True, "true", True),
        (2, "2", True),
        ("2", 2, False),
        (None, None, True),
        (None, False, False),
    ],
)
def test_same(seen: Any, wanted: Any, same: bool) -> None:
    assert http_probe.same(seen, wanted) is same


@pytest.mark.parametrize(
    ("probe", "answer", "passed", "sentence"),
    [
        ({}, Answer(200), True, None),
        ({}, Answer(500), False, "page: status is 500 and not 200"),
        ({"status": 401}, Answer(401), True, None),
        ({"contains": "tea"}, Answer(200, {}, b"green tea"), True, None),
        ({"contains": "tea"}, Answer(200, {}, b"coffee"), False, 'page: contains is "coffee" and not "tea"'),
        ({"json": {"cart.open": True}}, Answer(200, {}, json.dumps(CART).encode()), True, None),
        (
            {"json": {"cart.open": False}},
            Answer(200, {}, json.dumps(CART).encode()),
            False,
            "page: json.cart.open is true and not false",
        ),
        (
            {"json": {"cart.nix": 1}},
            Answer(200, {}, json.dumps(CART).encode()),
            False,
            'page: json.cart.nix is "absent" and not 1',
        ),
        ({"json": {"cart": 1}}, Answer(200, {}, b"<html>"), False, 'page: json is "<html>" and not "JSON"'),
        (
            {"json": {"cart": 1}, "status": 200},
            Answer(503, {}, b""),
            False,
            'page: status is 503 and not 200, json is "" and not "JSON"',
        ),
    ],
)
def test_judging(probe: dict[str, Any], answer: Answer, passed: bool, sentence: str | None) -> None:
    wanted, seen = http_probe.judge(probe, answer)
    assert (wanted == seen) is passed
    if sentence:
        assert http_probe.sentence({"name": "page", "wanted": wanted, "seen": seen}) == sentence


@given(st.binary(max_size=200), st.text(max_size=8))
def test_any_body_is_judged(body: bytes, path: str) -> None:
    http_probe.judge({"contains": "x", "json": {path: 1}}, Answer(200, {}, body))
    http_probe.judge({"json": {path: 1}}, Answer(200, {}, b"[" * 100_000))


@pytest.mark.parametrize(
    ("probe", "wanted"),
    [
        ({"path": "/"}, ("GET", "/", {"X": "1"}, None)),
        ({"path": "/a%20b?q=grün&x=[1]"}, ("GET", "/a%20b?q=gr%C3%BCn&x=[1]", {"X": "1"}, None)),
        ({"path": "/", "user": "a;b"}, ("GET", "/", {"X": "1", "Cookie": "visitor=a%3Bb"}, None)),
        (
            {"path": "/", "method": "post", "body": {"a": 1}},
            ("POST", "/", {"X": "1", "Content-Type": "application/json"}, b'{"a": 1}'),
        ),
        ({"path": "/", "body": "a=1", "headers": {"X": 2}}, ("GET", "/", {"X": "2"}, b"a=1")),
    ],
)
def test_what_is_asked(probe: dict[str, Any], wanted: Any) -> None:
    assert http_probe.request_of(probe, {"X": "1"}) == wanted


class Shop(BaseHTTPRequestHandler):
    """Counts connections; /broken closes without a word; /flaky works the second time; /last closes after its
    answer."""

    protocol_version = "HTTP/1.1"
    connections = 0
    tried = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        type(self).tried += self.path == "/flaky"
        if self.path == "/broken":
            self.close_connection = True
            return
        status = 503 if self.path == "/flaky" and type(self).tried == 1 else 200
        sent = {name.lower(): self.headers.get(name) for name in ("Cookie", "Host", "X-Gradual-Probe")}
        body = json.dumps({"path": self.path, **sent}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/last"

    def do_POST(self) -> None:
        self.close_connection = True

    def log_message(self, *_arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def shop() -> Iterator[str]:
    Shop.connections = Shop.tried = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_one_connection_serves_all_probes(shop: str) -> None:
    with Session(shop) as session:
        results = http_probe.probe_all(
            session, [{"path": f"/{number}", "json": {"path": f"/{number}"}} for number in range(5)], {}
        )
    assert [result["passed"] for result in results] == [True] * 5
    assert Shop.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_again(shop: str) -> None:
    with Session(shop) as session:
        assert session.get("/last").status == 200
        assert session.get("/again").status == 200
    assert Shop.connections == 2


def test_what_may_have_been_done_is_not_asked_twice(shop: str) -> None:
    with Session(shop) as session:
        session.get("/")
        with pytest.raises(HttpError, match="closed the connection without an answer"):
            session.request("POST", "/order", body=b"1")
    assert Shop.connections == 1


def test_another_address_with_the_same_name(shop: str) -> None:
    port = shop.rpartition(":")[2]
    with Session(f"http://shop.example:{port}", address="127.0.0.1") as session:
        assert session.get("/").json()["host"] == f"shop.example:{port}"


def test_own_requests_are_marked_and_those_as_a_user_are_not(shop: str) -> None:
    with Session(shop) as session, Session(shop, as_user=True) as user:
        (result,) = http_probe.probe_all(
            session, [{"path": "/", "user": "u1", "json": {"x-gradual-probe": "1", "cookie": "visitor=u1"}}], {}
        )
        assert result["passed"], result
        assert user.get("/").json()["x-gradual-probe"] is None


def test_a_probe_is_tried_again(shop: str) -> None:
    waited: list[float] = []
    with Session(shop) as session:
        (result,) = http_probe.probe_all(
            session, [{"name": "f", "path": "/flaky", "flag": "on"}], {}, attempts=3, pause=0.5, sleep=waited.append
        )
    assert (result["passed"], result["attempts"], result["flag"], waited) == (True, 2, "on", [0.5])


def test_no_answer_is_a_result(shop: str) -> None:
    with Session(shop) as session:
        broken, fine = http_probe.probe_all(session, [{"path": "/broken"}, {"path": "/"}], {})
    assert (broken["passed"], broken["status"], fine["passed"]) == (False, None, True)
    assert http_probe.sentence(broken) == f"/broken: {shop}/broken closed the connection without an answer"


def test_nobody_there() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        with Session(url) as session, pytest.raises(HttpError, match="Connection refused"):
            session.get("/")
        holder.listen()
        with Session(url, timeout=0.2) as session, pytest.raises(HttpError, match=r"no answer within 0\.2 s"):
            session.get("/")


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://", "http://[", "http://h:99999"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(HttpError, match="is not a"):
        Session(url)


def test_fetch_json(shop: str) -> None:
    assert fetch_json(f"{shop}/a?b=1")["path"] == "/a?b=1"
    assert fetch_json(f"{shop}/broken") is None


@pytest.mark.parametrize(
    ("user_key", "header"),
    [
        (None, {"Cookie": "visitor=a%20b"}),
        ("cookie uid", {"Cookie": "uid=a%20b"}),
        ("header X-User", {"X-User": "a%20b"}),
    ],
)
def test_a_probe_is_of_a_user_by_cookie_or_by_header(user_key: str | None, header: dict[str, str]) -> None:
    asked = http_probe.request_of({"path": "/", "user": "a b", "user_key": user_key}, {})
    assert asked[2] == header


@pytest.mark.parametrize("user_key", ["visitor", "query uid", "cookie", "header X User", "header X:User"])
def test_a_user_key_that_means_nothing_is_an_error(user_key: str) -> None:
    with pytest.raises(HttpError, match="write cookie NAME or header NAME"):
        http_probe.user_header(user_key, "a")
