"""What is called finished or completed when the hosts say otherwise: the playbooks themselves, with this machine as the
only host."""

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


def launch(folder: Path, host: Host, plays: list[dict[str, Any]], **variables: Any) -> tuple[int, str]:
    given = {
        "application": "shop",
        "application_port": host.server.server_address[1],
        "rollout_ledger_path": str(folder / "ledger"),
        "rollout_application_root": str(host.root),
        "report_copy_to": str(folder / "copies"),
        "rollout_prometheus": "http://127.0.0.1:9",
        "front_door": {"url": "http://127.0.0.1:9", "ca_path": "/nowhere"},
        **variables,
    }
    done = play(folder, plays, "-e", json.dumps(given), groups=GROUPS)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def playbook(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((HOME / "playbooks" / f"{name}.yml").read_text()))


def test_a_rollout_is_completed_when_every_host_says_so(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS)
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed")
    assert status == 0, said
    assert happened(tmp_path, "rollout.finished") == [{"outcome": "completed"}]


def test_a_rollout_is_not_completed_while_a_host_says_otherwise(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS)
    host.link(OLD)
    host.answers = OLD
    status, said = launch(tmp_path, host, playbook("report"))
    assert status != 0
    assert (
        "Not completed: here: its link current leads to 1.0.0 (111111111111), not to 2.0.0 (222222222222); what answers"
        " at /version is 1.0.0" in said
    )
    assert happened(tmp_path, "rollout.finished") == [{"outcome": "incomplete"}]
    assert [(failed["step"], failed["host"]) for failed in happened(tmp_path, "step.failed")] == [("verify", "here")]


@pytest.mark.parametrize(("insist", "status"), [("any", 0), ("completed", 2)])
def test_what_was_completed_is_asked_again_where_that_is_wanted(
    tmp_path: Path, host: Host, insist: str, status: int
) -> None:
    leave(tmp_path, *STEPS, outcome="completed")
    host.link(OLD)
    ended, said = launch(tmp_path, host, playbook("report"), report_insist=insist)
    assert ended == status, said
    assert ("Not completed: here: its link current leads to 1.0.0" in said) == (status != 0)


def test_an_empty_ledger_is_no_completed_rollout(tmp_path: Path, host: Host) -> None:
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed")
    assert status != 0
    assert f"The ledger {tmp_path / 'ledger'} on here has no rollout of shop, expected one that is completed." in said


def test_a_rollout_of_another_release_is_not_this_one(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS, outcome="completed")
    other = {**MANIFEST, "version": "3.0.0"}
    asked = {
        "hosts": "ledger",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.set_fact": {"preflight_manifest": {"manifest": other}}}],
    }
    status, said = launch(tmp_path, host, [asked, *playbook("report")], report_insist="completed")
    assert status != 0
    assert "shop 3.0.0 was not rolled out: the newest rollout is shop-2.0.0-" in said


@pytest.mark.parametrize(
    ("job", "answers", "finished", "failed"),
    [
        ("", NEW, ["backup", "migrate", "release"], []),
        ("", OLD, ["backup", "migrate"], ["here: what answers at /version is 1.0.0"]),
        ("4711", NEW, ["backup", "migrate"], ["here: systemd has a job for its service that is not done yet (4711)"]),
    ],
)
def test_a_release_step_is_finished_by_the_hosts_own_word(
    tmp_path: Path,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    answers: dict[str, str],
    finished: list[str],
    failed: list[str],
) -> None:
    leave(tmp_path, "backup", "migrate")
    monkeypatch.setenv("WAITING_JOB", job)
    host.answers = answers
    status, said = launch(tmp_path, host, playbook("release")[-1:])
    assert (status == 0) == (not failed), said
    assert [step["step"] for step in happened(tmp_path, "step.finished")] == finished
    errors = [step["error"] for step in happened(tmp_path, "step.failed")]
    assert [error.startswith(wanted) for error, wanted in zip(errors, failed, strict=True)] == [True] * len(failed)
