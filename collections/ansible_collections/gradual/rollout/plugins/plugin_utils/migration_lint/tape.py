# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an Alembic revision writes while offline.py runs it, and where in the file each statement comes from."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from types import FrameType
from typing import Any, Iterator

MOST_WRITES = 20_000
Write = tuple[str, int, "int | None", bool, "list[tuple[str, str, str]]"]
_QUOTED = re.compile(r"'(\w+)'")


class Tape(io.StringIO):
    """Alembic's output buffer: each write is one statement, and comes from a line of the revision's file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.asked, self.guessed = file, False, False
        self.known: list[tuple[str, str, str]] = []
        self.writes: list[Write] = []
        self.failed: dict[int, str] = {}
        self.missing: dict[str, str] = {}
        self.lost: set[str] = set()
        self.wrote: set[tuple[int, int]] = set()
        self.made: set[tuple[int, int]] = set()
        self.transaction: int | None = 1
        self.count = 1

    def write(self, text: str) -> int:
        word = text.strip().rstrip(";")
        if word == "COMMIT":
            self.transaction = None
        elif word == "BEGIN":
            self.count += 1
            self.transaction = self.count
        elif word:
            if len(self.writes) >= MOST_WRITES:
                raise RuntimeError(f"more than {MOST_WRITES} statements")
            certain = not self.asked and not self.guessed
            self.writes.append((word, self.line(), self.transaction, certain, list(self.known)))
        return len(text)

    @contextlib.contextmanager
    def uncertain(self, guessed: bool) -> Iterator[None]:
        before, self.guessed = self.guessed, self.guessed or guessed
        try:
            yield
        finally:
            self.guessed = before

    def line(self) -> int:
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self.file:
                self.wrote.add(place(frame))
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return 1

    def called(self, frame: FrameType, event: str, _what: Any) -> None:
        """For sys.setprofile: remember the calls that the revision's file makes."""
        caller = frame.f_back if event == "call" else frame if event == "c_call" else None
        if caller is not None and caller.f_code.co_filename == self.file:
            self.made.add(place(caller))

    def fail(self, error: BaseException, binds: str = "") -> None:
        """Remember a statement that could not be run, and the names that it should have bound.

        A statement that only lacks such a name is no news.
        """
        lacks = next(iter(_QUOTED.findall(str(error))), "") if isinstance(error, NameError) else ""
        cause = self.missing.pop(lacks, None)
        if lacks not in self.lost:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.failed.setdefault(_line_of(error, self.file), f"{reason} ({cause})" if cause else reason)
        self.lost.update(binds.split(), [lacks] if cause else [])

    def lack(self, error: BaseException, binds: str) -> None:
        """Remember an import of the file's head that failed: only a statement that uses the name is a finding."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        self.missing.update(dict.fromkeys(binds.split(), reason))


def place(frame: FrameType) -> tuple[int, int]:
    """(line, column) where the call ends that a frame is in the middle of: no two calls end at the same place."""
    _first, last, _begin, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return last or 0, end or 0


def _line_of(error: BaseException, file: str) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
