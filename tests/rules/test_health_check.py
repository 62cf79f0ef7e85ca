"""The five-minute check: what it says about answers that are good, bad, slow or missing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "roles/health_check/files/health_check.py"


class Application(BaseHTTPRequestHandler):
    marks: ClassVar[set[str | None]] = set()

    def do_GET(self) -> None:
        Application.marks.add(self.headers.get("X-Gradual-Probe"))
        if self.path == "/slow":
            time.sleep(0.4)
        self.send_response(503 if self.path == "/readyz" else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def health_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("health_check", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["health_check"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "contains", "reason"), [
    ("/", "", ""),
    ("/", "hello", ""),
    ("/", "goodbye", "'goodbye' is not in the answer"),
    ("/readyz", "", "status 503"),
    ("/slow", "", "took 0.4 s, more than 0.2 s"),
])
def test_answers(health_check: ModuleType, address: str, path: str, contains: str, reason: str) -> None:
    settings = {"front_door": {"url": address, "ca_path": None, "probes": [{"name": "page", "path": path, "contains": contains}]},
                "hosts": {}, "host_paths": [], "slow_seconds": 0.2}
    assert [result.reason for result in health_check.check(settings)] == [reason]
    assert Application.marks == {"1"}, "the check is no user"


def test_nobody_answers(health_check: ModuleType) -> None:
    settings = {"front_door": {"url": "http://127.0.0.1:1", "ca_path": None, "probes": []},
                "hosts": {"app1": "http://127.0.0.1:1", "app2": "http://\x01"}, "host_paths": ["/readyz"], "slow_seconds": 0.2}
    assert all(result.reason for result in health_check.check(settings))


def test_the_file_is_whole_and_prometheus_reads_it(health_check: ModuleType, address: str, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({
        "front_door": {"url": address, "ca_path": None, "probes": [{"name": 'a "page"', "path": "/"}]},
        "hosts": {"app1": address}, "host_paths": ["/healthz", "/readyz"], "slow_seconds": 2}))
    output = tmp_path / "check.prom"
    subprocess.run([sys.executable, str(SOURCE), "--settings", str(tmp_path / "settings.json"), "--output", str(output)],
                   check=True, capture_output=True)
    text = output.read_text()
    assert 'gradual_health_check_passed{target="app1",check="readyz"} 0' in text
    assert 'gradual_health_check_passed{target="front_door",check="a \\"page\\""} 1' in text
    assert [path.name for path in tmp_path.glob("check.*")] == ["check.prom"], "nothing half-written is left"
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
