"""Cause every fault, and write docs/bench-faults.md and its data: `make bench-faults`.

`--render` makes the page again from the data and causes nothing. Exit status 1 when a case went wrong, or when a
damaged backup was proven.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import matrix, page, tools
from .stage import stage
from .table import Result, caused

OUT = Path(__file__).parents[2] / "docs" / "bench-faults.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the page; its data are in the folder of the same name without .md"
    )
    parser.add_argument("--render", action="store_true", help="only make the page again from its data")
    given = parser.parse_args()
    out: Path = given.out
    folder = out.with_suffix("")
    if not given.render:
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
        page.write(folder, page.cases(results), page.damages(damaged, matrix.COLUMNS))
    cases, damages = page.read(folder / page.CASES), page.read(folder / page.DAMAGES)
    text = page.page(cases, damages, folder.name, tools.ANSIBLE)
    print(text)
    out.write_text(text, encoding="utf-8")
    return 0 if page.holds(cases, damages) else 1


if __name__ == "__main__":
    sys.exit(main())
