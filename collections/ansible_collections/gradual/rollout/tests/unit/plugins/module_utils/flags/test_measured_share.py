"""Shares of users, measured against a real server over real connections."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import measured_share


class Shop:
    """An application that gives `search` to a share of the users, and misbehaves as told."""

    def __init__(self, share: int = 25, certificate: pathlib.Path | None = None) -> None:
        self.share = share
        self.body: bytes | None = None
        self.refuse: t.Callable[[int], int | None] = lambda _count: None
        self.close_each = False
        self.seen: list[tuple[float, str]] = []
        self.marks: set[str | None] = set()
        self.connections = 0
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                shop.connections += 1

            def do_GET(self) -> None:
                name = self.headers["Cookie"].partition("visitor=")[2]
                shop.seen.append((time.monotonic(), name))
                shop.marks.add(self.headers.get("X-Gradual-Probe"))
                status = shop.refuse(len(shop.seen)) or 200
                has = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100 < shop.share
                body = shop.body or json.dumps({"features": {"search": has, "cart": False}}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = shop.close_each

            def log_message(self, *_arguments: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}"


@pytest.fixture
def open_shop() -> t.Iterator[t.Callable[..., Shop]]:
    with contextlib.ExitStack() as stack:

        def start(**options: t.Any) -> Shop:
            shop = Shop(**options)
            threading.Thread(target=shop.server.serve_forever, daemon=True).start()
            stack.callback(shop.server.server_close)
            stack.callback(shop.server.shutdown)
            return shop

        yield start


def test_every_user_is_asked_once_at_the_rate_over_kept_connections(open_shop: t.Callable[..., Shop]) -> None:
    shop = open_shop()
    measured = measured_share.measure(shop.url, ["search", "cart"], 300, 200)
    assert sorted(name for _at, name in shop.seen) == [f"share-{number:05d}" for number in range(1, 301)]
    assert 1.4 < measured.seconds < 3
    assert shop.connections <= measured_share.WORKERS
    assert shop.marks == {"1"}, "measuring is no use of the application"
    features = measured_share.compare(measured, None)
    assert features["search"]["users"] == 300
    assert 0.18 < features["search"]["share"] < 0.32
    assert features["cart"] == {"users": 300, "on": 0, "share": 0.0, "lost": 0}
    assert (measured.mistakes, measured.repeated) == ([], 0)


def test_the_same_users_are_compared_and_those_who_lost_it_are_counted(
    open_shop: t.Callable[..., Shop], tmp_path: pathlib.Path
) -> None:
    shop = open_shop()
    quarter = measured_share.measure(shop.url, ["search"], 200, 1000)
    measured_share.save(str(tmp_path / "deep" / "25.json"), quarter)
    before = measured_share.load(str(tmp_path / "deep" / "25.json"))
    shop.share = 50
    assert (
        measured_share.compare(measured_share.measure(shop.url, ["search"], 200, 1000), before)["search"]["lost"] == 0
    )
    shop.share = 10
    fewer = measured_share.measure(shop.url, ["search"], 200, 1000)
    assert (
        measured_share.compare(fewer, before)["search"]["lost"]
        == len(quarter.on["search"]) - len(fewer.on["search"])
        > 0
    )


def test_a_busy_front_door_and_a_closed_connection_are_asked_again(open_shop: t.Callable[..., Shop]) -> None:
    shop = open_shop()
    # As often as one user can be refused without being given up, whoever they are.
    shop.refuse = lambda count: 429 if count in (10, 20) else None
    shop.close_each = True
    measured = measured_share.measure(shop.url, ["search"], 50, 1000)
    assert (len(measured.answered), measured.mistakes) == (50, [])
    assert measured.repeated >= 2


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, None, "status 500"),
        (404, None, "status 404"),
        (200, b"<html>", "does not answer with every flag"),
        (200, b'{"features": {"cart": true}}', "does not answer with every flag"),
        (200, b'{"features": {"search": "yes"}}', "expected true or false"),
        (200, b"[]", "does not answer with every flag"),
    ],
)
def test_wrong_answers_are_mistakes_and_never_a_share(
    open_shop: t.Callable[..., Shop], status: int, body: bytes | None, message: str
) -> None:
    shop = open_shop()
    shop.body, shop.refuse = body, lambda _count: status
    measured = measured_share.measure(shop.url, ["search"], 5, 1000)
    assert len(measured.mistakes) == 5
    assert message in measured.mistakes[0]
    assert measured_share.compare(measured, None)["search"] == {"users": 0, "on": 0, "share": None, "lost": 0}


def test_a_shut_door_is_given_up_soon() -> None:
    start = time.monotonic()
    measured = measured_share.measure("http://127.0.0.1:9", ["search"], 2000, 250)
    assert measured_share.GIVE_UP <= len(measured.mistakes) < 100
    assert time.monotonic() - start < 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "ca.pem"),
    ]
    subprocess.run([*command, *names], check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
    return folder


def test_tls_is_verified(open_shop: t.Callable[..., Shop], certificate: pathlib.Path) -> None:
    shop = open_shop(certificate=certificate / "server.pem")
    trusted = measured_share.measure(shop.url, ["search"], 30, 1000, str(certificate / "ca.pem"))
    assert (len(trusted.answered), trusted.mistakes) == (30, [])
    strange = measured_share.measure(shop.url, ["search"], 3, 1000)
    assert "its certificate is not trusted" in strange.mistakes[0]
    with pytest.raises(measured_share.ShareError, match="ca_path: /nowhere cannot be read as certificates"):
        measured_share.measure(shop.url, ["search"], 3, 1000, "/nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "leave previous out at the first stage"),
        ("{", "not a measurement"),
        ("[]", "not a measurement"),
        ('{"on": {"search": ["x"]}}', "not a measurement"),
    ],
)
def test_an_earlier_measurement_that_cannot_be_read_is_an_error(
    tmp_path: pathlib.Path, content: str | None, message: str
) -> None:
    path = tmp_path / "25.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(measured_share.ShareError, match=message):
        measured_share.load(str(path))


def test_an_application_without_the_path_is_not_measured(open_shop: t.Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.refuse = lambda _count: 404
    measured = measured_share.measure(shop.url, ["search"], 50, 1000)
    assert measured.no_address
    served = len(shop.seen) + 10
    shop.refuse = lambda count: 404 if count > served else None
    assert not measured_share.measure(shop.url, ["search"], 50, 1000).no_address
    shop.refuse = lambda _count: 403
    assert not measured_share.measure(shop.url, ["search"], 50, 1000).no_address
