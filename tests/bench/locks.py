"""python -m tests.bench.locks [--rounds N] [--out FOLDER]: what one ALTER costs the users while a long transaction is
in its way.

Writes FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json. Exit status 1 when a check
does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import transactions
from tests.bench.strategies import OURS, STRATEGIES, UNDO, Ours, Outcome, retried
from tests.bench.tables import add_output, conditions, finish, table
from tests.bench.transactions import Sent, Traffic, quantile
from tests.database.server import OWNER, Server, Shop, environment, throwaway

Json = dict[str, Any]
# Called with what says whether nothing is in the way any more.
Migrate = Callable[[Callable[[], bool]], Outcome]
OUT = Path("docs/bench-locks")
ROWS = 200_000
RATE, CONNECTIONS = 200.0, 64
# The long transaction, the time it has run when the migration begins, and how long the load goes on after both have
# ended. Seconds.
IN_THE_WAY, BEFORE, AFTER = 8.0, 1.0, 2.0
# The p99 of every strategy is that of as many transactions, however long the strategy takes.
WINDOW = 10.0
SLOW = 0.1
ALLOWED_STALL = 0.5


class InTheWay:
    """A transaction that has read the table and stays open for some seconds, as a report or a forgotten session
    does."""

    def __init__(self, shop: Shop, seconds: float) -> None:
        self.begun = threading.Event()
        self.ended = 0.0
        self.thread = threading.Thread(target=self._work, args=(shop, seconds))
        self.thread.start()
        if not self.begun.wait(10):
            raise RuntimeError("the long transaction did not begin")

    def _work(self, shop: Shop, seconds: float) -> None:
        with shop.session() as session:
            session.run("BEGIN")
            session.value("SELECT count(*) FROM orders WHERE id < 10")
            self.begun.set()
            session.run("SELECT pg_sleep(%s)", (seconds,))
            session.run("COMMIT")
            self.ended = time.monotonic()


def fill(shop: Shop, rows: int) -> None:
    """Orders, at revision 0001."""
    shop.as_owner(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0001')",
        "CREATE TABLE orders (id bigserial PRIMARY KEY, status text NOT NULL, total numeric(10, 2), at timestamptz"
        " DEFAULT now(), extra jsonb)",
        "INSERT INTO orders (status, total, extra) SELECT CASE WHEN i % 2 = 0 THEN 'new' ELSE 'paid' END, i % 1000,"
        f" jsonb_build_object('n', i) FROM generate_series(1, {rows}) i",
    )
    shop.run("VACUUM ANALYZE orders")


def one_round(shop: Shop, traffic: Traffic, migrate: Migrate, seed: int) -> Json:
    """The figures of one strategy in one round."""
    shop.as_owner(UNDO, "UPDATE alembic_version SET version_num = '0001'")
    shop.run("CHECKPOINT")
    with transactions.running(traffic, seed) as load:
        calm_since = time.monotonic()
        blocker = InTheWay(shop, IN_THE_WAY)
        time.sleep(BEFORE)
        begun = time.monotonic()
        # A while after its end, so that short pauses are slept.
        outcome = migrate(lambda: 0 < blocker.ended < time.monotonic() - AFTER)
        blocker.thread.join()
        time.sleep(max(AFTER, begun + WINDOW - time.monotonic()))
        sent = load.end()
    there = (
        shop.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'note' AND NOT"
            " attisdropped"
        )
        == 1
    )
    return {
        **figures(sent, calm_since, begun),
        "done": outcome.done and there,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 3),
    }


def figures(sent: Sequence[Sent], calm_since: float, begun: float) -> Json:
    """What the users saw: since the migration began (its p99: in the first WINDOW seconds), and, as a control, before
    it."""
    during = [one for one in sent if one.due >= begun]
    window = [one.seconds for one in during if one.due < begun + WINDOW]
    before = [one.seconds for one in sent if calm_since <= one.due and one.due + one.seconds < begun]
    return {
        "longest": round(max((one.seconds for one in during), default=0.0), 4),
        "p99": round(quantile(window, 0.99), 4),
        "slow": sum(one.seconds > SLOW for one in during),
        "transactions": len(during),
        "in_window": len(window),
        "errors": sorted({one.error for one in sent if one.error}),
        "failed": sum(bool(one.error) for one in sent),
        "longest_before": round(max(before, default=0.0), 4),
    }


def run(names: Sequence[str], rounds: int, seed: int) -> Json:
    """All rounds; in each of them every strategy once, in another order."""
    dice = random.Random(seed)
    results: dict[str, list[Json]] = {name: [] for name in names}
    with throwaway() as server:
        shop = prepared(server)
        traffic = Traffic(shop.url, RATE, CONNECTIONS, ROWS)
        ours = Ours(shop)
        ways: dict[str, Migrate] = {name: _way(name, shop, dice, ours) for name in names}
        for number in range(rounds):
            for name in dice.sample(list(names), len(names)):
                found = one_round(shop, traffic, ways[name], dice.randrange(2**31))
                results[name].append({"round": number + 1, **found})
                print(
                    f"round {number + 1} of {rounds}: {name:20} longest {found['longest']:6.3f} s, p99"
                    f" {found['p99']:6.3f} s, {found['slow']:4} slow, done {found['done']} in {found['seconds']:.1f} s,"
                    f" {found['attempts']} attempts, {found['failed']} failed",
                    file=sys.stderr,
                    flush=True,
                )
        return {"conditions": conditions(server), "rounds": rounds, "seed": seed, "strategies": results}


def prepared(server: Server) -> Shop:
    """A shop of ROWS orders on that server."""
    shop = Shop(server, "shop", environment(server.folder / "venv"))
    server.run(f"CREATE DATABASE {shop.name} OWNER {OWNER}")
    fill(shop, ROWS)
    return shop


def _way(name: str, shop: Shop, dice: random.Random, ours: Ours) -> Migrate:
    tries = STRATEGIES[name].tries
    return ours if tries is None else lambda over: retried(shop.url, tries(dice), over)


def medians(rounds: Sequence[Mapping[str, Any]]) -> Json:
    """The median round of each figure, and the worst longest stall."""
    told: Json = {
        key: statistics.median(one[key] for one in rounds) for key in ("longest", "p99", "slow", "seconds", "attempts")
    }
    return {
        **told,
        "worst": max(one["longest"] for one in rounds),
        "done": sum(one["done"] for one in rounds),
        "failed": sum(one["failed"] for one in rounds),
        "of": len(rounds),
    }


def check(results: Mapping[str, Any]) -> Iterator[tuple[bool, str, str]]:
    """(holds, claim, figures). The first ones are about the bench itself: without them the others would say nothing."""
    found = {name: medians(rounds) for name, rounds in results["strategies"].items()}
    enough = min(each["of"] for each in found.values())
    yield enough >= 5, "at least 5 rounds of each", f"{enough} rounds"
    everything = [one for rounds in results["strategies"].values() for one in rounds]
    calm = max(one["longest_before"] for one in everything)
    yield (
        calm < ALLOWED_STALL,
        f"before the migration no transaction takes {ALLOWED_STALL} s, though the long transaction is open",
        f"{calm:.3f} s at most",
    )
    least = min(one["in_window"] for one in everything)
    yield (
        least >= 0.99 * RATE * WINDOW,
        f"{RATE:.0f} transactions a second were due all the time",
        f"{least} in {WINDOW:.0f} s at least",
    )
    if "none" in found:
        wanted = IN_THE_WAY - BEFORE
        stall = found["none"]["longest"]
        yield (
            abs(stall - wanted) < 0.5,
            f"without a timeout users stall until the long transaction ends, {wanted:.0f} s later",
            f"{stall:.3f} s",
        )
    if OURS in found:
        ours = found[OURS]
        stalls = f"{ours['longest']:.3f} s, worst {ours['worst']:.3f} s"
        yield (
            ours["longest"] <= ALLOWED_STALL,
            f"Gradual: longest stall ≤ {ALLOWED_STALL} s in the median round",
            stalls,
        )
        yield ours["done"] == ours["of"], "Gradual: the ALTER is done in every round", f"{ours['done']} of {ours['of']}"
        yield ours["failed"] == 0, "Gradual: no transaction fails", f"{ours['failed']} failed"


def page(results: Mapping[str, Any], data: str) -> str:
    """The page as Markdown."""
    rows, seen = [], {name: results["strategies"][name] for name in STRATEGIES if name in results["strategies"]}
    for name, rounds in seen.items():
        found = medians(rounds)
        rows.append(
            [
                STRATEGIES[name].title,
                f"{found['longest']:.2f} s",
                f"{found['worst']:.2f} s",
                f"{found['p99']:.2f} s",
                f"{found['slow']:.0f}",
                f"{found['seconds']:.1f} s",
                f"{found['done']} of {found['of']}",
                f"{found['attempts']:.0f}",
                str(found["failed"]),
            ]
        )
    head = [
        "strategy",
        "longest stall",
        "worst round",
        "p99",
        f"slower than {1000 * SLOW:.0f} ms",
        "until done",
        "done",
        "attempts",
        "failed",
    ]
    each = [[STRATEGIES[name].title, *(f"{one['longest']:.2f}" for one in rounds)] for name, rounds in seen.items()]
    numbers = [str(number + 1) for number in range(max(len(rounds) for rounds in seen.values()))]
    words = "\n".join(f"- **{STRATEGIES[name].title}**: {STRATEGIES[name].words}." for name in seen)
    return HEAD.format(
        data=data,
        rate=RATE,
        connections=CONNECTIONS,
        rows=ROWS,
        way=IN_THE_WAY,
        before=BEFORE,
        rounds=results["rounds"],
        window=WINDOW,
        slow=1000 * SLOW,
        after=AFTER,
        conditions=results["conditions"],
        words=words,
        checks=table(
            ["", "claim", "figures"],
            [["yes" if holds else "**no**", claim, told] for holds, claim, told in check(results)],
        ),
        table=table(head, rows),
        each=table(["longest stall, s; round", *numbers], each),
    )


HEAD = """# One ALTER while a long transaction is open

`make bench-locks` measures this. `python -m tests.bench.locks --render` makes this page again from
`{data}`. `tests/bench/README.md` explains how the benchmark is built.

`ALTER TABLE … ADD COLUMN` needs an exclusive lock on the table for a moment. A transaction that has only read the table
makes it wait. While it waits, all other statements on that table queue behind it. So the duration of the migration does
not matter; the longest stall of the users does.

## How it is measured

- Machine: {conditions}.
- A table of {rows:,} orders gets {rate:.0f} transactions a second over {connections} connections. Each transaction
  reads one row and writes it.
- The load is an open model: each transaction has a time at which it is due, and its latency counts from then. So
  transactions that queue behind a stall are measured too.
- A transaction that has read the table stays open for {way:.0f} s. One ALTER begins {before:.0f} s after its start.
- Rounds: {rounds}. Each round plays every strategy once, in a random order. Figures are medians of the rounds, except
  for the worst round.

The strategies:

{words}

The timings of the other tools are from their sources (`tests/bench/strategies.py` names them). A plain loop over
psycopg plays them, without the time that those tools need to start. Gradual is the real migrator, with an Alembic
release and a receipt, and Alembic started again for each attempt. Its time is the whole time, from the first check of
the receipt to the last check of the revision.

## What must hold

{checks}

## Figures

{table}

- *longest stall*: the longest time that a transaction took since the migration began.
- *p99*: of the transactions that were due in the first {window:.0f} s, so that it covers the same number for every
  strategy.
- *slower than {slow:.0f} ms*: the number of such transactions.
- *until done*: seconds since the migration began. The long transaction ends {way:.0f} − {before:.0f} s after that.
  {after:.0f} s later, the remaining pause of another tool is added to the time, but not waited for.
- *failed*: transactions that ended with an error, in all rounds.

{each}
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.locks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--strategy",
        action="append",
        choices=STRATEGIES,
        metavar="NAME",
        help=f"only this one (repeat): {', '.join(STRATEGIES)}",
    )
    parser.add_argument("--seed", type=int, default=1)
    add_output(parser, OUT)
    given = parser.parse_args(argv)
    file = given.out / "results.json"
    if not given.render:
        results = run(given.strategy or list(STRATEGIES), given.rounds, given.seed)
        given.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return finish(parser, given.out, page, check)


if __name__ == "__main__":
    sys.exit(main())
