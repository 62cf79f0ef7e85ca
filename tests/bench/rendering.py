"""results.json as a page and pictures; apart from running, so that the page can be made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import checks, pictures
from tests.bench.methods import LIMIT, OURS, PERIOD, THRESHOLD, TITLES, TWO_ARMS

Json = dict[str, Any]

HEAD = """# The gates on the same traffic

Made by `make bench-gates`; `python -m tests.bench.gates --render` makes this page again from `{data}`.

Each gate reads the same simulated ramps: an A/A stage, then 25 and 50 % of the users, {lengths}. The users have hash cohorts, an activity and an error
proneness of their own; hosts, waves, incidents, features and scrapes have causes of their own too (`tests/bench/traffic`). A stage at 100 % is left out:
nobody is left to compare with there, so no two gates would be asked the same question.

- **Argo** and **Flagger** measure once in {period:g} s, with the share {threshold:.1f} times its usual value as the threshold. **Kayenta** compares 50 looks of
  each stage.
- **Wald** is the limit: a sequential test that is told the true ratio, when it begins, the offset of the arms and the base share of every interval,
  with the same alpha and tolerated ratio. **Wald, two arms** is told all but the base share, as any gate that compares the arms within an interval.
- *Stopped*: share of the ramps that ended with an abort. *Looks until stopped*: since the feature began to do harm, the median over all ramps and the
  look by which 90 % were stopped; "–" where fewer ever were. *Certified*: share that ended with a promotion through the last stage.
- *Bad until decided*: bad requests that the treatment was served until the gate decided, on average. *Bad to the end*: in the longest time that the ramp
  may take, since who promotes harm at once serves it to everybody from then on; a stop ends it, a hold leaves the stage's users with it.
"""


def render(results: Mapping[str, Any], folder: Path) -> None:
    """Write FOLDER.md and the pictures in FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures.draw(results, folder)
    page = folder.with_name(f"{folder.name}.md")
    page.write_text("\n".join(_page(results, shown, folder)) + "\n", encoding="utf-8")


def compact(results: Mapping[str, Any]) -> str:
    """results.json with a line for each cell, so that a change can be read."""
    rest = {key: value for key, value in results.items() if key != "cells"}
    lines = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in results["cells"])
    return f'{json.dumps(rest)[:-1]}, "cells": [\n{lines}\n]}}\n'


def _page(results: Mapping[str, Any], shown: Sequence[tuple[str, str]], folder: Path) -> Iterator[str]:
    cells = results["cells"]
    yield HEAD.format(data=f"{folder.name}/results.json", lengths=_lengths(cells), period=PERIOD, threshold=THRESHOLD)
    yield "## What must hold\n\n| | claim | figures |\n|---|---|---|"
    words = {True: "yes", False: "**no**", None: "open"}
    for each in checks.check(results):
        yield f"| {words[each.holds]} | {each.what} | {each.figures} |"
    for file, title in shown:
        yield f"\n## {title}\n\n![{title}]({folder.name}/{file})"
    yield "\n## Every cell"
    for harmless, title in ((True, "Nothing is wrong with the feature"), (False, "The feature does harm")):
        yield f"\n### {title}\n"
        yield from _table([cell for cell in cells if cell["harmless"] == harmless], results["gates"], harmless)


def _lengths(cells: Sequence[Mapping[str, Any]]) -> str:
    shapes = {(cell["rate"], cell["aa_looks"], cell["looks"], cell["interval"]) for cell in cells}
    return "; ".join(
        f"at {rate:g} requests a second {aa} and twice up to {looks} looks of {seconds:g} s"
        for rate, aa, looks, seconds in sorted(shapes)
    )


def _table(cells: Sequence[Mapping[str, Any]], gates: Sequence[str], harmless: bool) -> Iterator[str]:
    named = [name for name in TITLES if name in gates]
    limits = [name for name in named if name in (LIMIT, TWO_ARMS)]
    columns: list[tuple[str, list[str], Callable[[Mapping[str, Any]], str]]] = [("stopped %", named, _stopped)]
    if harmless:
        columns += [
            ("certified %", named, _certified),
            ("looks until certified, median / 90 %", [OURS, *limits], _certified_after),
        ]
    else:
        columns += [
            ("looks until stopped, median / 90 %", named, _stopped_after),
            ("bad requests until decided, mean / median", named, lambda gate: _served(gate["bad"])),
            ("bad requests to the end, mean / median", named, lambda gate: _served(gate["bad_to_the_end"])),
            ("certified %", named, _certified),
        ]
    for title, wanted, text in columns:
        names = [name for name in wanted if name in gates]
        if not names:
            continue
        yield f"\n#### {title}\n"
        yield f"| scenario | per second | base | ramps | {' | '.join(TITLES[name] for name in names)} |"
        yield f"|---|--:|--:|--:|{'--:|' * len(names)}"
        for cell in cells:
            values = " | ".join(text(cell["gates"][name]) for name in names)
            yield f"| {cell['title']} | {cell['rate']:g} | {100 * cell['base']:g} % | {cell['traces']} | {values} |"


def _stopped(gate: Mapping[str, Any]) -> str:
    return f"{100 * gate['stopped']:.1f}"


def _certified(gate: Mapping[str, Any]) -> str:
    return f"{100 * gate['certified']:.1f}"


def _certified_after(gate: Mapping[str, Any]) -> str:
    return _both(gate["looks_certified"])


def _stopped_after(gate: Mapping[str, Any]) -> str:
    return _both(gate["looks_stopped"])


def _served(bad: Mapping[str, float]) -> str:
    return f"{bad['mean']:.0f} / {bad['median']:.0f}"


def _both(looks: Mapping[str, float | None]) -> str:
    return " / ".join("–" if looks[name] is None else f"{looks[name]:g}" for name in ("median", "p90"))
