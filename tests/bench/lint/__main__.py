"""python -m tests.bench.lint [--out FOLDER]: how often migration_lint is right, tried on a real PostgreSQL.

Writes FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json, `--again` asks the tools
again about the same truth, and with `--case` tries those cases again. Exit status 1 when a check does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
    """Every case in which that regular expression finds something: the truth, and what each tool says."""
    with throwaway() as server:
        databases.prepare(server, projects.django_tables(server))
        every = [one for one in (*cases(), *projects.tool_cases(server)) if re.search(wanted, one.whole)]
        projects.close()
        release = environment(server.folder / "venv")
        return {"conditions": conditions(server), "cases": list(_tried(server, release, every))}


def again(results: Json, wanted: str = "") -> Json:
    """The same truth, but for the wanted cases, which are tried again; and what each tool says now of all."""
    new = {_key(one): one for one in run(wanted)["cases"]} if wanted else {}
    kept = [one for one in results["cases"] if _key(one) not in new]
    with tempfile.TemporaryDirectory(prefix="gradual-bench-") as folder, ThreadPoolExecutor(WORKERS) as pool:
        os.chmod(folder, 0o755)
        release = environment(Path(folder, "venv"))
        told = pool.map(lambda one: {**one, "verdicts": verdicts(_case(one), release)}, kept)
        found = {**{_key(one): one for one in told}, **new}
    # In the order of the former results, what is new at the end of its topic.
    topics = list(dict.fromkeys(one["topic"] for one in results["cases"]))
    places = {_key(one): place for place, one in enumerate(results["cases"])}
    order = sorted(found, key=lambda key: (topics.index(key[0]), places.get(key, len(places))))
    return {**results, "cases": [found[key] for key in order]}


def _key(told: Json) -> tuple[Any, ...]:
    return told["topic"], told["sql"], told["transaction"], tuple(told["earlier"])


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
        "reasons": list(seen.reasons),
        "lock": seen.lock,
        "rewritten": list(seen.rewritten),
        "indexes": seen.indexes,
        "pages": list(seen.pages),
        "verdicts": verdicts(case, release),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lint", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", default="", help="only cases in which this regular expression finds something")
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
        former = json.loads(file.read_text(encoding="utf-8")) if given.again else {}
        results = again(former, given.case) if given.again else run(given.case)
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
