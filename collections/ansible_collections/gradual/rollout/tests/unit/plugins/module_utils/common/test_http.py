# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How much of a long answer is read."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Iterator

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common import http
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file

LONG = http.LIMIT + 1


class Handler(BaseHTTPRequestHandler):
    """One byte more than is read by default."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(LONG))
        self.end_headers()
        self.wfile.write(b"x" * LONG)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


@pytest.mark.parametrize(("limit", "read"), [(http.LIMIT, http.LIMIT), (flag_file.METRICS, LONG)])
def test_metrics_are_read_to_their_end(url: str, limit: int, read: int) -> None:
    assert len(http.get(url, 5.0, limit).body) == read
