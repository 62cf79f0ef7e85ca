"""The storefront behind a server that leaves out one item of the application contract at a time."""

from __future__ import annotations

import http.client
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from examples.storefront.tests.support import free_port

numbers = itertools.count(1)


@dataclass(frozen=True)
class Page:
    """An answer of the storefront."""

    status: int
    kind: str
    body: str


Change = Callable[[str, Page], Page]
"""(path, the storefront's answer) -> what is answered."""


@dataclass(frozen=True)
class Removal:
    """One item that the application does not have. item: its name in the findings; headers: changes those of a
    request."""

    name: str
    item: str
    change: Change = lambda _path, page: page
    headers: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers


def without_path(path: str) -> Change:
    return lambda asked, page: Page(404, "text/plain", "not found") if asked == path else page


def without_lines(pattern: str) -> Change:
    """Without these lines of /metrics."""

    def change(asked: str, page: Page) -> Page:
        kept = [line for line in page.body.splitlines() if not re.match(pattern, line)]
        return replace(page, body="\n".join(kept) + "\n") if asked == "/metrics" else page

    return change


def replaced(path: str, pattern: str, text: str) -> Change:
    return lambda asked, page: replace(page, body=re.sub(pattern, text, page.body)) if asked == path else page


def slow(path: str) -> Change:
    def change(asked: str, page: Page) -> Page:
        if asked == path:
            time.sleep(1.1)
        return page

    return change


def one_pid_silent(asked: str, page: Page) -> Page:
    """Without the revisions of one process."""
    pids = re.findall(r'feature_flag_revision\{.*pid="(\d+)"', page.body)
    return without_lines(rf'feature_flag_revision\{{.*pid="{pids[0]}"')(asked, page) if pids else page


def somebody(headers: dict[str, str]) -> dict[str, str]:
    """Another user each time."""
    return {**headers, "Cookie": f"visitor=somebody-{next(numbers)}"}


def anonymous(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "x-gradual-probe"}


REMOVALS = (
    Removal("no address `/healthz`", "GET /healthz", without_path("/healthz")),
    Removal("no address `/readyz`", "GET /readyz", without_path("/readyz")),
    Removal("`/readyz` answers after 1.1 s", "GET /readyz", slow("/readyz")),
    Removal("no address `/version`", "GET /version", without_path("/version")),
    Removal("`/version` without the digest", "GET /version", replaced("/version", '"digest":', '"sum":')),
    Removal("no address `/metrics`", "GET /metrics", without_path("/metrics")),
    Removal(
        "`/metrics` is HTML",
        "GET /metrics",
        lambda path, page: replace(page, body="<html>\n<p>Hello</p>\n") if path == "/metrics" else page,
    ),
    Removal("no `http_requests_total`", "http_requests_total", without_lines("http_requests_total")),
    Removal(
        "no `http_request_duration_seconds`",
        "http_request_duration_seconds",
        without_lines("http_request_duration_seconds"),
    ),
    Removal("no `feature_requests_total`", "feature_requests_total", without_lines("feature_requests_total")),
    Removal(
        "errors of a feature not at 0 from the start",
        "feature_requests_total",
        without_lines('feature_requests_total.*outcome="error"'),
    ),
    Removal(
        "no bucket at `gate.slow_seconds`",
        "feature_request_duration_seconds",
        without_lines('feature_request_duration_seconds_bucket.*le="0.5"'),
    ),
    Removal("no `feature_flag_revision`", "feature_flag_revision", without_lines("feature_flag_revision")),
    Removal("one process without `feature_flag_revision`", "feature_flag_revision", one_pid_silent),
    Removal("no `feature_flag_share`", "feature_flag_share", without_lines("feature_flag_share")),
    Removal("no `feature_evaluations_total`", "feature_evaluations_total", without_lines("feature_evaluations_total")),
    Removal("no `feature_feedback_total`", "feature_feedback_total", without_lines("feature_feedback_total")),
    Removal("no `feature_orders_total`", "feature_orders_total", without_lines("feature_orders_total")),
    Removal("Gradual's requests counted as those of users", "route gradual-probe", headers=anonymous),
    Removal("no address `/api/features`", "GET /api/features", without_path("/api/features")),
    Removal(
        "`/api/features` without one of the features",
        "GET /api/features",
        replaced("/api/features", '"search":', '"seek":'),
    ),
    Removal("another answer for the same user", "same user, same answer", headers=somebody),
)


@contextmanager
def serving_less(port: int, removal: Removal) -> Iterator[str]:
    """The address of the application on this port without one item."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = removal.headers({name: value for name, value in self.headers.items() if name.lower() != "host"})
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", self.path, headers={**sent, "Connection": "close"})
            answer = connection.getresponse()
            page = Page(answer.status, answer.headers.get("Content-Type", ""), answer.read().decode())
            connection.close()
            page = removal.change(self.path, page)
            body = page.body.encode()
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
