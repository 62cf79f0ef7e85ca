"""What the benches share in telling their figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.database.server import Server


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; raises ValueError for a row of another length."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under {len(head)} headings: {list(row)}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)


def compact(results: Mapping[str, Any], rows: str) -> str:
    """results.json with a line for each element of results[rows], so that a change can be read."""
    rest = {key: value for key, value in results.items() if key != rows}
    lines = ",\n".join(json.dumps(one, separators=(",", ":"), ensure_ascii=False) for one in results[rows])
    return f'{json.dumps(rest, ensure_ascii=False)[:-1]}, "{rows}": [\n{lines}\n]}}\n'


def check_lines(judged: Iterable[tuple[bool, str, str]]) -> list[str]:
    """The checks for a terminal."""
    return [f"{'holds' if holds else 'DOES NOT HOLD':14} {claim}: {seen}" for holds, claim, seen in judged]


def conditions(server: Server) -> str:
    """Where the figures were taken, as far as they depend on it."""
    version = server.value("SHOW server_version", "postgres").split()[0]
    return f"PostgreSQL {version}, {machine()}, everything on one machine"


def machine() -> str:
    """The machine, as far as figures depend on it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.system()} {platform.machine()}"


def add_output(parser: argparse.ArgumentParser, default: Path) -> None:
    """The options of a benchmark that say where its results go."""
    parser.add_argument(
        "--out", type=Path, default=default, help="folder of results.json (default %(default)s); the page is FOLDER.md"
    )
    parser.add_argument("--render", action="store_true", help="only render FOLDER/results.json again")


def finish(
    parser: argparse.ArgumentParser,
    out: Path,
    page: Callable[[Any, str], str],
    check: Callable[[Any], Iterable[tuple[bool, str, str]]],
) -> int:
    """Write the page of out/results.json and print its checks; the exit status, 1 when one of them does not hold."""
    file = out / "results.json"
    if not file.exists():
        parser.error(f"{file} does not exist; run without --render first")
    results = json.loads(file.read_text(encoding="utf-8"))
    out.with_name(f"{out.name}.md").write_text(page(results, f"{out.name}/results.json"), encoding="utf-8")
    judged = list(check(results))
    print("\n".join(check_lines(judged)))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1
