# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The ledger's file: read, verified and appended to under a lock, on the disk before anybody is told so."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.common.files import sync_directory
from ansible_collections.gradual.rollout.plugins.module_utils.common.host_lock import acquire
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import hash_chain

FILE = "ledger.jsonl"


class LedgerError(Exception):
    """What is wrong with the ledger, what was seen, and what to do next."""


def stamp(seconds: float | None = None) -> str:
    """Seconds since 1970 (default: now) as 2026-11-23T12:00:00.000Z."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def epoch(text: str) -> float:
    """Seconds since 1970 of a time as the ledger writes it; ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


@dataclass
class Reading:
    """What a ledger file holds. `torn` is the number of bytes of a last line that was cut off by a crash:
    nobody was ever told that it had been written, so it does not count, and the next append removes it."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    broken: hash_chain.BrokenChain | None = None
    torn: int = 0

    @property
    def intact(self) -> bool:
        return self.broken is None

    @property
    def last_hash(self) -> str:
        return str(self.lines[-1]["hash"]) if self.lines else hash_chain.GENESIS


def parse(content: bytes) -> Reading:
    """The bytes of a ledger file as a Reading; never raises, whatever the bytes are."""
    *whole, tail = content.split(b"\n")
    lines, broken = hash_chain.verify(whole)
    return Reading(lines, broken, len(tail))


def read(directory: str) -> Reading:
    """The ledger in `directory`; an absent file is an empty ledger."""
    path = os.path.join(directory, FILE)
    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            return parse(stream.read())
    except FileNotFoundError:
        return Reading()
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} cannot be read: {error.strerror}. Give the user that runs this module access to it."
        ) from error


class Ledger:
    """An open, locked ledger: `reading` is what is in it, `append` adds to it."""

    def __init__(self, directory: str, descriptor: int) -> None:
        self.path = os.path.join(directory, FILE)
        self._descriptor = descriptor
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
        self.reading = parse(content)
        self._end = len(content) - self.reading.torn
        if self.reading.broken is not None:
            raise LedgerError(
                f"The ledger {self.path} was changed by something other than Gradual: {self.reading.broken}. Nothing is"
                f" added to it. Compare it with your copy; to begin a new record, move it aside: mv {self.path}"
                f" {self.path}.broken"
            )

    def append(self, rollout: str, events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Write events [(name, data)] of a rollout as one piece and return their lines, once they are on the disk."""
        added: list[dict[str, Any]] = []
        previous = self.reading.last_hash
        for name, data in events:
            try:
                line = hash_chain.link(len(self.reading.lines) + len(added) + 1, stamp(), rollout, name, data, previous)
            except (ValueError, TypeError, RecursionError) as error:
                raise LedgerError(
                    f"{name}: its data cannot be written as JSON: {error}. Record text, numbers, lists and mappings"
                    " only."
                ) from error
            previous = line["hash"]
            added.append(line)
        block = b"".join(hash_chain.canonical(line) + b"\n" for line in added)
        try:
            if self.reading.torn:
                os.ftruncate(self._descriptor, self._end)
                self.reading.torn = 0
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            written = 0
            while written < len(block):
                written += os.write(self._descriptor, block[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise LedgerError(
                f"The ledger {self.path} cannot be written: {error.strerror}. Free disk space or repair the disk, then"
                " run the same again."
            ) from error
        self._end += len(block)
        self.reading.lines.extend(added)
        return added


@contextlib.contextmanager
def locked(directory: str, patience: float = 10.0) -> Iterator[Ledger]:
    """The ledger in `directory`, made if absent, under an exclusive lock."""
    path = os.path.join(directory, FILE)
    try:
        os.makedirs(directory, mode=0o750, exist_ok=True)
        new = not os.path.exists(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} cannot be opened: {error.strerror}. Give the user that runs this module write access to"
            f" {directory}."
        ) from error
    try:
        if new:
            sync_directory(directory)
        if not any(acquire(descriptor, patience, pause=0.05)):
            raise LedgerError(
                f"The ledger {path} has been locked by another process for {patience:.0f} s. See who: fuser -v {path}"
            )
        yield Ledger(directory, descriptor)
    finally:
        os.close(descriptor)
