# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The unit over HTTP, with the program as it is installed; the application hosts are files on this machine, reached by
the command that SSH would run there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import Wanted, definition, render
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked, read
from ansible_collections.gradual.rollout.plugins.module_utils.responses import hosts, ledger, unit

HOSTS = ("app1", "app2")
BUILD = """
import sys
from ansible_collections.gradual.rollout.plugins.module_utils.responses import archive, program
sys.stdout.buffer.write(archive.build(program.__name__))
"""
SENT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "FeatureErrorsHigh", "feature": "search"},
    "annotations": {},
    "startsAt": "2026-09-21T14:13:20.5Z",
    "fingerprint": "abc",
}
MANIFEST = {"application": "shop", "version": "2.0.0", "artifact": {}, "features": [{"flag": "search"}]}


def built() -> bytes:
    done = subprocess.run([sys.executable, "-c", BUILD], capture_output=True, check=True, env=environment())
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "responses.pyz"
    path.write_bytes(built())
    return path


class Fleet:
    """Two hosts on which all users have `search` and `cart`, a ledger with a finished rollout, and the unit."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder, program
        document = {"flags": {flag: definition(Wanted(flag, 100), 1) for flag in ("search", "cart")}}
        self.metrics = ThreadingHTTPServer(("127.0.0.1", 0), self.application())
        for host in HOSTS:
            (folder / f"{host}.json").write_text(render(document))
            settings = {"path": str(folder / f"{host}.json"), "seconds": 3}
            settings["verify_url"] = f"http://127.0.0.1:{self.metrics.server_port}/{host}"
            (folder / f"{host}-switch.json").write_text(json.dumps(settings))
        with locked(str(folder / "ledger")) as book:
            opened = lease.opened([], MANIFEST, {}, lease.Request("mia@controller", time.time()))
            book.append(opened.rollout, [*opened.events, ("host.drained", {"host": "app1"})])
        self.close_rollout()
        self.settings: dict[str, Any] = {
            "table": [
                {"alert": "FeatureErrorsHigh", "action": "kill"},
                {"alert": "BackendServerOutOfTraffic", "action": "tell"},
            ],
            "hold": str(folder / "hold"),
            "state": str(folder / "state.json"),
            "ledger": str(folder / "ledger.sock"),
            "hosts": {host: host for host in HOSTS},
            "seconds": 3,
            "ssh": {"user": "u", "key": "k", "known_hosts": "h"},
        }
        self.door = threading.Thread(target=self.serve_ledger, daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.settings["ledger"])
        self.socket.listen()
        threading.Thread(target=self.metrics.serve_forever, daemon=True).start()
        self.start()

    def start(self) -> None:
        handler = unit.handler(unit.Responder(self.settings), "right")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def application(self) -> type[BaseHTTPRequestHandler]:
        fleet = self

        class Metrics(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = ["http_requests_total 1"]
                document = json.loads((fleet.folder / f"{self.path.strip('/')}.json").read_text())
                for name, flag in document["flags"].items():
                    labels = f'{{flag="{name}",pid="{os.getpid()}"}}'
                    lines.append(f"feature_flag_revision{labels} {flag['metadata']['revision']}")
                    lines.append(f"feature_flag_share{labels} {1 if 'targeting' in flag else 0}")
                self.send_response(200)
                self.end_headers()
                self.wfile.write("\n".join(lines).encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        return Metrics

    def serve_ledger(self) -> None:
        """systemd's part: one program for each connection, with the connection as its standard input and output."""
        while True:
            connection, _address = self.socket.accept()
            with connection:
                argv = [sys.executable, "-I", str(self.program), "ledger", str(self.folder / "ledger")]
                subprocess.run(argv, stdin=connection.fileno(), stdout=connection.fileno(), check=True)

    def close_rollout(self) -> None:
        with locked(str(self.folder / "ledger")) as book:
            request = lease.Request("mia@controller", time.time())
            done = lease.closed(book.reading.lines, "completed", request)
            book.append(done.rollout, done.events)

    def deliver(self, *alerts: dict[str, Any], token: str = "right", body: bytes | None = None) -> int:
        data = json.dumps({"alerts": list(alerts)}).encode() if body is None else body
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.server_port}/", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def on(self, flag: str = "search") -> list[str]:
        """The hosts that show the feature."""
        documents = {host: json.loads((self.folder / f"{host}.json").read_text()) for host in HOSTS}
        return [host for host in HOSTS if "targeting" in documents[host]["flags"][flag]]

    def recorded(self) -> list[dict[str, Any]]:
        lines = read(str(self.folder / "ledger")).lines
        return [line for line in lines if line["event"] in ledger.ALLOWED]

    def outcomes(self) -> list[str]:
        return [line["data"]["outcome"] for line in self.recorded() if line["event"] == "alert.answered"]


@pytest.fixture
def fleet(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    made = Fleet(tmp_path, program)

    def command(address: str, _settings: Any) -> list[str]:
        if (tmp_path / f"{address}-lost").exists():
            return ["sh", "-c", "echo connection refused >&2; exit 255"]
        return [sys.executable, "-I", str(program), "switch-off", str(tmp_path / f"{address}-switch.json")]

    monkeypatch.setattr(hosts, "argv", command)
    made.door.start()
    yield made
    made.server.shutdown()
    made.metrics.shutdown()


def firing(**labels: str) -> dict[str, Any]:
    return {**SENT, "labels": {**SENT["labels"], **labels}}


def test_a_feature_is_turned_off_everywhere_once_and_recorded(fleet: Fleet) -> None:
    assert fleet.deliver(SENT) == 200
    assert fleet.on() == []
    assert fleet.on("cart") == list(HOSTS)
    files = [(fleet.folder / f"{host}.json").read_bytes() for host in HOSTS]
    assert [line["event"] for line in fleet.recorded()] == ["flag.killed", "alert.answered"]
    killed = fleet.recorded()[0]["data"]
    assert (killed["flag"], killed["by"], killed["hosts"]) == ("search", "gradual-responses", [*HOSTS])
    assert killed["reason"] == "FeatureErrorsHigh fires since 2026-09-21T14:13:20"
    assert fleet.deliver(SENT, SENT) == 200
    assert [(fleet.folder / f"{host}.json").read_bytes() for host in HOSTS] == files
    assert len(fleet.recorded()) == 2


def test_a_restart_forgets_nothing(fleet: Fleet) -> None:
    fleet.deliver(SENT)
    fleet.server.shutdown()
    fleet.start()
    assert fleet.deliver(SENT) == 200
    assert fleet.outcomes() == ["done"]


def test_a_hold_stops_it_until_it_is_lifted(fleet: Fleet) -> None:
    (fleet.folder / "hold").write_text("a load test\n")
    assert [fleet.deliver(SENT), fleet.deliver(SENT)] == [200, 200]
    assert (fleet.on(), fleet.outcomes()) == ([*HOSTS], ["held"])
    assert fleet.recorded()[0]["data"]["reason"] == "responses are on hold: a load test"
    (fleet.folder / "hold").unlink()
    fleet.deliver(SENT)
    assert (fleet.on(), fleet.outcomes()) == ([], ["held", "done"])


def test_a_hold_that_cannot_be_read_holds(fleet: Fleet) -> None:
    (fleet.folder / "hold").mkdir()
    fleet.deliver(SENT)
    assert (fleet.on(), fleet.outcomes()) == ([*HOSTS], ["held"])


@pytest.mark.parametrize("alert", [firing(alertname="FrontDoorDown"), {**SENT, "status": "resolved"}])
def test_what_has_no_row_or_has_ended_does_nothing(fleet: Fleet, alert: dict[str, Any]) -> None:
    assert fleet.deliver(alert) == 200
    assert (fleet.on(), fleet.recorded()) == ([*HOSTS], [])


def test_a_lost_host_is_named_and_done_when_it_is_back(fleet: Fleet) -> None:
    (fleet.folder / "app2-lost").touch()
    fleet.deliver(SENT)
    assert fleet.on() == ["app2"]
    last = fleet.recorded()[-1]["data"]
    assert (last["outcome"], last["hosts"], last["lost"]) == ("failed", ["app1"], ["app2"])
    (fleet.folder / "app2-lost").unlink()
    fleet.deliver(SENT)
    assert (fleet.on(), fleet.outcomes()) == ([], ["failed", "done"])


def test_a_feature_that_no_host_knows_is_told(fleet: Fleet) -> None:
    fleet.deliver(firing(feature="serach"))
    assert (fleet.on(), fleet.outcomes()) == ([*HOSTS], ["wrong"])


def test_off_comes_first_and_the_record_later(fleet: Fleet) -> None:
    book = fleet.folder / "ledger"
    book.rename(fleet.folder / "aside")
    book.write_text("no directory")
    fleet.deliver(SENT)
    assert fleet.on() == []
    book.unlink()
    (fleet.folder / "aside").rename(book)
    assert fleet.outcomes() == []
    fleet.deliver()
    assert fleet.outcomes() == ["done"]


def test_a_rollout_that_is_at_work_decides_by_its_gate(fleet: Fleet) -> None:
    with locked(str(fleet.folder / "ledger")) as book:
        request = lease.Request("mia@controller", time.time())
        opened = lease.opened(book.reading.lines, {**MANIFEST, "version": "3.0.0"}, {}, request)
        book.append(opened.rollout, opened.events)
    fleet.deliver(SENT)
    assert (fleet.on(), fleet.outcomes()) == ([*HOSTS], ["left"])
    fleet.close_rollout()
    fleet.deliver(SENT)
    assert (fleet.on(), fleet.outcomes()) == ([], ["left", "done"])


def test_who_drained_a_server_is_told(fleet: Fleet) -> None:
    fleet.deliver(firing(alertname="BackendServerOutOfTraffic", server="app1"))
    [line] = fleet.recorded()
    assert line["data"]["told"].startswith("app1 was drained by mia@controller at ")
    fleet.deliver(firing(alertname="BackendServerOutOfTraffic", server="app2"), {**SENT, "status": "resolved"})
    assert len(fleet.recorded()) == 1, "the fingerprint is the same"


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [("wrong", b"{}", 401), ("", b"{}", 401), ("right", b"{}", 400), ("right", b"no json", 400), ("right", b"", 413)],
)
def test_what_is_no_delivery_is_refused(fleet: Fleet, token: str, body: bytes, status: int) -> None:
    assert fleet.deliver(token=token, body=body) == status
    assert (fleet.on(), fleet.recorded()) == ([*HOSTS], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"events": [{"event": "stage.certified", "data": {"percent": 100}}]}', "does not record stage.certified"),
        ('{"events": [{"event": "flag.killed", "data": {}}]}', "flag.killed needs flag"),
        ("{}", "not a request"),
        ("[1]", "not a request"),
        ("x", "not a request"),
    ],
)
def test_the_ledger_takes_nothing_else(fleet: Fleet, text: str, said: str) -> None:
    before = read(str(fleet.folder / "ledger")).lines
    assert said in ledger.answer(text, str(fleet.folder / "ledger"))["error"]
    assert read(str(fleet.folder / "ledger")).lines == before


@pytest.mark.parametrize("text", ["", "{}", '{"flag": "", "by": "x", "reason": "x", "at": 1}', "[]", "x" * 9000])
def test_the_key_can_ask_for_nothing_else(fleet: Fleet, program: Path, text: str) -> None:
    argv = [sys.executable, "-I", str(program), "switch-off", str(fleet.folder / "app1-switch.json")]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["failed"] is True
    assert fleet.on() == [*HOSTS]


def test_the_program_is_the_same_each_time_and_has_no_more_than_it_needs(program: Path) -> None:
    assert built() == program.read_bytes()
    assert len(program.read_bytes()) < 200_000


def test_the_command_line_has_no_request_in_it() -> None:
    argv = hosts.argv("192.0.2.11", {"user": "u", "key": "/k", "known_hosts": "/h"})
    assert (argv[0], argv[-3:]) == ("ssh", ["-l", "u", "192.0.2.11"])
    assert "StrictHostKeyChecking=yes" in argv
