"""Cause every fault, print the table, and write docs/bench-faults.md: `make bench-faults`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.database import server as support

from .stage import Stage
from .table import Result, caused, markdown, summary

ROOT = Path(__file__).parents[2]
INTRODUCTION = """\
# Faults

Written by `make bench-faults`, which causes each of them for real, on clusters of its own, and asks a session of its own what became
of the database; `make database-test` does the same and fails where one ends otherwise. *Seconds to a safe state* run from the fault
until the database is at a known revision with no session, lock, invalid index or unfinished folder of Gradual's: limits are short here
(deadlines of 1 to 30 s), and a fault that lasts by design (an open transaction, a dump) counts for as long as it lasts.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench-faults.md", help="file to write")
    out: Path = parser.parse_args().out
    results: list[Result] = []
    with support.throwaway() as running:
        stage = Stage(running, support.environment(running.folder / "venv"))
        for one in caused(stage):
            results.append(one)
            print(f"{one.fault.number:2} {one.fault.name}: {'right' if one.seen else one.wrong or one.elsewhere}", file=sys.stderr, flush=True)
    text = f"{INTRODUCTION}\n## What Gradual does\n\n{summary(results)}\n\n{markdown(results)}"
    print(text)
    out.write_text(text)
    return 1 if any(one.wrong for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
