# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Archives of a release: hostile, cut and random ones are refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.release import archive as unpacking
from ansible_collections.gradual.rollout.tests.unit.packing import Entry, link, packed
from hypothesis import given
from hypothesis import strategies as st


def test_a_good_archive(tmp_path: Path) -> None:
    content = packed(
        ("./run", "#!/bin/sh\n"),
        ("app", None),
        ("app/a.txt", "a"),
        ("app/b", link("a.txt")),
        ("c", link("./app/a.txt", hard=True)),
        ("d/e/f", "f"),
    )
    assert unpacking.unpack(io.BytesIO(content), str(tmp_path)) == 12
    assert (tmp_path / "app/b").read_text() == (tmp_path / "c").read_text() == "a"
    assert (oct((tmp_path / "run").stat().st_mode), oct((tmp_path / "app/a.txt").stat().st_mode)) == (
        "0o100755",
        "0o100644",
    )
    assert oct((tmp_path / "d/e").stat().st_mode) == "0o40755"


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ([("../x", "x")], "leads out of the archive"),
        ([("a/../../x", "x")], "leads out of the archive"),
        ([("/etc/x", "x")], "not a path below"),
        ([("a", link("/etc/passwd"))], "leads to '/etc/passwd', out of the archive"),
        ([("a", link("../x"))], "out of the archive"),
        ([("a/b", link("../../x"))], "out of the archive"),
        ([("a", link(".")), ("a/x", "x")], "goes through 'a', which is no directory"),
        ([("b", None), ("a", link("b")), ("a/x", "x")], "goes through 'a'"),
        ([("a", link("/etc/passwd", hard=True))], "not a path below"),
        ([("a", link("b", hard=True))], "leads to 'b', which is no file of the archive"),
        ([("b", "b"), ("l", link("b")), ("a", link("l", hard=True))], "which is no file of the archive"),
        ([("a", "a"), ("a", "b")], "holds 'a' twice"),
        ([("a", link("b")), ("a", "b")], "holds 'a' twice"),
        ([("a", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})], "is a device"),
        ([("a", {"type": tarfile.FIFOTYPE})], "is a device"),
    ],
)
def test_hostile_archives(tmp_path: Path, entries: list[Entry], wrong: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(unpacking.UnpackError, match=wrong):
        unpacking.unpack(io.BytesIO(packed(*entries)), str(root))
    assert [entry.name for entry in tmp_path.iterdir()] == ["root"]


def test_a_cut_archive(tmp_path: Path) -> None:
    content = packed(("a", "x" * 100_000), ("b", os.urandom(9000).hex()))
    for size in (0, 5, len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(unpacking.UnpackError, match="not a whole tar"):
            unpacking.unpack(io.BytesIO(content[:size]), str(tmp_path))
        for made in tmp_path.iterdir():
            made.unlink()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(unpacking.UnpackError):
        unpacking.unpack(io.BytesIO(content), "/nonexistent")
