# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""HAProxy's runtime socket: what it answers, and the state that is kept for the next reload."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import runtime_api
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError
from ansible_collections.gradual.rollout.tests.unit.sample_haproxy import STATE


@contextlib.contextmanager
def speaking(path: Path, answers: dict[str, str]) -> Any:
    """A runtime socket that says these answers; what it was asked."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for _answer in answers:
                connection, _peer = listener.accept()
                with connection:
                    asked.append(connection.recv(1000).decode())
                    connection.sendall(answers.get(asked[-1].strip(), "").encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(5)


def test_the_state_is_kept_for_the_next_reload(tmp_path: Path) -> None:
    with speaking(tmp_path / "socket", {"show servers state": "\n" + STATE + "\n"}):
        runtime_api.Socket(str(tmp_path / "socket")).save(str(tmp_path / "state"))
    assert (tmp_path / "state").read_text() == STATE


def test_a_bad_answer_leaves_the_state_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("old")
    with (
        speaking(tmp_path / "socket", {"show servers state": "Permission denied\n"}),
        pytest.raises(HaproxyError, match="the state file is left as it was"),
    ):
        runtime_api.Socket(str(tmp_path / "socket")).save(str(tmp_path / "state"))
    assert (tmp_path / "state").read_text() == "old"


def test_words_of_the_socket_are_errors(tmp_path: Path) -> None:
    command = "set server application/app1 state drain"
    with (
        speaking(tmp_path / "socket", {command: "No such server.\n"}) as asked,
        pytest.raises(HaproxyError, match=r"refuses to set application/app1 to drain: No such server\."),
    ):
        runtime_api.Socket(str(tmp_path / "socket")).set_state("application", "app1", "drain")
    assert asked == [command + "\n"]


def test_enabling_leaves_no_time_in_which_a_server_counts_as_up(tmp_path: Path) -> None:
    both = "set server application/app1 state ready;set server application/app1 health down"
    with speaking(tmp_path / "socket", {both: "\n\n"}) as asked:
        runtime_api.Socket(str(tmp_path / "socket")).enable("application", "app1")
    assert asked == [both + "\n"]


def test_a_missing_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(HaproxyError, match="is not there; start haproxy"):
        runtime_api.Socket(str(tmp_path / "none")).servers("application")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "deaf"))
    with listener, pytest.raises(HaproxyError, match="nobody answers at"):
        runtime_api.Socket(str(tmp_path / "deaf")).servers("application")


@pytest.mark.parametrize("name", ["app1 state ready; shutdown", "app1\nshutdown", ""])
def test_names_cannot_smuggle_commands(tmp_path: Path, name: str) -> None:
    with pytest.raises(HaproxyError, match="not the name of a backend or server"):
        runtime_api.Socket(str(tmp_path / "none")).set_state("application", name, "ready")
