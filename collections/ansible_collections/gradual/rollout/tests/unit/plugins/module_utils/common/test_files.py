"""Files are replaced whole, and a failure leaves the old one and nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common import files


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("content", ["a – b\n", "a – b\n".encode()])
def test_a_file_is_replaced_by_one_that_everybody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, durable: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    before = os.umask(0o077)
    try:
        files.replace(str(path), content, durable=durable)
    finally:
        os.umask(before)
    assert path.read_text(encoding="utf-8") == "a – b\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert len(synced) == durable
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_the_directory_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.replace("file", "new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "fchmod", "utime", "replace"])
def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        files.replace(str(path), "new", newer=True)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("newer", "later"), [(True, True), (False, False)])
def test_the_time_is_newer_though_the_clock_was_set_back(tmp_path: Path, newer: bool, later: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    os.utime(path, (4_000_000_000, 4_000_000_000))
    files.replace(str(path), "new", newer=newer)
    assert (files.modified(str(path)) > 4_000_000_000) == later


def test_what_is_not_there_was_never_written(tmp_path: Path) -> None:
    assert files.modified(str(tmp_path / "file")) == 0.0
    files.replace(str(tmp_path / "file"), "new", newer=True)
    assert files.modified(str(tmp_path / "file")) > 0
