# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The chain of hashes that makes the ledger tell when a byte of it was changed.

A line is a JSON object {seq, time, rollout, event, data, previous, hash}. `hash` is the
SHA-256 over the canonical JSON of the line without `hash`; `previous` is the hash of the
line before, so that no line can be changed, left out or moved without breaking all after it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Iterable

GENESIS = "0" * 64
FIELDS = ("seq", "time", "rollout", "event", "data", "previous", "hash")


class BrokenChain(Exception):
    """A line that is not what its writer wrote. `seq` is the number the line should have (from 1)."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"line {seq}: {reason}")
        self.seq = seq
        self.reason = reason


def canonical(value: Any) -> bytes:
    """One spelling for each JSON value: sorted keys, no spaces, UTF-8, no NaN (ValueError)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def link(seq: int, time: str, rollout: str, event: str, data: dict[str, Any], previous: str) -> dict[str, Any]:
    """A new line of the ledger, with its hash."""
    line = {"seq": seq, "time": time, "rollout": rollout, "event": event, "data": data, "previous": previous}
    return {**line, "hash": digest(line)}


def unlink(raw: bytes, seq: int, previous: str) -> dict[str, Any]:
    """The line written as `raw`, if it is the `seq`-th and follows the hash `previous`; else BrokenChain."""
    try:
        line = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BrokenChain(seq, "is not JSON") from None
    if not isinstance(line, dict) or set(line) != set(FIELDS):
        raise BrokenChain(seq, "does not have the fields of a ledger line")
    wanted = {"time": str, "rollout": str, "event": str, "data": dict, "previous": str, "hash": str}
    for field, kind in wanted.items():
        if not isinstance(line[field], kind):
            raise BrokenChain(seq, f"{field} is not a {kind.__name__}")
    if line["seq"] != seq or isinstance(line["seq"], bool):
        raise BrokenChain(seq, f"says that it is number {line['seq']!r}: lines are missing or were moved")
    if line["previous"] != previous:
        raise BrokenChain(seq, "does not follow the line before it")
    try:
        expected = digest({key: value for key, value in line.items() if key != "hash"})
    except (ValueError, RecursionError):
        raise BrokenChain(seq, "has no canonical form") from None
    if line["hash"] != expected:
        raise BrokenChain(seq, "was changed after it was written")
    if canonical(line) != raw:
        raise BrokenChain(seq, "is not in canonical form")
    return line


def verify(raw_lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], BrokenChain | None]:
    """The good lines from the start, and what is wrong with the first bad one (None when all are good)."""
    lines: list[dict[str, Any]] = []
    previous = GENESIS
    for seq, raw in enumerate(raw_lines, start=1):
        try:
            line = unlink(raw, seq, previous)
        except BrokenChain as error:
            return lines, error
        lines.append(line)
        previous = line["hash"]
    return lines, None
