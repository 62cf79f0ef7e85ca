# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which clusters become standbys, and that the data of before come back where the copy does not stream."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.standby import Found, exchange, plan, wait_until_streaming


def found(recovering: bool, *databases: str) -> Found:
    return Found(recovering, ("postgres", *databases, "template0", "template1"), "host=primary", "db2", "/data", "/programs")


def test_an_unused_cluster_is_exchanged() -> None:
    assert plan(found(False)) == ["pg_basebackup of the primary into /data", "start as its standby"]


@pytest.mark.parametrize("databases", [(), ("shop",)])
def test_a_standby_is_left_alone(databases: tuple[str, ...]) -> None:
    assert plan(found(True, *databases)) == []


def test_data_that_somebody_may_want_are_not_thrown_away() -> None:
    with pytest.raises(DatabaseError, match="holds shop, which is not thrown away"):
        plan(found(False, "shop"))


def folders(tmp_path: Path) -> tuple[Path, Path]:
    data, target = tmp_path / "main", tmp_path / "main.standby"
    for path in (data, target):
        path.mkdir()
        (path / "whose").write_text(path.name)
    return data, target


def test_the_copy_takes_the_place_of_the_data(tmp_path: Path) -> None:
    data, target = folders(tmp_path)
    done: list[str] = []
    exchange(str(data), str(target), done.append, lambda: "")
    assert done == ["stop", "start"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
    assert (data / "whose").read_text() == "main.standby"


def test_a_copy_that_does_not_stream_gives_the_place_back(tmp_path: Path) -> None:
    data, target = folders(tmp_path)
    done: list[str] = []
    with pytest.raises(DatabaseError, match="does not stream: no receiver"):
        exchange(str(data), str(target), done.append, lambda: "no receiver")
    assert done == ["stop", "start", "stop", "start"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
    assert (data / "whose").read_text() == "main"


def test_a_start_that_fails_gives_the_place_back_too(tmp_path: Path) -> None:
    data, target = folders(tmp_path)
    starts = iter([DatabaseError("systemctl ended with status 1"), None])

    def control(verb: str) -> None:
        if verb == "start" and (error := next(starts)):
            raise error

    with pytest.raises(DatabaseError, match="status 1"):
        exchange(str(data), str(target), control, lambda: "")
    assert (data / "whose").read_text() == "main"


def test_what_was_missing_last_is_told_when_the_time_is_over() -> None:
    assert wait_until_streaming(lambda: "receiver: none", 0) == "receiver: none"
    answers = iter(["receiver: none", ""])
    assert wait_until_streaming(lambda: next(answers), 5) == ""
