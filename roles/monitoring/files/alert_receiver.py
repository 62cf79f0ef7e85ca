#!/usr/bin/python3
"""Receives Alertmanager's webhooks and keeps every delivery as a line of JSON.

POST /<receiver> with the right bearer token: 204 once the lines are on disk. Each line is one alert of one delivery:
{"received", "receiver", "status", "alert", "severity", "starts", "ends", "labels", "annotations", "fingerprint"}.
Alertmanager repeats what was not answered 2xx, so the same fingerprint, status and start may come twice.
"""

from __future__ import annotations

import argparse
import datetime
import hmac
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LARGEST = 4 * 1024 * 1024


def lines(receiver: str, body: dict[str, Any], now: datetime.datetime) -> list[str]:
    """One line of JSON for each alert of a webhook's body; KeyError or TypeError when it is no such body."""
    return [
        json.dumps(
            {
                "received": now.isoformat(timespec="milliseconds"),
                "receiver": receiver,
                "status": alert["status"],
                "alert": alert["labels"]["alertname"],
                "severity": alert["labels"].get("severity"),
                "starts": alert["startsAt"],
                "ends": alert["endsAt"] if alert["status"] == "resolved" else None,
                "labels": alert["labels"],
                "annotations": alert["annotations"],
                "fingerprint": alert["fingerprint"],
            },
            sort_keys=True,
        )
        for alert in body["alerts"]
    ]


class Record:
    """Appends lines; two deliveries at once do not mix. The file is put aside as .1 when it is too long."""

    def __init__(self, path: Path, largest: int = 32 * 1024 * 1024) -> None:
        self.path, self.largest, self.lock = path, largest, threading.Lock()

    def append(self, text: list[str]) -> None:
        with self.lock:
            if self.path.exists() and self.path.stat().st_size > self.largest:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in text))
                file.flush()
                os.fsync(file.fileno())


def handler(record: Record, token: str) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        server_version = "gradual"
        sys_version = ""
        timeout = 10

        def do_POST(self) -> None:
            given = self.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                return self.answer(401)
            try:
                length = int(self.headers["Content-Length"])
                if not 0 < length <= LARGEST:
                    return self.answer(413)
                body = json.loads(self.rfile.read(length))
                text = lines(self.path.strip("/"), body, datetime.datetime.now(datetime.UTC))
            except (KeyError, TypeError, ValueError):
                return self.answer(400)
            try:
                record.append(text)
            except OSError as error:
                print(f"cannot write {record.path}: {error.strerror}", file=sys.stderr, flush=True)
                return self.answer(503)
            return self.answer(204)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            if int(getattr(code, "value", code)) >= 300:
                super().log_request(code, size)

    return Receiver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9095")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    options = parser.parse_args()
    token = options.token_file.read_text(encoding="utf-8").strip()
    if not token:
        sys.exit(f"{options.token_file} is empty: without a token anybody could write alerts")
    host, _colon, port = options.listen.rpartition(":")
    ThreadingHTTPServer((host, int(port)), handler(Record(options.record), token)).serve_forever()


if __name__ == "__main__":
    main()
