# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Services of the site: who gets the password, and which bytes come."""

from __future__ import annotations

import base64
import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import ANYBODY, Access, open_remote

PACKED = gzip.compress(b"an artifact")
READER = "Basic " + base64.b64encode(b"reader:opensesame").decode()


class Server(ThreadingHTTPServer):
    """Remembers who asked; /away leads to `elsewhere`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.elsewhere = ""
        self.asked: list[tuple[str, str, str | None]] = []
        self.tenants: list[str | None] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Everything is gzip, as some servers say of a tar.gz."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        self.server.tenants.append(self.headers.get("X-Scope-OrgID"))
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", self.server.elsewhere)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(PACKED)))
        self.end_headers()
        self.wfile.write(PACKED)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """The one that is asked, and the one that it redirects to."""
    with Server() as first, Server() as second:
        first.elsewhere = second.url + "/here"
        yield first, second
        first.shutdown()
        second.shutdown()


def read(url: str, access: Access, data: bytes | None = None) -> bytes:
    with open_remote(url, access, 5.0, data) as answer:
        content: bytes = answer.read()
        return content


def test_the_password_is_sent_with_the_first_request_and_not_to_another_server(servers: tuple[Server, Server]) -> None:
    first, second = servers
    assert read(first.url + "/away", Access("reader", "opensesame")) == PACKED
    assert first.asked == [("GET", "/away", READER)]
    assert second.asked == [("GET", "/here", None)]


def test_headers_are_not_sent_to_another_server_either(servers: tuple[Server, Server]) -> None:
    """S3 answers 400 to a signed address that comes with a token."""
    first, second = servers
    read(first.url + "/away", Access(headers={"Authorization": "Bearer opensesame", "X-Scope-OrgID": "shop"}))
    assert first.asked == [("GET", "/away", "Bearer opensesame")]
    assert second.asked == [("GET", "/here", None)]
    assert (first.tenants, second.tenants) == (["shop"], [None])


@pytest.mark.parametrize("access", [ANYBODY, Access("", "", "")], ids=["none", "empty"])
def test_without_a_user_nothing_is_sent(servers: tuple[Server, Server], access: Access) -> None:
    first, _second = servers
    read(first.url + "/x", access, b"query=up")
    assert first.asked == [("POST", "/x", None)]


def test_the_bytes_are_those_that_are_stored(servers: tuple[Server, Server]) -> None:
    assert read(servers[0].url + "/x.tar.gz", ANYBODY) == PACKED


def test_a_file_without_certificates_is_named() -> None:
    with pytest.raises(ValueError, match=r"ca_path: /dev/null cannot be read as certificates: .*; write the path"):
        read("https://127.0.0.1:1/", Access(ca_path="/dev/null"))


def test_a_password_is_not_in_what_is_printed() -> None:
    assert "opensesame" not in repr(Access("reader", "opensesame", headers={"Authorization": "opensesame"}))
