"""Names of segments, what a sequence may show in a physical copy, and what pgBackRest's texts are taken for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup.repository import Repository
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import wal
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.sequences import widened

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "steps", "size", "moved"),
    [
        ("000000010000000000000001", 1, 16 * MIB, "000000010000000000000002"),
        ("0000000100000000000000FF", 1, 16 * MIB, "000000010000000100000000"),
        ("000000020000000100000000", -1, 16 * MIB, "0000000200000000000000FF"),
        ("00000001000000000000003F", 1, 64 * MIB, "000000010000000100000000"),
        ("000000010000000000000003", 1, 1024 * MIB, "000000010000000100000000"),
    ],
)
def test_a_segment_is_followed_by_the_next_one_whatever_its_size(name: str, steps: int, size: int, moved: str) -> None:
    assert wal.moved(name, steps, size) == moved


def test_segments_are_counted_on_one_timeline_only() -> None:
    assert wal.segments("0000000100000000000000FE", "000000010000000100000000", 16 * MIB) == [
        "0000000100000000000000FE",
        "0000000100000000000000FF",
        "000000010000000100000000",
    ]
    assert wal.segments("000000010000000000000002", "000000010000000000000001", 16 * MIB) == []
    with pytest.raises(DatabaseError, match="of two timelines: there was a failover during the backup"):
        wal.segments("000000010000000000000002", "000000020000000000000003", 16 * MIB)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("000000010000000000000001", True),
        ("000000010000000000000001.partial", False),
        ("00000002.history", False),
        ("archive_status", False),
        ("000000010000000000000001\n", False),
    ],
)
def test_only_segments_are_taken_for_segments(name: str, is_one: bool) -> None:
    assert wal.is_segment(name) is is_one


@pytest.mark.parametrize(
    ("before", "after", "ahead", "allowed"),
    [
        (5, 9, 33, [5, 42]),
        (-5, -9, -33, [-38, -9]),
        (None, None, 33, [None, None]),
        (None, 1, 33, [None, 34]),
        (None, -1, -33, [None, -1]),
    ],
)
def test_a_copy_may_show_a_sequence_as_far_on_as_the_log_has_it(
    before: int | None, after: int | None, ahead: int, allowed: list[int | None]
) -> None:
    assert widened(before, after, ahead) == allowed


@pytest.mark.parametrize(
    ("text", "is_local"),
    [
        ("[global]\nrepo1-path={folder}\n", True),
        ("[main]\nrepo1-path={folder}\n", True),
        ("[global]\nrepo1-path={folder}/none\n", False),
        ("[global]\nrepo1-path={folder}\nrepo1-host=backup.example.org\n", False),
        ("[global]\nrepo1-path={folder}\nrepo1-type=s3\n", False),
    ],
)
def test_files_of_a_repository_are_looked_at_where_it_is_on_this_host(
    tmp_path: Path, text: str, is_local: bool
) -> None:
    config = tmp_path / "pgbackrest.conf"
    config.write_text(text.format(folder=tmp_path))
    found = Repository("/usr/bin/pgbackrest", str(config), "main").local()
    assert found == (str(tmp_path) if is_local else None)
