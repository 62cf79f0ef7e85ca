"""An open-model load of transactions: each begins when its time has come, whether earlier ones have ended or not."""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import multiprocessing.synchronize
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

import psycopg

READ = "SELECT id, status, total, extra FROM orders WHERE id = %s"
WRITE = "UPDATE orders SET total = total + 1, at = now() WHERE id = %s"
WARM = 50
# Who cannot reach the database for as long as that shall not hang the bench.
PATIENCE = 60.0


class Sent(NamedTuple):
    """One transaction: when it was due (s, time.monotonic(), which all processes of a machine share), how long after
    that it had ended, and its error."""

    due: float
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Traffic:
    """Where to, how many a second, through how many connections, over how many rows."""

    url: str
    rate: float
    connections: int
    rows: int


@dataclass
class Load:
    """A load that runs in a process of its own, so that nobody's Python slows the other's."""

    stop: multiprocessing.synchronize.Event
    pipe: Connection
    sent: list[Sent] = field(default_factory=list)

    def end(self) -> list[Sent]:
        """Stop it; every transaction, in the order in which they were due."""
        if not self.stop.is_set():
            self.stop.set()
            if not self.pipe.poll(PATIENCE):
                raise RuntimeError(
                    f"the load has not ended within {PATIENCE:.0f} s of being told to; is the server still there?"
                )
            self.sent = sorted(Sent(*one) for one in self.pipe.recv())
        return self.sent


@contextlib.contextmanager
def running(traffic: Traffic, seed: int) -> Iterator[Load]:
    """The load, which is at its full rate when the block begins."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    load = Load(context.Event(), ours)
    process = context.Process(target=_work, args=(traffic, seed, load.stop, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            raise RuntimeError(f"the load did not begin within {PATIENCE:.0f} s")
        ours.recv()
        yield load
    finally:
        load.stop.set()
        process.join(5)
        if process.is_alive():
            process.kill()
        process.join()


def _work(traffic: Traffic, seed: int, stop: multiprocessing.synchronize.Event, pipe: Connection) -> None:
    pipe.send([tuple(one) for one in asyncio.run(_send(traffic, seed, stop, pipe))])


async def _send(traffic: Traffic, seed: int, stop: multiprocessing.synchronize.Event, pipe: Connection) -> list[Sent]:
    """Send on schedule until told to stop, then wait for what is still under way."""
    dice = random.Random(seed)
    due_ones: asyncio.Queue[tuple[float, int]] = asyncio.Queue()
    sent: list[Sent] = []
    workers = [
        asyncio.create_task(_worker(await _connected(traffic), due_ones, sent))
        for _number in range(traffic.connections)
    ]
    began, number = time.monotonic(), 0
    while not stop.is_set():
        due = began + number / traffic.rate
        # Only what is due goes into the queue, and all of it at once when we are late: the schedule waits for nobody.
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due_ones.put_nowait((due, dice.randint(1, traffic.rows)))
        number += 1
        if number == WARM:
            pipe.send("running")
    await due_ones.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return sent[WARM:]


async def _connected(traffic: Traffic) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return await psycopg.AsyncConnection.connect(traffic.url, autocommit=True, application_name="load")


async def _worker(
    connection: psycopg.AsyncConnection[tuple[object, ...]],
    due_ones: asyncio.Queue[tuple[float, int]],
    sent: list[Sent],
) -> None:
    """One connection: a transaction that reads a row and writes it, again and again."""
    async with connection:
        while True:
            due, row = await due_ones.get()
            error = ""
            try:
                async with connection.transaction():
                    await (await connection.execute(READ, (row,))).fetchone()
                    await connection.execute(WRITE, (row,))
            except psycopg.Error as problem:
                error = f"{type(problem).__name__}: {problem}"
            sent.append(Sent(due, time.monotonic() - due, error))
            due_ones.task_done()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    # Rounded, so that 0.99 × 100 is the 99th and not the 100th.
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]
