"""Cause every fault, print the table, and write docs/bench-faults.md: `make bench-faults`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import matrix, tools
from .stage import stage
from .table import Result, caused, markdown, summary

ROOT = Path(__file__).parents[2]
INTRODUCTION = """\
# Faults

Written by `make bench-faults`, which causes each of them for real, on clusters of its own, and asks a session of its own what became
of the database; `make database-test` does the same and fails where one ends otherwise. *Seconds to a safe state* run from the fault
until the database is at a known revision with no session, lock, invalid index or unfinished folder of Gradual's: limits are short here
(deadlines of 1 to 30 s), and a fault that lasts by design (an open transaction, a dump) counts for as long as it lasts.
"""
MATRIX = """\
Each damage was done to a backup that had been proven, and each cell is a check that was run on it; – means that the tool has nothing to
do with such a backup. *Before its checksum* is damage that was there when the backup was sealed, as by bad memory or a lying disk: checksum
and seal fit it. community.postgresql (of {ansible}, in an environment for the run) is `postgresql_db` with `state: restore` into an empty database,
which is more than is commonly done: its `state: dump` looks at the exit status of pg_dump only. pgBackRest's columns are its exit status, which is
what a timer sees. The last WAL segment of a basebackup lies beside the copy, where pg_verifybackup does not look. A migration wants the level *restored*.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench-faults.md", help="file to write")
    out: Path = parser.parse_args().out
    results: list[Result] = []
    with stage() as ready, tools.community(ready.server) as other:
        damaged = list(matrix.rows(ready, other))
        for one in caused(ready):
            results.append(one)
            print(
                f"{one.fault.number:2} {one.fault.name}: {'right' if one.seen else one.wrong or one.elsewhere}",
                file=sys.stderr,
                flush=True,
            )
    text = (
        f"{INTRODUCTION}\n## What Gradual does\n\n{summary(results)}\n\n{markdown(results)}\n"
        f"## Who finds damage in a backup\n\n{MATRIX.format(ansible=tools.ANSIBLE)}\n{matrix.markdown(damaged)}"
    )
    print(text)
    out.write_text(text)
    right = not any(one.wrong for one in results) and not matrix.false_accepts(damaged)["Gradual: restored"]
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
