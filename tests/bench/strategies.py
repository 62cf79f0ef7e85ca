"""Ways to bring one ALTER through traffic: what other tools do with lock_timeout, after their sources, and our own
migrator."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from tests.database.server import Shop, revision

ALTER = "ALTER TABLE orders ADD COLUMN note text"
UNDO = "ALTER TABLE orders DROP COLUMN IF EXISTS note"
# Defaults of gradual.rollout.migration; test_locks holds them against the module's documentation.
LOCK_TIMEOUT_MS, PAUSE_MS, DEADLINE = 50, 500, 60
OURS = "gradual"


class Try(NamedTuple):
    """One attempt: how long it waits for a lock (ms; 0: as long as it takes), and the pause (s) after it when it did
    not get it."""

    lock_timeout_ms: int
    pause: float


class Outcome(NamedTuple):
    """Whether it went through, after how many attempts and seconds."""

    done: bool
    attempts: int
    seconds: float


@dataclass(frozen=True)
class Strategy:
    """Its title for people, what it does in words, and the attempts it makes (None: the real migrator)."""

    title: str
    words: str
    tries: Callable[[random.Random], Iterator[Try]] | None


def no_timeout(_dice: random.Random) -> Iterator[Try]:
    yield Try(0, 0)


def safe_pg_migrations(_dice: random.Random) -> Iterator[Try]:
    """github.com/doctolib/safe-pg-migrations, lib/safe-pg-migrations/configuration.rb: safe_timeout 5 s, retry_delay 1
    minute, max_tries 5."""
    yield from [Try(5000, 60.0)] * 5


def pgroll(dice: random.Random) -> Iterator[Try]:
    """github.com/xataio/pgroll, pkg/db/db.go: lock_timeout of 500 ms, again for ever; pauses by
    github.com/cloudflare/backoff with a step of 1 s and a
    maximum of 60 s: the nth lasts anything from 0 to 2^n s ("full jitter")."""
    number = 0
    while True:
        yield Try(500, dice.uniform(0, min(60.0, 2.0**number)))
        number += 1


def fixed_pauses(_dice: random.Random) -> Iterator[Try]:
    """What is often written by hand."""
    yield from [Try(500, 1.0)] * 60


def gitlab(_dice: random.Random) -> Iterator[Try]:
    """GitLab, lib/gitlab/database/with_lock_retries.rb, DEFAULT_TIMING_CONFIGURATION: its 41 steps; then a last one
    without lock_timeout."""
    short = [Try(100, 0.05), Try(100, 0.05)]
    quick = [*short, Try(200, 0.05), Try(300, 0.1), Try(400, 0.15)]
    half = Try(500, 2.0)
    yield from [
        *quick,
        *[half] * 4,
        Try(1000, 5.0),
        Try(1000, 60.0),
        *quick,
        *[half] * 3,
        Try(3000, 180.0),
        *short,
        half,
        half,
        Try(5000, 120.0),
    ]
    for _time in range(3):
        yield from [Try(500, 0.5), Try(500, 0.5), Try(7000, 300.0)]
    yield from [*short, half, Try(10000, 600.0), Try(100, 0.05), half, Try(10000, 600.0)]
    yield Try(0, 0)


STRATEGIES = {
    "none": Strategy("no timeout", "waits as long as it takes", no_timeout),
    "safe-pg-migrations": Strategy(
        "5 s (safe-pg-migrations)", "5 attempts of 5 s, 60 s between them", safe_pg_migrations
    ),
    "pgroll": Strategy(
        "500 ms (pgroll)", "attempts of 500 ms; the nth pause lasts anything from 0 to 2ⁿ s, at most 60 s", pgroll
    ),
    "fixed": Strategy("500 ms, fixed pauses", "attempts of 500 ms, 1 s between them", fixed_pauses),
    "gitlab": Strategy("GitLab's ladder", "41 attempts of 100 ms to 10 s, 50 ms to 10 minutes between them", gitlab),
    OURS: Strategy(
        "Gradual", f"attempts of {LOCK_TIMEOUT_MS} ms by a new Alembic each, {PAUSE_MS} ms between them", None
    ),
}


def retried(url: str, tries: Iterator[Try], over: Callable[[], bool]) -> Outcome:
    """The ALTER in a session of its own, attempt after attempt. What the tool itself would need to start is left out,
    in its favour.

    over: whether nothing is in the way any more. What is left of a pause then is counted, but not slept: nothing would
    happen in it.
    """
    begun, attempts, skipped = time.monotonic(), 0, 0.0
    with psycopg.connect(url, autocommit=True, application_name="migration") as connection:
        for number, one in enumerate(tries, 1):
            attempts = number
            try:
                with connection.transaction():
                    connection.execute(f"SET LOCAL lock_timeout = {one.lock_timeout_ms}")
                    connection.execute(ALTER)
                return Outcome(True, attempts, time.monotonic() - begun + skipped)
            except psycopg.errors.LockNotAvailable:
                skipped += paused(one.pause, over)
    return Outcome(False, attempts, time.monotonic() - begun + skipped)


def paused(pause: float, over: Callable[[], bool]) -> float:
    """Sleep that long (s), or until it is over; the seconds that were not slept."""
    until = time.monotonic() + pause
    while (left := until - time.monotonic()) > 0:
        if over():
            return left
        time.sleep(min(left, 0.05))
    return 0.0


class Ours:
    """The real migrator with a release of Alembic's, and a receipt of a backup that was restored."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.release = shop.release(revision(1), revision(2, ALTER))
        self.receipt = shop.proven()

    def __call__(self, over: Callable[[], bool]) -> Outcome:
        """Sleeps all of its pauses, whether it is over or not."""
        begun = time.monotonic()
        told = self.shop.migrate(
            self.release, self.receipt, lock_timeout_ms=LOCK_TIMEOUT_MS, pause_ms=PAUSE_MS, deadline=DEADLINE
        )
        return Outcome(told["to"] == "0002", told["applied"][0]["attempts"], time.monotonic() - begun)
