# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which clusters become standbys, and that the data of before come back where the copy does not stream."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.standby import (
    Found,
    exchange,
    plan,
    wait_until_streaming,
)


def found(recovering: bool, *databases: str) -> Found:
    return Found(
        recovering, ("postgres", *databases, "template0", "template1"), "host=primary", "db2", "/data", "/programs"
    )


def test_an_unused_cluster_is_exchanged() -> None:
    assert plan(found(False)) == ["pg_basebackup of the primary into /data", "start as its standby"]


@pytest.mark.parametrize("databases", [(), ("shop",)])
def test_a_standby_is_left_alone(databases: tuple[str, ...]) -> None:
    assert plan(found(True, *databases)) == []


def test_data_that_somebody_may_want_are_not_thrown_away() -> None:
    with pytest.raises(DatabaseError, match="primary with shop, which is not deleted"):
        plan(found(False, "shop"))


@pytest.mark.parametrize(
    "conninfo",
    ["host=primary password=x user=y", "postgresql://y:x@primary/", "postgresql://primary/?user=y&password=x"],
)
def test_a_password_does_not_get_into_the_process_list(conninfo: str) -> None:
    with pytest.raises(DatabaseError, match="write it into a file"):
        plan(Found(False, ("postgres",), conninfo, "", "/data", "/programs"))


def cluster(tmp_path: Path) -> Path:
    data = tmp_path / "main"
    (data / "base").mkdir(parents=True)
    (data / "base" / "1").write_text("old")
    (data / "pg_wal").symlink_to(tmp_path)
    return data


def copied(data: Path) -> None:
    assert list(data.iterdir()) == [], "pg_basebackup wants an empty folder"
    (data / "base").mkdir()
    (data / "base" / "1").write_text("new")


def test_the_copy_takes_the_place_of_the_data(tmp_path: Path) -> None:
    data = cluster(tmp_path)
    done: list[str] = []
    exchange(str(data), done.append, lambda: copied(data), lambda: "")
    assert done == ["stop", "start"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
    assert (data / "base" / "1").read_text() == "new"


def is_as_before(data: Path) -> bool:
    return (
        (data / "base" / "1").read_text() == "old"
        and (data / "pg_wal").is_symlink()
        and len(list(data.iterdir())) == 2
        and [path.name for path in data.parent.iterdir()] == ["main"]
    )


def test_a_copy_that_does_not_stream_gives_the_place_back(tmp_path: Path) -> None:
    data = cluster(tmp_path)
    done: list[str] = []
    with pytest.raises(DatabaseError, match="does not stream: no receiver"):
        exchange(str(data), done.append, lambda: copied(data), lambda: "no receiver")
    assert done == ["stop", "start", "stop", "start"]
    assert is_as_before(data)


def test_a_copy_that_fails_halfway_gives_the_place_back_too(tmp_path: Path) -> None:
    data = cluster(tmp_path)

    def halfway() -> None:
        copied(data)
        raise DatabaseError("pg_basebackup ended with status 1")

    with pytest.raises(DatabaseError, match="status 1"):
        exchange(str(data), lambda verb: None, halfway, lambda: "")
    assert is_as_before(data)


def test_what_a_killed_run_left_is_not_overwritten(tmp_path: Path) -> None:
    data = cluster(tmp_path)
    (tmp_path / "main.before-standby").mkdir()
    done: list[str] = []
    with pytest.raises(DatabaseError, match="left by a run that was killed"):
        exchange(str(data), done.append, lambda: copied(data), lambda: "")
    assert done == []


def test_what_was_missing_last_is_told_when_the_time_is_over() -> None:
    assert wait_until_streaming(lambda: "receiver: none", 0) == "receiver: none"
    answers = iter(["receiver: none", ""])
    assert wait_until_streaming(lambda: next(answers), 5) == ""
