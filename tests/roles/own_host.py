"""This machine as the only host of a fleet, with a ledger in which a rollout has come so far; and playbooks on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked, read
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store

from tests.roles.local import HOME, play

NOW = 1_700_000_000.0
GROUPS = ("application", "database", "balancer", "monitoring", "ledger", "database_primary")
OLD, NEW = {"version": "1.0.0", "digest": "1" * 64}, {"version": "2.0.0", "digest": "2" * 64}
MANIFEST: dict[str, Any] = {
    "application": "shop",
    "version": "2.0.0",
    "artifact": {"url": "http://x/2", "sha256": "2" * 64},
    "features": [],
    "stages": [100],
    "smoke": [],
    "on_abort": "release",
    "gate": {},
    "bake": {},
    "backup": {"method": "dump", "level": "restored"},
}
STEPS = ("backup", "migrate", "release", "ramp", "verify")
SYSTEMCTL = "#!/bin/sh\nprintf 'ActiveState=active\\nLoadState=loaded\\nJob=%s\\n' \"$WAITING_JOB\"\n"


class Host:
    """This machine as an application host: links below `root`, a service that is active, and /version."""

    def __init__(self, folder: Path) -> None:
        self.root, self.answers = folder / "opt", NEW
        for release in (OLD, NEW):
            directory = Path(release_store.path_of(str(self.root), release["version"], release["digest"]))
            directory.mkdir(parents=True)
            (directory / release_store.NOTE).write_text(
                json.dumps({"release": release["version"], "digest": release["digest"]})
            )
        self.link(NEW)
        host = self

        class Version(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = {"application": "shop", "release": host.answers["version"], "digest": host.answers["digest"]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Version)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def link(self, release: dict[str, str]) -> None:
        release_store.switch(
            str(self.root), "current", release_store.path_of(str(self.root), release["version"], release["digest"])
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("WAITING_JOB", "")
    made = Host(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def leave(folder: Path, *steps: str, outcome: str = "") -> None:
    """A ledger in which the manifest's rollout has done these steps."""
    with locked(str(folder / "ledger")) as ledger:
        request = lease.Request("somebody", NOW)
        opened = lease.opened([], MANIFEST, {"plan": [], "hosts": {"here": OLD}, "revision": None}, request)
        ledger.append(opened.rollout, opened.events + [("step.finished", {"step": step}) for step in steps])
        last = (
            lease.closed(ledger.reading.lines, outcome, request)
            if outcome
            else lease.released(ledger.reading.lines, request)
        )
        ledger.append(opened.rollout, last.events)


def happened(folder: Path, event: str) -> list[dict[str, Any]]:
    return [line["data"] for line in read(str(folder / "ledger")).lines if line["event"] == event]


def settings(folder: Path, host: Host) -> dict[str, Any]:
    """The inventory's variables, for this machine."""
    return {
        "application": "shop",
        "application_port": host.server.server_address[1],
        "rollout_ledger_path": str(folder / "ledger"),
        "rollout_application_root": str(host.root),
        "report_copy_to": str(folder / "copies"),
        "rollout_prometheus": "http://127.0.0.1:9",
        "front_door": {"url": "http://127.0.0.1:9", "ca_path": "/nowhere"},
    }


def launch(folder: Path, host: Host, plays: list[dict[str, Any]], **variables: Any) -> tuple[int, str]:
    """Status and screen of ansible-playbook, the screen in one line."""
    done = play(folder, plays, "-e", json.dumps(settings(folder, host) | variables), groups=GROUPS)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def playbook(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((HOME / "playbooks" / f"{name}.yml").read_text()))
