"""python -m tests.bench.lint [--out FOLDER]: how often migration_lint is right, tried on a real PostgreSQL.

Writes FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json, `--again` asks the tools
again about the same truth. Exit status 1 when a check does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import ERROR

from tests.bench.lint import databases, projects
from tests.bench.lint.cases import Case, cases
from tests.bench.lint.page import check, page, wrong_verdicts
from tests.bench.lint.truth import truth
from tests.bench.lint.verdicts import verdicts
from tests.bench.tables import check_lines, compact, conditions
from tests.database.server import Server, environment, throwaway

Json = dict[str, Any]
OUT = Path("docs/bench-lint")
WORKERS = 2


def run(wanted: str = "") -> Json:
    """Every case whose name has that text in it: the truth, and what each tool says."""
    with throwaway() as server:
        databases.prepare(server, projects.django_tables(server))
        every = [one for one in (*cases(), *projects.tool_cases(server)) if wanted in one.name]
        projects.close()
        release = environment(server.folder / "venv")
        return {"conditions": conditions(server), "cases": list(_tried(server, release, every))}


def again(results: Json) -> Json:
    """The same truth, and what each tool says now."""
    with tempfile.TemporaryDirectory(prefix="gradual-bench-") as folder, ThreadPoolExecutor(WORKERS) as pool:
        os.chmod(folder, 0o755)
        release = environment(Path(folder, "venv"))
        found = pool.map(lambda one: {**one, "verdicts": verdicts(_case(one), release)}, results["cases"])
        return {**results, "cases": list(found)}


def _case(told: Json) -> Case:
    """A case as results.json has it."""
    same: Json = {key: told[key] for key in ("topic", "title", "transaction", "tool", "file")}
    return Case(**same, text=told["sql"], statements=tuple(told["statements"]), earlier=tuple(told["earlier"]))


def _tried(server: Server, release: Path, every: Sequence[Case]) -> Iterator[Json]:
    mine = threading.local()
    opened: list[databases.Kept] = []

    def one(case: Case) -> Json:
        if not hasattr(mine, "kept"):
            mine.kept = databases.Kept(server)
            opened.append(mine.kept)
        return _one(mine.kept, release, case)

    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            for number, (case, found) in enumerate(zip(every, pool.map(one, every), strict=True), 1):
                yield found
                if number % 50 == 0 or number == len(every):
                    print(f"{number} of {len(every)} cases: {case.name[:80]}", file=sys.stderr, flush=True)
    finally:
        for kept in opened:
            kept.close()


def _one(kept: databases.Kept, release: Path, case: Case) -> Json:
    seen = truth(kept, case)
    return {
        "topic": case.topic,
        "title": case.title,
        "sql": case.text,
        "tool": case.tool,
        "file": case.file,
        "statements": list(case.statements),
        "transaction": case.transaction,
        "earlier": list(case.earlier),
        "by_hand": case.by_hand,
        "harmful": case.by_hand.startswith("harmful") if case.by_hand else seen.harmful,
        "level": seen.level if not case.by_hand else ERROR,
        "reasons": list(seen.reasons),
        "lock": seen.lock,
        "rewritten": list(seen.rewritten),
        "indexes": seen.indexes,
        "pages": list(seen.pages),
        "verdicts": verdicts(case, release),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lint", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", default="", help="only cases with this text in `topic: title`")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="folder of results.json (default %(default)s); the page is FOLDER.md"
    )
    parser.add_argument(
        "--again", action="store_true", help="ask only the tools again; the truth is that of FOLDER/results.json"
    )
    parser.add_argument("--render", action="store_true", help="only render FOLDER/results.json again")
    given = parser.parse_args(argv)
    file = given.out / "results.json"
    if not file.exists() and (given.render or given.again):
        parser.error(f"{file} does not exist; run without --render and --again first")
    if not given.render:
        results = again(json.loads(file.read_text(encoding="utf-8"))) if given.again else run(given.case)
        given.out.mkdir(parents=True, exist_ok=True)
        file.write_text(compact(results, "cases"), encoding="utf-8")
    results = json.loads(file.read_text(encoding="utf-8"))
    given.out.with_name(f"{given.out.name}.md").write_text(
        page(results, f"{given.out.name}/results.json"), encoding="utf-8"
    )
    judged = list(check(results))
    print("\n".join([*wrong_verdicts(results), *check_lines(judged)]))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
