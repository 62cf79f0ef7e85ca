# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""python -m integrations.python.bench: what the library costs. The same application on the same server, without and
with the library, in turns.

At saturation 8 connections send as fast as they are answered; the median latency is that of one connection alone. On a
busy machine believe the processor time of the server for each request: it does not depend on who else runs.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

APPS = Path(__file__).parent / "apps"
LIBRARY = Path(__file__).resolve().parents[1]
SERVERS = {
    "Flask, gunicorn": (
        "gunicorn",
        "--workers",
        "1",
        "--worker-class",
        "gthread",
        "--threads",
        "4",
        "--log-level",
        "warning",
        "flask_page:app",
    ),
    "FastAPI, uvicorn": ("uvicorn", "--log-level", "warning", "fastapi_page:app"),
}
PATHS = {"an empty answer": "/api/empty", "a page, with a flag": "/api/search"}
CONNECTIONS = 8
FLAGS = """{"flags": {"search": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
  "targeting": {"fractional": [["on", 50], ["off", 50]]}, "metadata": {"revision": 1}}}}"""


class Round(NamedTuple):
    """Requests a second at saturation; the server's processor time for each, and the median latency of one connection
    alone, in microseconds."""

    rate: float
    processor: float
    latency: float


class Page:
    """A running server."""

    def __init__(self, command: tuple[str, ...], contract: bool, folder: Path) -> None:
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = int(chosen.getsockname()[1])
        program, *arguments = command
        address = ("--bind", f"127.0.0.1:{self.port}") if program == "gunicorn" else ("--port", str(self.port))
        folder.mkdir()
        (folder / "flags.json").write_text(FLAGS)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{APPS}:{LIBRARY}",
            "CONTRACT": str(int(contract)),
            "FLAGS_FILE": str(folder / "flags.json"),
            "RUNTIME_DIRECTORY": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", program, *arguments, *address], env=environment, cwd=folder
        )
        while True:
            try:
                self.ask("/api/search", 0.0)
                break
            except OSError:
                time.sleep(0.1)

    def ask(self, path: str, seconds: float) -> list[float]:
        """The latencies, in seconds, of one connection that asks one after another for this time; once at least."""
        message = f"GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: visitor=user-1\r\n\r\n".encode()
        until, found = time.perf_counter() + seconds, []
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                began = time.perf_counter()
                connection.sendall(message)
                _receive(connection)
                found.append(time.perf_counter() - began)
                if began > until:
                    return found

    def processor(self) -> float:
        """Seconds that the process and its children have run."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--pid", str(self.process.pid), "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        ticks = 0
        for pid in listed:
            if Path(f"/proc/{pid}/stat").exists():
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def measure(self, path: str, seconds: float) -> Round:
        alone = statistics.median(self.ask(path, seconds))
        answered: list[list[float]] = []
        threads = [
            threading.Thread(target=lambda: answered.append(self.ask(path, seconds))) for _each in range(CONNECTIONS)
        ]
        before, began = self.processor(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count = sum(map(len, answered))
        taken = time.perf_counter() - began
        return Round(count / taken, (self.processor() - before) / count * 1e6, alone * 1e6)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def _receive(connection: socket.socket) -> None:
    """One whole answer; OSError when there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _part(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the page answers {head!r}")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += _part(connection)


def _part(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionResetError("closed")
    return part


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m integrations.python.bench")
    parser.add_argument("--rounds", type=int, default=5, help="of each, without and with the library (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (%(default)s)")
    told = parser.parse_args()
    print("| application, server | what is asked | library | requests/s | server CPU, µs | median latency, µs |")
    print("|---|---|---|---|---|---|")
    for server, command in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder:
            pages = [Page(command, contract, Path(folder) / str(contract)) for contract in (False, True)]
            for what, path in PATHS.items():
                # In turns, so that what else the machine does meets both.
                rounds = [[page.measure(path, told.seconds) for page in pages] for _round in range(told.rounds)]
                for number, name in enumerate(("without", "with")):
                    rate, processor, latency = (statistics.median(each) for each in zip(*(r[number] for r in rounds)))
                    print(f"| {server} | {what} | {name} | {rate:.0f} | {processor:.0f} | {latency:.0f} |", flush=True)
            for page in pages:
                page.stop()


if __name__ == "__main__":
    main()
