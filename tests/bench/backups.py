"""python -m tests.bench.backups [--rounds N] [--megabytes N] [--out FOLDER]: what a proven backup costs beside the raw
tools.

Writes FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json. Exit status 1 when a check
does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import many_tables, rows
from tests.bench.tables import add_output, conditions, finish, table
from tests.bench.takings import RESTORED, WAYS, Site, Taken
from tests.database.server import Shop, throwaway

Json = dict[str, Any]
OUT = Path("docs/bench-backup")
ALLOWED = 1.2
ALLOWED_MANY = 1.5
ENOUGH_MIB = 1000
LEVELS = ("intact", "readable", "restored", "sound")


def run(
    names: Sequence[str], megabytes: int, rounds: int, proofs: int, seed: int, keep: Callable[[Json], object]
) -> None:
    """Fill a database, take it in every way in each round, in another order each time, and prove ours in the first
    `proofs` rounds.

    keep: called with the results so far after each round.
    """
    dice = random.Random(seed)
    with throwaway() as server:
        site = Site.made(Shop(server, "shop", Path("/nonexistent")), lambda session: rows.fill(session, megabytes))
        wanted = [name for name in site.ways() if name in names]
        taken: dict[str, list[Json]] = {name: [] for name in wanted}
        proven: dict[str, list[Json]] = {name: [] for name in wanted if WAYS[name].raw}
        restored: dict[str, list[float]] = {name: [] for name in wanted if name in RESTORED}
        for number in range(rounds):
            for name in dice.sample(wanted, len(wanted)):
                found = site.take(name)
                taken[name].append(_told(found))
                _say(
                    f"round {number + 1} of {rounds}: {name:22} {found.seconds:7.2f} s, {found.bytes / rows.MIB:6.0f}"
                    f" MiB {found.parts or ''}"
                )
                if number >= proofs:
                    continue
                if name in restored:
                    restored[name].append(round(site.restore(name), 3))
                    _say(f"    restored in {restored[name][-1]:.2f} s")
                if name in proven:
                    receipt = site.shop.prove(found.path, "sound", timeout=3600)
                    proven[name].append(
                        {
                            "level": receipt["level"],
                            **{key: value for key, value in receipt["durations"].items() if key not in found.parts},
                        }
                    )
                    _say(f"    proven {receipt['level']}: {proven[name][-1]}")
            size = int(server.value("SELECT pg_database_size('shop')", "postgres"))
            keep(
                {
                    "conditions": conditions(server),
                    "mib": round(size / rows.MIB),
                    "rounds": number + 1,
                    "seed": seed,
                    "taken": taken,
                    "proven": proven,
                    "restored": restored,
                    "left_out": [way.title for name, way in WAYS.items() if name not in wanted],
                }
            )


def _told(found: Taken) -> Json:
    return {"seconds": round(found.seconds, 3), "mib": round(found.bytes / rows.MIB, 1), "parts": found.parts}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure that every round has."""
    keys = [key for key in rounds[0] if all(isinstance(one.get(key), int | float) for one in rounds)] if rounds else []
    return {key: statistics.median(one[key] for one in rounds) for key in keys}


def ratios(taken: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """{ours: median seconds of ours / median seconds of the raw tool at the same settings}."""
    seconds = {name: medians(each)["seconds"] for name, each in taken.items() if each}
    return {name: seconds[name] / seconds[WAYS[name].raw] for name in seconds if WAYS[name].raw in seconds}


def check(results: Mapping[str, Any]) -> Iterator[tuple[bool, str, str]]:
    """(holds, claim, figures)."""
    yield results["mib"] >= ENOUGH_MIB, f"a database of {ENOUGH_MIB} MiB or more", f"{results['mib']} MiB"
    rounds = min(len(each) for each in results["taken"].values())
    yield rounds >= 3, "every method was taken in 3 rounds or more", f"{rounds} rounds"
    yield not results["left_out"], "no method was left out", ", ".join(results["left_out"]) or "none"
    for name, ratio in ratios(results["taken"]).items():
        ours, raw = (medians(results["taken"][one])["seconds"] for one in (name, WAYS[name].raw))
        claim = f"{WAYS[name].title}: taking costs ≤ {ALLOWED} × {WAYS[WAYS[name].raw].title}"
        yield ratio <= ALLOWED, claim, f"{ours:.1f} s against {raw:.1f} s, {ratio:.2f} ×"
    if many := results.get("many"):
        ratio = statistics.median(many["ours"]) / statistics.median(many["raw"])
        yield (
            ratio <= ALLOWED_MANY and many["tables"] >= many_tables.TABLES,
            f"{many_tables.TABLES:,} tables or more: taking costs ≤ {ALLOWED_MANY} × {WAYS[many_tables.RAW].title}",
            f"{many['tables']:,} tables, {ratio:.2f} ×",
        )
        yield many["level"] == "sound", "many tables: the backup is sound", many["level"]
    for name, each in results["proven"].items():
        reached = [one["level"] for one in each]
        yield (
            bool(each) and set(reached) == {"sound"},
            f"{WAYS[name].title}: each one that was proven is sound",
            ", ".join(reached) or "none was proven",
        )


def page(results: Mapping[str, Any], data: str) -> str:
    """The page as Markdown."""
    held, taken = ratios(results["taken"]), []
    for name in (name for name in WAYS if name in results["taken"]):
        each, found = results["taken"][name], medians(results["taken"][name])
        seconds = [one["seconds"] for one in each]
        taken.append(
            [
                WAYS[name].title,
                f"{found['seconds']:.1f} s",
                f"{min(seconds):.1f} to {max(seconds):.1f}",
                f"{held[name]:.2f}" if name in held else "",
                f"{found['mib']:.0f} MiB" if found["mib"] else "–",
            ]
        )
    parts = [
        [
            WAYS[name].title,
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in medians([one["parts"] for one in each]).items()),
        ]
        for name, each in results["taken"].items()
        if WAYS[name].raw
    ]
    proofs = []
    for name, each in results["proven"].items():
        found = medians(each)
        proofs.append(
            [
                WAYS[name].title,
                *(f"{found[level]:.1f} s" if level in found else "–" for level in LEVELS),
                *(
                    f"{found[part]:.1f} s" if part in found else "–"
                    for part in ("drill_restore", "drill_compare", "drill_amcheck")
                ),
            ]
        )
    restored = [
        [f"{WAYS[name].title}, {words}", f"{statistics.median(each):.1f} s"]
        for name, words in RAW_RESTORES.items()
        if (each := results["restored"].get(name))
    ]
    digests = [
        f"- {WAYS[name].title}: {found['digest']:.1f} s; taken and digested after"
        f" {medians(each)['seconds'] + found['digest']:.1f} s"
        for name, each in results["taken"].items()
        if "digest" in (found := medians([one["parts"] for one in each]))
    ]
    left_out = f"Left out of this run: {', '.join(results['left_out'])}.\n" if results["left_out"] else ""
    return HEAD.format(
        data=data,
        conditions=results["conditions"],
        mib=results["mib"],
        rounds=results["rounds"],
        left_out=left_out,
        many=_many(results["many"]) if results.get("many") else "",
        checks=table(
            ["", "claim", "figures"],
            [["yes" if holds else "**no**", claim, seen] for holds, claim, seen in check(results)],
        ),
        taken=table(["taking", "median", "from, to (s)", "× the raw tool", "size"], taken),
        parts=table(["method", "median seconds of each part"], parts),
        proofs=table(["proving", *LEVELS, "restoring it", "comparing", "amcheck"], proofs),
        digest="\n".join(digests) or "- none was taken",
        restored=table(["restoring with the raw tool", "median, into a running throwaway cluster"], restored),
        proof_rounds=max((len(each) for each in results["proven"].values()), default=0),
    )


def _many(found: Mapping[str, Any]) -> str:
    ours, raw = (statistics.median(found[one]) for one in ("ours", "raw"))
    return (
        f"## {found['tables']:,} tables\n\n"
        f"Each has a key, a sequence, an index and a few rows. Rounds: {len(found['ours'])}.\n\n"
        f"- {WAYS[many_tables.OURS].title}: {ours:.1f} s\n- {WAYS[many_tables.RAW].title}: {raw:.1f} s\n"
        f"- ratio: {ours / raw:.2f}\n- proving it to the level {found['level']}: {found['proven']:.1f} s\n\n"
    )


RAW_RESTORES = {
    "pg_dump-custom": "pg_restore --create -j2",
    "postgresql_db": "state=restore (pg_restore)",
    "pg_basebackup": "cp -a and start",
    "pgbackrest-raw": "pgbackrest restore and start",
}
HEAD = """# What a proven backup costs

`make bench-backup` measures this. `python -m tests.bench.backups --render` makes this page again from
`{data}`. `tests/bench/README.md` explains how the benchmark is built.

## How it is measured

- Machine: {conditions}.
- The database has {mib:,} MiB with its indexes: customers, orders, order lines and events, with text, JSON, numerics
  and timestamps. All of it is in the page cache, so the figures compare the work and not a disk.
- Each tool syncs its files in its own way. Before each backup, all dirty pages are written to disk.
- Rounds: {rounds}. Each round takes every method once, in a random order. Figures are medians. A ratio is a ratio of
  two medians of this run.
{left_out}
In addition to the work of the raw tool, Gradual writes a canary row, the schema and the roles, computes the checksum of
every file, syncs all files, writes a receipt, and publishes the backup under its name. Then the module returns, and the
backup is *taken*.

## What must hold

{checks}

The digest of every table of the live database is work that no raw tool does, and it is not in these figures. A process
computes it in the snapshot of the backup, which it holds until then, from the moment at which the backup is taken. The
next method began when it had ended. In a rollout it runs while the backup is proven to be intact and readable. It took:

{digest}

## Taking a backup

{taken}

{parts}

These are the parts of Gradual's backups, one after the other. `digest` follows after `total`, and is not in it.

{many}## Proving and restoring

{proofs}

Rounds: {proof_rounds}. The seconds of a level are those beyond the level before it.

- *intact*: the checksum of every file is computed again, and the tool's own verification runs.
- *readable*: every byte is decoded.
- *restored*: a throwaway cluster is created, gets the backup (*restoring it*) and is compared with the snapshot
  (*comparing*).
- *sound*: the extension amcheck checks all tables and indexes of the throwaway cluster. The smoke tests of the
  application and the pending migrations also belong to this level. They need an application, so they are not in these
  figures.

{restored}

Compare these with *restoring it* above. Gradual also restores the roles, and recovers a physical backup to its restore
point.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backups", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--proofs", type=int, default=1, help="the first rounds, in which ours are proven too (default %(default)s)"
    )
    parser.add_argument("--megabytes", type=int, default=1020)
    parser.add_argument(
        "--way", action="append", choices=WAYS, metavar="NAME", help=f"only this one (repeat): {', '.join(WAYS)}"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tables", type=int, default=many_tables.TABLES, help="of the database with many of them (default %(default)s)"
    )
    add_output(parser, OUT)
    given = parser.parse_args(argv)
    file = given.out / "results.json"
    if not given.render:
        given.out.mkdir(parents=True, exist_ok=True)
        run(
            given.way or list(WAYS),
            given.megabytes,
            given.rounds,
            given.proofs,
            given.seed,
            lambda results: file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8"),
        )
    if not given.render and given.tables:
        taken = json.loads(file.read_text(encoding="utf-8"))
        taken["many"] = many_tables.measured(given.tables, given.rounds)
        file.write_text(json.dumps(taken, indent=1) + "\n", encoding="utf-8")
    return finish(parser, given.out, page, check)


if __name__ == "__main__":
    sys.exit(main())
