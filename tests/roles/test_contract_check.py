"""playbooks/contract_check.yml at a URL, without an inventory: what it shows, and when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.roles.local import HOME

RELEASE = json.dumps({"application": "shop", "release": "1", "digest": "d"})


@contextmanager
def application(pages: dict[str, str]) -> Iterator[str]:
    """The address of an application with these pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("pages", "fails", "said"),
    [
        (
            {"/alive": "ok", "/readyz": "ok", "/version": RELEASE},
            False,
            "0 to be corrected before a rollout",
        ),
        ({"/alive": "ok", "/readyz": "ok"}, True, "GET /version is missing: got status 404, expected JSON with"),
    ],
    ids=["less", "must"],
)
def test_it_fails_only_without_what_a_rollout_needs(
    pages: dict[str, str], fails: bool, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADUAL_RUN_LOG_DIRECTORY", str(tmp_path))
    playbook: list[str | Path] = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local"]
    paths = json.dumps({"application_paths": {"health": "/alive"}})
    with application(pages) as url:
        done = subprocess.run(
            [*playbook, "playbooks/contract_check.yml", "-e", f"url={url}", "-e", paths],
            cwd=HOME,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert said in " ".join(done.stdout.split())
