"""The receiver of alerts: every delivery on disk before it is acknowledged, and nobody without the token."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.scripts import imported

SOURCE = Path(__file__).resolve().parents[2] / "roles/monitoring/files/alert_receiver.py"
ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "FrontDoorDown", "severity": "critical"},
    "annotations": {"summary": "…"},
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "abc",
}


@pytest.fixture(scope="module")
def receiver() -> ModuleType:
    return imported(SOURCE)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "deliveries.jsonl"


@pytest.fixture
def address(receiver: ModuleType, record: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver.handler(receiver.Record(record), "right"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def deliver(address: str, body: bytes, token: str = "right") -> int:
    request = urllib.request.Request(
        f"{address}/record", data=body, headers={"Authorization": f"Bearer {token}"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_delivery_is_recorded(address: str, record: Path) -> None:
    assert (
        deliver(
            address,
            json.dumps({"alerts": [ALERT, {**ALERT, "status": "resolved", "endsAt": "2026-01-01T00:01:00Z"}]}).encode(),
        )
        == 204
    )
    first, second = [json.loads(line) for line in record.read_text().splitlines()]
    assert (first["alert"], first["status"], first["receiver"], first["ends"]) == (
        "FrontDoorDown",
        "firing",
        "record",
        None,
    )
    assert (second["status"], second["ends"]) == ("resolved", "2026-01-01T00:01:00Z")


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [
        (b'{"alerts": []}', "wrong", 401),
        (b'{"alerts": []}', "", 401),
        (b"not json", "right", 400),
        (b'{"alerts": [{}]}', "right", 400),
        (b"[]", "right", 400),
        (b"", "right", 413),
    ],
)
def test_what_is_no_delivery_is_refused(address: str, record: Path, body: bytes, token: str, status: int) -> None:
    assert deliver(address, body, token) == status
    assert not record.exists()


def test_what_cannot_be_written_is_not_acknowledged(address: str, record: Path) -> None:
    record.mkdir()
    assert deliver(address, json.dumps({"alerts": [ALERT]}).encode()) == 503


def test_a_long_record_is_put_aside(receiver: ModuleType, record: Path) -> None:
    short = receiver.Record(record, largest=10)
    short.append(["a line of more than ten characters"])
    short.append(["the next"])
    assert record.read_text() == "the next\n"
    assert record.with_name("deliveries.jsonl.1").exists()
