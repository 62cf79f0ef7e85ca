"""What processes say that they evaluate, read from /metrics and waited for."""

from __future__ import annotations

import collections.abc
import contextlib
import http.server
import os
import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags import process_state
from hypothesis import given
from hypothesis import strategies as st


def metrics(*processes: tuple[str, str, float, float]) -> str:
    lines = ["# TYPE feature_flag_revision gauge", 'http_requests_total{method="GET",route="/",status="200"} 5.0']
    for flag, pid, revision, share in processes:
        lines += [
            f'feature_flag_revision{{flag="{flag}",pid="{pid}"}} {revision}',
            f'feature_flag_share{{flag="{flag}",pid="{pid}"}} {share}',
        ]
    return "\n".join(lines) + "\n"


TWO = metrics(("search", "11", 18.0, 0.49), ("search", "12", 18.0, 0.49), ("cart", "11", 3.0, 0.0))


def test_processes_are_read_for_the_flags_asked_for() -> None:
    assert process_state.processes(TWO, ["search"]) == [
        {"pid": "11", "flag": "search", "revision": 18, "share": 0.49},
        {"pid": "12", "flag": "search", "revision": 18, "share": 0.49},
    ]


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ('a{x="1",y="2"} 3', {"x": "1", "y": "2"}, 3.0),
        ('a{x="q\\"uo\\\\te\\n"} 1e3 1700000000000', {"x": 'q"uo\\te\n'}, 1000.0),
        ('a{x="br}ace, and=comma",} 1', {"x": "br}ace, and=comma"}, 1.0),
        ("a 7", {}, 7.0),
        ("a{} 7", {}, 7.0),
    ],
)
def test_lines_of_the_text_format(line: str, labels: dict[str, str], value: float) -> None:
    assert list(process_state.samples(line, ["a"])) == [("a", labels, value)]


@pytest.mark.parametrize("line", ["", "a", "# a 1", "b 1", "a{x=1} nonsense", 'a{x="1" 2'])
def test_lines_that_are_no_samples(line: str) -> None:
    assert list(process_state.samples(line, ["a"])) == []


@given(st.text())
def test_no_text_raises(text: str) -> None:
    process_state.processes(text, ["search"])
    process_state.processes("feature_flag_revision{" + text, ["search"])


@pytest.mark.parametrize(
    ("text", "revision", "percent", "speaking", "told"),
    [
        (TWO, 18, 50, True, []),
        (
            TWO,
            19,
            50,
            True,
            [
                "process 11 evaluates revision 18 of search, wanted 19",
                "process 12 evaluates revision 18 of search, wanted 19",
            ],
        ),
        (
            TWO,
            18,
            25,
            True,
            [
                "process 11 gives search to a share of 0.49, wanted 0.25",
                "process 12 gives search to a share of 0.49, wanted 0.25",
            ],
        ),
        (metrics(("search", "11", 18, 0.01)), 18, 0, True, ["process 11 gives search to a share of 0.01, wanted 0"]),
        (metrics(("search", "11", 18, 0.99)), 18, 100, True, ["process 11 gives search to a share of 0.99, wanted 1"]),
        (
            metrics(("search", "11", 18, 0), ("search", "12", 17, 0)),
            18,
            0,
            True,
            ["process 12 evaluates revision 17 of search, wanted 18"],
        ),
        (
            metrics(("search", "11", 18, float("nan"))),
            18,
            0,
            True,
            ["process 11 gives search to a share of None, wanted 0"],
        ),
        (metrics(), 18, 0, True, []),
        (
            metrics(),
            18,
            0,
            False,
            ["no process reports what it evaluates for search (feature_flag_revision is missing)"],
        ),
        (
            metrics(),
            18,
            25,
            True,
            ["no process reports what it evaluates for search (feature_flag_revision is missing)"],
        ),
    ],
)
def test_complaints(text: str, revision: int, percent: int, speaking: bool, told: list[str]) -> None:
    found = process_state.processes(text, ["search"])
    assert process_state.complaints(found, {"search": (revision, percent)}, speaking) == told


def test_the_dead_are_passed_over_unless_all_seem_dead() -> None:
    found = process_state.processes(TWO, ["search"])
    assert [each["pid"] for each in process_state.living(found, lambda pid: pid == "12")] == ["12"]
    assert len(process_state.living(found, lambda pid: False)) == 2


@contextlib.contextmanager
def serving(text: collections.abc.Callable[[], str]) -> t.Iterator[str]:
    """The address of a server that answers with a text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: t.Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


NO_FILE = "/nonexistent/flags.json"
SEARCH = flag_definition.wanted_from({"flag": "search", "certified": 25, "baking": 50, "expiry": 1_990_000_000})
DOCUMENT = flag_definition.plan(None, [SEARCH], 18).document


def test_waiting_ends_when_every_process_evaluates_the_file() -> None:
    start = time.monotonic()
    mine, parent = str(os.getpid()), str(os.getppid())

    def text() -> str:
        late = 18 if time.monotonic() - start > 0.5 else 17
        return metrics(("search", mine, 18, 0.47), ("search", parent, late, 0.47), ("search", "4194305", 3, 0.0))

    with serving(text) as url:
        found = flag_file.wait(url, DOCUMENT, [SEARCH], 5, NO_FILE)
    assert {(each["pid"], each["revision"]) for each in found} == {(mine, 18), (parent, 18)}
    assert 0.5 < time.monotonic() - start < 2


def test_waiting_in_vain_says_which_process_differs() -> None:
    with (
        serving(lambda: metrics(("search", str(os.getpid()), 17, 0.2))) as url,
        pytest.raises(flag_definition.FlagFileError) as error,
    ):
        flag_file.wait(url, DOCUMENT, [SEARCH], 0.3, NO_FILE)
    assert f"after 0.3 s process {os.getpid()} evaluates revision 17 of search, wanted 18" in str(error.value)


def test_a_file_that_a_process_missed_gets_a_newer_time(tmp_path: pathlib.Path) -> None:
    """A provider that starts while the file is written takes the new time for that of the old content, and never reads
    it."""
    path = tmp_path / "flags.json"
    flag_file.write(str(path), "{}")
    missed = path.stat().st_mtime

    def text() -> str:
        return metrics(("search", str(os.getpid()), 18 if path.stat().st_mtime > missed else 17, 0.47))

    with serving(text) as url:
        assert [each["revision"] for each in flag_file.wait(url, DOCUMENT, [SEARCH], 10, str(path))] == [18]


def test_nobody_answering_is_not_agreement() -> None:
    with pytest.raises(flag_definition.FlagFileError, match="does not answer"):
        flag_file.wait(
            "http://127.0.0.1:9/metrics",
            DOCUMENT,
            [flag_definition.wanted_from({"flag": "search", "certified": 0})],
            0.3,
            NO_FILE,
        )


@pytest.mark.parametrize(
    ("content", "broken"), [(None, None), ("{", "is not JSON"), ('{"flags": {}}', None), ("[]", 'no object "flags"')]
)
def test_reading(tmp_path: pathlib.Path, content: str | None, broken: str | None) -> None:
    path = tmp_path / "flags.json"
    if content is not None:
        path.write_text(content)
    document, text, wrong = flag_file.read(str(path))
    assert text == (content or "")
    assert (wrong is None) if broken is None else (document is None and broken in str(wrong))


def test_a_file_that_cannot_be_written_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(flag_definition.FlagFileError, match="cannot be written"):
        flag_file.write(str(tmp_path / "file" / "flags.json"), "{}")


def test_the_share_of_all_processes_is_their_mean_and_says_nothing_of_users() -> None:
    found: dict[str, list[process_state.Process]] = {
        "app1": [{"pid": "1", "flag": "search", "share": 0.2}, {"pid": "2", "flag": "search", "share": 0.3}],
        "app2": [{"pid": "1", "flag": "search", "share": 0.4}, {"pid": "1", "flag": "cart", "share": None}],
    }
    assert process_state.shares(found) == {"search": {"users": None, "on": None, "share": 0.3, "lost": None}}
