"""The five-minute check: what it says about answers that are good, bad, slow or missing."""

from __future__ import annotations

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

from tests.support.scripts import imported

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
    return imported(SOURCE)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "contains", "reason"),
    [
        ("/", "", ""),
        ("/", "hello", ""),
        ("/", "goodbye", "'goodbye' is not in the answer"),
        ("/readyz", "", "status 503"),
        ("/slow", "", "took 0.4 s, more than 0.2 s"),
    ],
)
def test_answers(health_check: ModuleType, address: str, path: str, contains: str, reason: str) -> None:
    settings = {
        "front_door": {
            "url": address,
            "ca_path": None,
            "probes": [{"name": "page", "path": path, "contains": contains}],
        },
        "hosts": {},
        "host_paths": [],
        "slow_seconds": 0.2,
    }
    assert [result.reason for result in health_check.check(settings)] == [reason]
    assert Application.marks == {"1"}, "the check is no user"


def test_nobody_answers(health_check: ModuleType) -> None:
    settings = {
        "front_door": {"url": "http://127.0.0.1:1", "ca_path": None, "probes": []},
        "hosts": {"app1": "http://127.0.0.1:1", "app2": "http://\x01"},
        "host_paths": ["/readyz"],
        "slow_seconds": 0.2,
    }
    assert all(result.reason for result in health_check.check(settings))


def test_a_site_without_a_release_has_nothing_to_check(address: str, tmp_path: Path) -> None:
    """No check is reported as failed before one has passed; from then on a silent site is a failed one, for good."""
    settings, output = tmp_path / "settings.json", tmp_path / "check.prom"

    def check(url: str) -> tuple[str, str]:
        settings.write_text(
            json.dumps(
                {
                    "front_door": {"url": url, "ca_path": None, "probes": [{"name": "page", "path": "/"}]},
                    "hosts": {"app1": url},
                    "host_paths": ["/readyz"],
                    "slow_seconds": 2,
                }
            )
        )
        ran = subprocess.run(
            [sys.executable, str(SOURCE), "--settings", str(settings), "--output", str(output)],
            check=True,
            capture_output=True,
            text=True,
        )
        return output.read_text(), ran.stderr

    for _run in range(2):
        text, said = check("http://127.0.0.1:1")
        assert "gradual_health_check_release_seen 0\n" in text
        assert "gradual_health_check_passed{" not in text
        assert "gradual_health_check_last_run_timestamp_seconds" in text, (
            "it ran, so HealthCheckStale has nothing to say"
        )
        assert said == "no release has been seen here yet, so there is nothing to check\n"
    assert 'gradual_health_check_passed{target="front_door",check="page"} 1' in check(address)[0]
    for _run in range(2):
        text, said = check("http://127.0.0.1:1")
        assert "gradual_health_check_release_seen 1\n" in text
        assert 'gradual_health_check_passed{target="front_door",check="page"} 0' in text
        assert "refused" in said


def test_what_an_older_check_wrote_is_a_release_seen(health_check: ModuleType) -> None:
    failed = [health_check.Result("front_door", "page", 0.1, "status 503")]
    assert not health_check.release_seen(failed, "")
    assert health_check.release_seen(
        failed, '# TYPE gradual_health_check_passed gauge\ngradual_health_check_passed{target="app1"} 0\n'
    )


def test_the_file_is_whole_and_prometheus_reads_it(health_check: ModuleType, address: str, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(
        json.dumps(
            {
                "front_door": {"url": address, "ca_path": None, "probes": [{"name": 'a "page"', "path": "/"}]},
                "hosts": {"app1": address},
                "host_paths": ["/healthz", "/readyz"],
                "slow_seconds": 2,
            }
        )
    )
    output = tmp_path / "check.prom"
    subprocess.run(
        [sys.executable, str(SOURCE), "--settings", str(tmp_path / "settings.json"), "--output", str(output)],
        check=True,
        capture_output=True,
    )
    text = output.read_text()
    assert 'gradual_health_check_passed{target="app1",check="readyz"} 0' in text
    assert 'gradual_health_check_passed{target="front_door",check="a \\"page\\""} 1' in text
    assert [path.name for path in tmp_path.glob("check.*")] == ["check.prom"], "nothing half-written is left"
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
