"""python -m tests.bench.gates [--quick] [--out FOLDER]: the gates on the same simulated traces.

Writes FOLDER/results.json, then the page FOLDER.md, and in FOLDER cells.csv, claims.csv and the pictures. `--render`
makes all but results.json again. Exit status 1 when a check does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ansible_collections.gradual.rollout.plugins.module_utils.gate import settings as gate_settings

from tests.bench import checks, methods, rendering, summary, tables
from tests.bench.decisions import Cost, Decisions, Json, cost
from tests.bench.traffic import BASE_SHARE, BASE_SLOW_SHARE, SCENARIOS, Shape, shape_for, simulate

RATES = (1.0, 10.0, 100.0, 1000.0)
OTHER_BASE = 0.01
# Where the base share is 1 %, a few scenarios are enough to see that nothing hangs on it.
AT_OTHER_BASE = ("no-change", "heavy-client-in-25-bursty", "errors-2", "errors-3", "errors-10")
PART = 50
OUT = Path("docs/bench-gates")
Part = dict[str, tuple[Decisions, Cost]]


class Cell(NamedTuple):
    """One scenario at one rate and base share."""

    scenario: str
    rate: float
    base: float
    traces: int


class Task(NamedTuple):
    """Part of a cell's traces."""

    cell: Cell
    first: int
    traces: int
    seed: int
    gates: tuple[str, ...]


def cells(
    names: Sequence[str], rates: Sequence[float], harmless: int, harmful: int, other_base: bool = True
) -> list[Cell]:
    """The cells of a run. Where a certification would be false, as many traces are needed as where a stop would."""
    wanted = []
    for name in names:
        scenario = SCENARIOS[name]
        traces = harmless if scenario.harmless or scenario.margin else harmful
        bases = [
            BASE_SLOW_SHARE if scenario.slow else BASE_SHARE,
            *([OTHER_BASE] if other_base and name in AT_OTHER_BASE else []),
        ]
        wanted += [Cell(name, rate, base, traces) for base in bases for rate in rates]
    return wanted


def tasks(wanted: Sequence[Cell], seed: int, gates: Sequence[str]) -> Iterator[Task]:
    for cell in wanted:
        for first in range(0, cell.traces, PART):
            yield Task(cell, first, min(PART, cell.traces - first), seed, tuple(gates))


def work(task: Task) -> tuple[Task, Part]:
    """Simulate and judge one part."""
    cell = task.cell
    batch = simulate(
        SCENARIOS[cell.scenario], cell.rate, task.traces, task.seed, cell.base, shape_for(cell.rate), task.first
    )
    part = {}
    for name, gate in methods.methods(batch, settings(batch.shape)).items():
        if name in task.gates:
            decisions = gate()
            part[name] = (decisions, cost(batch, decisions))
    return task, part


def settings(shape: Shape) -> gate_settings.Settings:
    """Our gate with its defaults, and a stage that may last as long as its looks."""
    longest = shape.looks * shape.interval
    return gate_settings.settings_from({}, {"min": shape.interval, "max": longest, "look": shape.interval})


def run(wanted: Sequence[Cell], seed: int, gates: Sequence[str], processes: int) -> Json:
    """All cells; the same results for the same arguments, however many processes."""
    parts: dict[Cell, list[Part]] = {cell: [] for cell in wanted}
    todo = sum(-(-cell.traces // PART) for cell in wanted)
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, (task, part) in enumerate(pool.imap(work, tasks(wanted, seed, gates)), start=1):
            parts[task.cell].append(part)
            if task.first + task.traces >= task.cell.traces:
                seconds = time.monotonic() - began
                told = f"{seconds:6.0f} s, {done / todo:4.0%}  {task.cell.scenario} {task.cell.rate:g}/s"
                print(told, file=sys.stderr, flush=True)
    return {
        "seed": seed,
        "gates": list(gates),
        "curve": summary.CURVE,
        "cells": [_cell(cell, parts[cell]) for cell in wanted],
    }


def _cell(cell: Cell, parts: Sequence[Part]) -> Json:
    scenario, shape = SCENARIOS[cell.scenario], shape_for(cell.rate)
    return {
        **cell._asdict(),
        "title": scenario.title,
        "harmless": scenario.harmless,
        "margin": scenario.margin,
        "check": scenario.check,
        "interval": shape.interval,
        "aa_looks": shape.aa_looks,
        "looks": shape.looks,
        "gates": {name: summary.figures(*summary.joined([part[name] for part in parts])) for name in parts[0]},
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gates", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="100 traces where nothing is wrong and 40 elsewhere, in place of 1,000 and 400",
    )
    parser.add_argument(
        "--harmless", type=int, help="traces of a cell where nothing is wrong, or where certifying would be false"
    )
    parser.add_argument("--harmful", type=int, help="traces of the other cells")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="only this one (repeat)")
    parser.add_argument("--rate", action="append", type=float, help="only this rate (repeat)")
    parser.add_argument("--gate", action="append", choices=methods.TITLES, help="only this gate (repeat)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="folder of the data and the pictures (default %(default)s); the page is FOLDER.md",
    )
    parser.add_argument("--render", action="store_true", help="only render FOLDER/results.json again")
    given = parser.parse_args(argv)
    file = given.out / "results.json"
    if not given.render:
        harmless, harmful = (
            given.harmless or (100 if given.quick else 1000),
            given.harmful or (40 if given.quick else 400),
        )
        wanted = cells(given.scenario or list(SCENARIOS), given.rate or RATES, harmless, harmful)
        results = run(wanted, given.seed, given.gate or list(methods.TITLES), given.processes)
        given.out.mkdir(parents=True, exist_ok=True)
        file.write_text(tables.compact(results, "cells"), encoding="utf-8")
    if not file.exists():
        parser.error(f"{file} does not exist; run without --render first")
    results = json.loads(file.read_text(encoding="utf-8"))
    rendering.render(results, given.out)
    judged = checks.check(results)
    print("\n".join(checks.lines(judged)))
    return 0 if all(each.holds is not False for each in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
