# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""One application under a real server, started as systemd does and asked as Gradual asks it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer, Session
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition, process_state
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file

APPS = Path(__file__).parent / "apps"
LIBRARY = Path(__file__).resolve().parents[1]
FEATURES = ("checkout", "search")
GUNICORN = ("gunicorn", "--workers", "2", "--threads", "4", "--worker-class", "gthread", "--graceful-timeout", "20")
UVICORN = ("uvicorn", "--timeout-graceful-shutdown", "20", "--log-level", "warning")
SERVERS: dict[str, tuple[str, ...]] = {
    "flask-gunicorn": (*GUNICORN, "--config", str(APPS / "hooks.py"), "flask_shop:app"),
    "flask-gunicorn-preload": (*GUNICORN, "--preload", "flask_shop:app"),
    "django-gunicorn": (*GUNICORN, "django_shop:app"),
    "django-gunicorn-preload": (*GUNICORN, "--preload", "--config", str(APPS / "hooks.py"), "django_shop:app"),
    "fastapi-uvicorn": (*UVICORN, "fastapi_shop:app"),
    "starlette-uvicorn": (*UVICORN, "starlette_shop:app"),
    "django-uvicorn": (*UVICORN, "django_shop:asgi"),
}
SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


class Server:
    """A running application. folder: where its flag file, log and metrics are."""

    def __init__(self, folder: Path, command: Sequence[str], apps: Path = APPS, flags: str | None = None) -> None:
        self.folder, self.port, self.document = folder, free_port(), {"flags": {}}
        self.flags, self.log = folder / "flags.json", folder / "log"
        self.url = f"http://127.0.0.1:{self.port}"
        if flags is not None:
            self.flags.write_text(flags)
        (folder / "ready").touch()
        (folder / ".release.json").write_text(json.dumps({"application": "shop", "release": "1.0", "digest": "d" * 64}))
        program, *arguments = command
        address = ("--bind", f"127.0.0.1:{self.port}") if program == "gunicorn" else ("--port", str(self.port))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{apps}:{LIBRARY}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "FLAGS_FILE": str(self.flags),
            "RUNTIME_DIRECTORY": str(folder),
            "READY": str(folder / "ready"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "GRPC_ENABLE_FORK_SUPPORT": "0",
        }
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(self.log, "wb") as log:
            manager.bind(environment["NOTIFY_SOCKET"])
            manager.settimeout(SECONDS)
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, *arguments, *address],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
            try:
                self.told = manager.recv(4096).decode()
            except TimeoutError:
                self.process.kill()
                raise AssertionError(f"no READY=1 within {SECONDS:g} s: {self.log.read_text()}") from None

    def get(self, path: str, user: str | None = None, method: str = "GET", probe: bool = False) -> Answer:
        headers = {"Cookie": f"visitor={user}"} if user else {}
        with Session(self.url, SECONDS, as_user=not probe) as session:
            return session.request(method, path, headers, b"" if method == "POST" else None)

    def metrics(self) -> str:
        return self.get("/metrics").text

    def value(self, name: str, text: str | None = None, **labels: str) -> float | None:
        """The sample with exactly these labels, whatever its pid; None where there is none."""
        found = None
        for _name, seen, value in process_state.samples(self.metrics() if text is None else text, (name,)):
            seen.pop("pid", None)
            if seen == labels:
                found = value
        return found

    def show(self, percent: int, labels: tuple[int, ...] = (), features: Sequence[str] = FEATURES) -> None:
        """Write the flags as Gradual does, and wait as Gradual does until every process evaluates them."""
        wanted = [definition.Wanted(feature, percent, labels=labels) for feature in features]
        plan = definition.plan(self.document, wanted, 0)
        self.document = plan.document
        flag_file.write(str(self.flags), definition.render(plan.document))
        flag_file.wait(f"{self.url}/metrics", plan.document, wanted, SECONDS, str(self.flags))

    def workers(self) -> set[int]:
        """The processes that serve."""
        listed = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return {int(pid) for pid in listed.stdout.split()} or {self.process.pid}

    def evaluating(self) -> set[int]:
        """The processes that tell what they evaluate."""
        return {int(each["pid"]) for each in process_state.processes(self.metrics(), FEATURES)}

    def stop(self) -> bool:
        """Whether it ended as systemd wants: with 0, or with the signal, which uvicorn raises again at its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS) in (0, -signal.SIGTERM)


def counters(text: str) -> dict[str, float]:
    """Every sample that may only grow, by its line without the value."""
    found = {}
    for line in text.splitlines():
        if re.match(r"\w+_(total|count|bucket|sum)\{", line):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def json_of(answer: Answer) -> Any:
    assert answer.status == 200, f"status {answer.status}: {answer.text[:200]}"
    return answer.json()
