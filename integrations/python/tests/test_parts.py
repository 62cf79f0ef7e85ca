# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The parts that know no framework, as tables; and processes that come and go."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradual_contract import ContractError, Gradual, endpoints, flag_file, metrics, multiprocess, routes, systemd
from gradual_contract.request import Call, Request

from integrations.python.tests.server import LIBRARY


def request(headers: dict[str, str], scheme: str = "http") -> Request:
    return Request("GET", "/", scheme, lambda name: headers.get(name, ""), None)


@pytest.mark.parametrize(
    ("route", "label"),
    [
        ("/api/search", "/api/search"),
        ("api/orders/<int:number>/", "/api/orders/<number>/"),
        ("/a/<any(one, two):kind>/<string(length=2):code>", "/a/<kind>/<code>"),
        ("/files/{path:path}/{id}", "/files/{path}/{id}"),
    ],
)
def test_names_of_routes(route: str, label: str) -> None:
    assert routes.label(route) == label


def test_a_feature_plays_on_the_methods_that_are_named() -> None:
    found = routes.plays({"search": ["GET /api/search"], "both": ["/api/search"], "order": ["POST /api/<int:a>"]})
    assert found["GET", "/api/search"] == found["HEAD", "/api/search"] == ("search", "both")
    assert found["POST", "/api/search"] == ("both",)
    assert found["POST", "/api/<a>"] == ("order",)
    assert ("GET", "/api/<a>") not in found


@pytest.mark.parametrize("wrong", ["/api/search", ["api/search"], ["FETCH /api/search"]])
def test_features_that_name_no_route_are_refused(wrong: Any) -> None:
    with pytest.raises(ContractError, match="write"):
        routes.plays({"search": wrong})


def test_series_of_a_declared_method_leave_the_other_methods_of_the_route() -> None:
    table = routes.series({"/a/<int:b>": {"GET": (200,), "POST": (201,)}}, {"/a/<b>": {"POST": (201, 409)}})
    assert table["/a/<b>"] == {"GET": (200,), "POST": (201, 409)}
    assert {"gradual-probe", "unmatched", "/healthz", "/api/features"} <= set(table)
    assert 409 in table["gradual-probe"]["POST"]


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (None, 200, {"ready": True}),
        (True, 200, {"ready": True}),
        (False, 503, {"ready": False}),
        ("no database", 503, {"ready": False, "reason": "no database"}),
        ({"schema": "0003"}, 200, {"ready": True, "schema": "0003"}),
        ({"schema": "1", "reason": "old"}, 503, {"ready": False, "schema": "1", "reason": "old"}),
    ],
)
def test_readiness(said: object, status: int, body: object) -> None:
    answer = endpoints.checked(lambda: said)
    assert (answer.status, json.loads(answer.body)) == (status, body)


def test_a_check_that_fails_is_not_ready() -> None:
    answer = endpoints.checked(lambda: 1 / 0)
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "the check failed (ZeroDivisionError)")


@pytest.mark.parametrize(
    ("cookies", "key"),
    [
        ("visitor=anna", "anna"),
        ('other=1; visitor="anna"; x', "anna"),
        ("notvisitor=anna", None),
        ("visitor=", None),
        ("visitor=a/b", None),
        ("visitor=" + "a" * 65, None),
    ],
)
def test_the_cookie_names_the_user_or_a_new_one_is_made(cookies: str, key: str | None) -> None:
    call = Call(request({"Cookie": cookies}, "https"))
    found = call.key("visitor", None)
    told = call.set_cookie("visitor")
    if key:
        assert (found, told) == (key, None)
    else:
        assert told is not None
        assert told.startswith(f"visitor={found};")
        assert told.endswith("; Secure")


def test_the_application_may_name_the_user_and_otherwise_the_cookie_does() -> None:
    for told, wanted in (("account 7", "account 7"), (None, "anna"), ("", "anna")):
        assert Call(request({"Cookie": "visitor=anna"})).key("visitor", lambda _request, t=told: t) == wanted


FLAG = {"variants": {"on": True, "off": False}, "metadata": {"revision": 7}}
EXPIRING = {"if": [{"<": [{"var": "$flagd.timestamp"}, 99]}, {"fractional": [["on", 50], ["off", 50]]}, "off"]}


def test_what_a_flag_file_says(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {"search": {**FLAG, "targeting": EXPIRING}, "other": {"variants": 3}}}))
    told = flag_file.read(str(path), ["search", "gone"])
    assert told.variants == {"search": {"on": True, "off": False}}
    assert (told.revisions, told.moments) == ({"search": 7.0, "gone": 0.0}, [99.0])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"flags": 3}', '{"flags": {"search": 3}}', "[" * 100_000])
def test_a_file_that_is_none_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flags.json"
    path.write_text(text)
    with pytest.raises(flag_file.Unreadable):
        flag_file.read(str(path), ["search"])


def test_a_process_counts_by_24_variants_of_a_feature_and_then_by_on_and_off() -> None:
    made = metrics.Metrics(["search"], {}, metrics.BUCKETS)
    made.create({})
    labels = [made.variant("search", f"aa{number}", False) for number in range(1, 60)]
    assert labels[:22] == [f"aa{number}" for number in range(1, 23)]
    assert set(labels[22:]) == {"off"}
    assert made.variant("search", "late", True) == "on"
    assert made.variant("search", None, True) == "on"


def test_another_kind_of_application_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(ContractError, match=r"\.wsgi\(application\)"):
        Gradual(object())


def test_outside_of_a_request_and_of_the_features_everything_is_off(caplog: pytest.LogCaptureFixture) -> None:
    gradual = Gradual(features={"search": ["/"]})
    assert not gradual.is_on("search")
    assert not gradual.is_on("search")
    assert [record.message for record in caplog.records] == [
        "feature 'search' is asked for outside of a request: it is off"
    ]


def script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(LIBRARY), **environment}
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=False)


COUNT = """
from gradual_contract import metrics
made = metrics.Metrics(["search"], {}, (0.1,))
made.create({"/a": {"GET": (200,)}})
made.count("GET", "/a", 200, 0.05)
made.revision.labels("search").set(7)
"""


def test_what_dead_processes_counted_stays_and_their_files_and_gauges_go(tmp_path: Path) -> None:
    for _process in range(3):
        assert script(COUNT, RUNTIME_DIRECTORY=str(tmp_path)).returncode == 0
    before = len(list((tmp_path / "metrics").glob("*.db")))
    done = script(
        f"{COUNT}\nprint(metrics.text().decode())\nprint(metrics.text().decode())", RUNTIME_DIRECTORY=str(tmp_path)
    )
    assert done.stdout.count('http_requests_total{method="GET",route="/a",status="200"} 4.0') == 2, done.stderr
    assert done.stdout.count('http_request_duration_seconds_bucket{le="0.1",route="/a"} 4.0') == 2
    assert done.stdout.count("feature_flag_revision{") == 2, "only of the process that lives"
    files = {path.name for path in (tmp_path / "metrics").glob("*.db")}
    assert before == 9
    assert {"counter_0.db", "histogram_0.db"} < files
    assert len(files) == 5


def test_prometheus_client_imported_first_is_an_error_that_says_what_to_do() -> None:
    done = script("import prometheus_client, gradual_contract")
    assert "import gradual_contract first, or set PROMETHEUS_MULTIPROC_DIR" in done.stderr
    assert script("import prometheus_client, gradual_contract", PROMETHEUS_MULTIPROC_DIR="/tmp").returncode == 0


def test_a_directory_of_its_own_is_removed_at_the_end() -> None:
    done = script("from gradual_contract import multiprocess; print(multiprocess.DIRECTORY)")
    assert done.returncode == 0
    assert not Path(done.stdout.strip()).exists()
    assert multiprocess.DIRECTORY.exists()


def test_a_listening_socket_is_seen_and_a_bound_one_is_not() -> None:
    code = "import socket; from gradual_contract import systemd\ns = socket.socket(); s.bind(('127.0.0.1', 0))\n"
    done = script(f"{code}print(systemd.listening()); s.listen(); print(systemd.listening())")
    assert done.stdout.split() == ["False", "True"], done.stderr


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    address = f"gradual-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address if abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + address if abstract else address)
        systemd.notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")
