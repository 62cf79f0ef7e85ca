# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Segments of the write-ahead log: their names, and how to receive and decode them."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly

# Timeline, upper half and number of a segment, eight hexadecimal digits each.
_SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
_STATEMENTS = ("pg_waldump: first record is after ",)
_ENDED_INSIDE = ("pg_receivewal: not renaming ",)


def is_segment(name: str) -> bool:
    return bool(_SEGMENT.match(name))


def moved(name: str, steps: int, segment_bytes: int) -> str:
    """The segment that many steps later on the same timeline; negative: earlier."""
    per_file = 2**32 // segment_bytes
    number = int(name[8:16], 16) * per_file + int(name[16:], 16) + steps
    return f"{name[:8]}{number // per_file:08X}{number % per_file:08X}"


def segments(first: str, last: str, segment_bytes: int) -> list[str]:
    """Every segment from the first to the last of one timeline; empty when the last is before the first."""
    if first[:8] != last[:8]:
        raise DatabaseError(
            f"the segments {first} and {last} are of two timelines: there was a failover during the backup; take a new"
            " backup"
        )
    found = []
    while first <= last:
        found.append(first)
        first = moved(first, 1, segment_bytes)
    return found


def receive(program: str, address: Sequence[str], folder: str, first: str, end: str, segment_bytes: int) -> None:
    """Receive by pg_receivewal the segments from `first` to the one with the position `end`, which must be complete."""
    # pg_receivewal continues after the last complete segment in the folder, so a file of that size sets its beginning.
    marker = os.path.join(folder, moved(first, -1, segment_bytes))
    with open(marker, "wb") as file:
        os.truncate(file.fileno(), segment_bytes)
    strictly(
        run([program, *address, "--directory", folder, "--endpos", end, "--no-loop", "--no-sync"], timeout=600),
        _ENDED_INSIDE,
    )
    os.remove(marker)
    for name in os.listdir(folder):
        # It stops just after `end`, which may be inside a segment; the rest of that segment is not needed.
        if name.endswith(".partial"):
            os.rename(os.path.join(folder, name), os.path.join(folder, name[: -len(".partial")]))


def decode(program: str, folder: str, restore: Mapping[str, Any], timeout: float) -> None:
    """Decode every record of the segments in the folder, up to the restore point."""
    names = sorted(name for name in os.listdir(folder) if is_segment(name))
    if not names:
        raise DatabaseError(f"{folder} contains no segment of the write-ahead log; take a new backup")
    done = run(
        [program, "--path", folder, "--quiet", "--end", restore["lsn"], names[0], restore["last_segment"]],
        timeout=timeout,
    )
    strictly(done, _STATEMENTS)
