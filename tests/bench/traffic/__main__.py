"""python -m tests.bench.traffic SCENARIO --rate 10 --traces 100: a file for `make replay`, on stdout; without SCENARIO
the list of them."""

from __future__ import annotations

import argparse
import os
import sys

from . import SCENARIOS, Shape, document, shape_for, simulate


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.traffic", description="simulated traces in the format of make replay, on stdout"
    )
    parser.add_argument(
        "scenario", nargs="?", choices=SCENARIOS, metavar="SCENARIO", help="left out: the list of scenarios"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second (default %(default)g)")
    parser.add_argument("--traces", type=int, default=100, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base", type=float, help="base share of bad requests (default 0.003, slow ones 0.02)")
    parser.add_argument("--interval", type=float, help="seconds of a look (default 10, below 5 requests a second 60)")
    parser.add_argument("--aa", type=int, default=60, help="looks of the A/A stage (default %(default)s)")
    parser.add_argument("--looks", type=int, help="looks of each stage (default 180, around 10 requests a second 360)")
    given = parser.parse_args(argv)
    if given.scenario is None:
        print("\n".join(f"{name:32} {scenario.title}" for name, scenario in SCENARIOS.items()))
        return 0
    usual = shape_for(given.rate)
    shape = Shape(given.interval or usual.interval, given.aa, given.looks or usual.looks)
    try:
        sys.stdout.write(
            document(simulate(SCENARIOS[given.scenario], given.rate, given.traces, given.seed, given.base, shape))
        )
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads it (head) has enough; a second error while Python closes stdout helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
