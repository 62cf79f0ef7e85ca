# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The record: its chain, its file, and what hostile bytes do to it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import file as ledger_file
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import hash_chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3)


def write(path: Path, *names: str) -> bytes:
    """A ledger with an event of each name; its bytes."""
    with ledger_file.locked(str(path)) as book:
        book.append("shop-1", [(name, {"step": name}) for name in names])
    return (path / ledger_file.FILE).read_bytes()


def test_canonical_json_has_one_spelling() -> None:
    assert hash_chain.canonical({"b": 1, "a": "ä", "c": [1.0, None]}) == '{"a":"ä","b":1,"c":[1.0,null]}'.encode()
    assert hash_chain.digest({"a": 1, "b": 2}) == hash_chain.digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        hash_chain.canonical(float("nan"))


def test_an_absent_ledger_is_empty(tmp_path: Path) -> None:
    reading = ledger_file.read(str(tmp_path / "none"))
    assert (reading.lines, reading.intact, reading.last_hash) == ([], True, hash_chain.GENESIS)


def test_lines_are_chained_from_the_first(tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    write(tmp_path, "three")
    reading = ledger_file.read(str(tmp_path))
    assert [line["seq"] for line in reading.lines] == [1, 2, 3]
    assert [line["previous"] for line in reading.lines] == [
        hash_chain.GENESIS,
        *(line["hash"] for line in reading.lines[:-1]),
    ]
    assert reading.intact
    assert ledger_file.epoch(reading.lines[0]["time"]) > 1_700_000_000


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    content = write(tmp_path, "one", "two", "three")
    for place in range(len(content)):
        for other in (content[place] ^ 1, content[place] ^ 0x20):
            reading = ledger_file.parse(content[:place] + bytes([other]) + content[place + 1 :])
            assert reading.broken is not None or reading.torn > 0, place
            assert reading.lines == ledger_file.parse(content).lines[: len(reading.lines)]


@pytest.mark.parametrize("change", ["left out", "twice", "swapped"])
def test_lines_cannot_be_moved(tmp_path: Path, change: str) -> None:
    one, two, three = write(tmp_path, "one", "two", "three").splitlines(keepends=True)
    content = {"left out": one + three, "twice": one + two + two + three, "swapped": one + three + two}[change]
    reading = ledger_file.parse(content)
    assert reading.broken is not None
    assert reading.broken.seq == (3 if change == "twice" else 2)


def test_a_number_is_not_another_spelling_of_itself(tmp_path: Path) -> None:
    line = hash_chain.link(1, ledger_file.stamp(0), "r", "e", {"n": 100}, hash_chain.GENESIS)
    for raw in (
        json.dumps(line).encode(),
        hash_chain.canonical(line).replace(b"100", b"1e2"),
        hash_chain.canonical(line).replace(b'{"n"', b'{"n":1,"n"'),
    ):
        with pytest.raises(hash_chain.BrokenChain):
            hash_chain.unlink(raw, 1, hash_chain.GENESIS)


def test_what_a_crash_cut_off_is_dropped_by_the_next_append(tmp_path: Path) -> None:
    content = write(tmp_path, "one", "two")
    for cut in (1, 20, len(content.splitlines()[1])):
        (tmp_path / ledger_file.FILE).write_bytes(content[:-cut])
        reading = ledger_file.read(str(tmp_path))
        assert (len(reading.lines), reading.intact) == (1, True)
        assert reading.torn > 0
        write(tmp_path, "again")
        assert [line["event"] for line in ledger_file.read(str(tmp_path)).lines] == ["one", "again"]


def test_nothing_is_added_to_a_broken_ledger(tmp_path: Path) -> None:
    content = write(tmp_path, "one", "two").replace(b'"one"', b'"won"')
    (tmp_path / ledger_file.FILE).write_bytes(content)
    with (
        pytest.raises(ledger_file.LedgerError, match=r"line 1: was changed after it was written.*mv "),
        ledger_file.locked(str(tmp_path)),
    ):
        pass
    assert (tmp_path / ledger_file.FILE).read_bytes() == content


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path, "one")
    real = os.write

    def full(descriptor: int, block: bytes) -> int:
        if len(block) > 10:
            return real(descriptor, block[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with ledger_file.locked(str(tmp_path)) as book:
        monkeypatch.setattr(
            os,
            "write",
            lambda descriptor, block: full(descriptor, block) if block[:1] == b"{" else full(descriptor, b""),
        )
        with pytest.raises(ledger_file.LedgerError, match="cannot be written: No space left"):
            book.append("shop-1", [("two", {})])
    assert (tmp_path / ledger_file.FILE).read_bytes() == content


def test_a_locked_ledger_says_so(tmp_path: Path) -> None:
    with (
        ledger_file.locked(str(tmp_path)),
        pytest.raises(ledger_file.LedgerError, match=r"locked by another process.*fuser"),
        ledger_file.locked(str(tmp_path), patience=0.1),
    ):
        pass


def _append_many(directory: str, name: str) -> None:
    for _number in range(20):
        with ledger_file.locked(directory) as book:
            book.append("shop-1", [(name, {})])


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(str(tmp_path), name)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    reading = ledger_file.read(str(tmp_path))
    assert (len(reading.lines), reading.intact) == (40, True)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(content: bytes) -> None:
    reading = ledger_file.parse(content)
    assert reading.broken is not None or reading.lines == []


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 50_000, b"1e999", b'{"seq":1e999}', b"null", b'"\\ud800"'])
def test_bytes_meant_to_hurt_can_be_read(raw: bytes) -> None:
    assert ledger_file.parse(raw + b"\n").broken is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), OBJECT), max_size=4))
def test_whatever_is_written_is_read_back(tmp_path: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    (tmp_path / ledger_file.FILE).unlink(missing_ok=True)
    with ledger_file.locked(str(tmp_path)) as book:
        book.append("shop-1", events)
    reading = ledger_file.read(str(tmp_path))
    assert reading.intact
    assert [(line["event"], line["data"]) for line in reading.lines] == events
