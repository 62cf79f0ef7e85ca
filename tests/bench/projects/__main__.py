"""python -m tests.bench.projects [--project TEXT] [--out FOLDER]: public projects, migrated to their next release by
their own tools and by Gradual.

Writes FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json. Exit status 1 when a check
does not hold. pip takes the releases from the registry; all of that is below a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.projects.page import check, page
from tests.bench.projects.releases import projects
from tests.bench.projects.runs import play
from tests.bench.tables import check_lines, compact, conditions
from tests.database.server import throwaway

Json = dict[str, Any]
OUT = Path("docs/bench-projects")


def run(wanted: str, rounds: int, parent: Path, before: Json) -> Json:
    """Each project whose name has that text in it, on a server of its own; the others are as they were before."""
    known = {one["name"]: one for one in before.get("projects", [])}
    told = before.get("conditions", "")
    for project in projects(wanted):
        with throwaway() as server:
            told = conditions(server)
            known[project.name] = play(server, project, parent, rounds, _say)
    return {"conditions": told, "projects": [known[name] for name in sorted(known)]}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Where the releases are: a folder that stays, or a temporary one. Everybody may enter it."""
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="gradual-projects-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.projects", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--project", default="", help="only projects with this text in their name")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is timed (default %(default)s)")
    parser.add_argument("--releases", type=Path, help="a folder that keeps the installed releases for the next run")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="folder of results.json (default %(default)s); the page is FOLDER.md"
    )
    parser.add_argument("--render", action="store_true", help="only render FOLDER/results.json again")
    given = parser.parse_args(argv)
    file = given.out / "results.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if given.render and not before:
        parser.error(f"{file} does not exist; run without --render first")
    if not given.render:
        with _folder(given.releases) as parent:
            results = run(given.project, given.rounds, parent, before)
        given.out.mkdir(parents=True, exist_ok=True)
        file.write_text(compact(results, "projects"), encoding="utf-8")
    results = json.loads(file.read_text(encoding="utf-8"))
    text = page(results, projects(), f"{given.out.name}/results.json")
    given.out.with_name(f"{given.out.name}.md").write_text(text, encoding="utf-8")
    judged = list(check(results, projects()))
    print("\n".join(check_lines(judged)))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
