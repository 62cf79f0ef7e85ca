"""results.json as a page that a person reads, and beside it the data and the pictures.

FOLDER.md is the page. FOLDER/cells.csv has a row for each cell and gate, FOLDER/claims.csv a row for each claim. All of
it is made from results.json alone, so it can be made again without a run.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import checks, pictures
from tests.bench.methods import LIMIT, OURS, PERIOD, THRESHOLD, TITLES, TWO_ARMS
from tests.bench.tables import table

Json = dict[str, Any]
Cells = Sequence[Mapping[str, Any]]

HEAD = """# Gates on the same traffic

This page compares Gradual's gate with the gates of Argo Rollouts, Flagger and Kayenta. All gates judge the same
simulated ramps. `make bench-gates` runs the benchmark. `python -m tests.bench.gates --render` makes this page again
from `{folder}/results.json`. `tests/bench/README.md` explains how the benchmark is built.

## The data

| file | content |
|---|---|
| [cells.csv]({folder}/cells.csv) | every figure: one row for each scenario, request rate, base share and gate |
| [claims.csv]({folder}/claims.csv) | every claim that is checked, with its figures |
| [results.json]({folder}/results.json) | the results of the run; all the rest is made from them |

## How it is measured

Each ramp is an A/A stage, then a stage at 25 % and a stage at 50 % of the users. A stage at 100 % is left out, because
no user is left to compare with.

{lengths}

The simulation works from causes: users, hosts, waves of errors, incidents, features that do harm, and scrapes that fail
(`tests/bench/traffic`). The *base share* is the share of bad requests when nothing is wrong: {bases}.

- **Argo** and **Flagger** measure once in {period:g} s. Their threshold is {threshold:.1f} times the base share.
- **Kayenta** compares 50 looks of each stage.
- **ours** is Gradual's gate with its default settings.
- **Wald** is the theoretical limit. It is a sequential test that knows the true ratio, the time at which the harm
  begins, the offset of the arms and the base share of every interval. It has the same alpha and tolerated ratio.
- **Wald, two arms** knows all of this but the base share. A gate that compares the arms within an interval cannot know
  the base share either.
"""

AGAIN = """
## Cells that were run again

After this run, history counts once the stage alone says 4 to 1 of two ratios of harm, where it was 6 to 1 of three
([gates-statistics.md](gates-statistics.md)). {count} of the {cells} cells were run again with that, on the same ramps.
All other figures on this page are of the gate before the change. In each column, before and after.
"""

FALSE_STOPS = """
## Harmless releases that are stopped

The largest share of ramps that a gate stopped, over all {scenarios} scenarios in which the feature does no harm. A cell
has {ramps:,} ramps or more. Lower is better. The limit for Gradual (`alpha`) is {alpha:.0%}.
"""

SPEED = """
## How soon harm is stopped

The share of the ramps that were stopped, and the median time from the beginning of the harm to the stop. The median is
over all ramps; "–" means that fewer than half of them were stopped. {base}
"""

BAD = """
## Bad requests that users get

The mean number of bad requests in the treatment, counted to the end of the longest time that the ramp can take. A stop
ends the count. A gate that promotes harm serves it to all users from then on. A hold leaves the users of the stage with
it. {base}
"""

CERTIFIED = """
## Harm that is certified

The largest share of ramps in which a gate promoted a feature with twice the errors through the last stage. Lower is
better. The limit for Gradual (`certify_alpha`) is {alpha:.0%}.
"""

CLAIMS = """
## What must hold

*Open* means that the run cannot decide the claim. The comparison of bad requests is open where no baseline (Argo,
Flagger, Kayenta) keeps its false stops at {alpha:.0%} or less: a gate that stops good releases is no measure.
"""


def render(results: Mapping[str, Any], folder: Path) -> None:
    """Write FOLDER.md, and in FOLDER the data and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures.draw(results, folder)
    _write(folder / "cells.csv", rows(results))
    words = {True: "holds", False: "does not hold", None: "open"}
    _write(
        folder / "claims.csv",
        ({"claim": one.what, "state": words[one.holds], "figures": one.figures} for one in checks.check(results)),
    )
    page = folder.with_name(f"{folder.name}.md")
    page.write_text("\n".join(_page(results, shown, folder)) + "\n", encoding="utf-8")


def rows(results: Mapping[str, Any]) -> Iterator[Json]:
    """A row for each cell and gate: shares from 0 to 1, looks and bad requests as in results.json, "" for never."""
    for cell in results["cells"]:
        for name in (name for name in TITLES if name in cell["gates"]):
            gate = cell["gates"][name]
            yield {
                **{key: cell[key] for key in ("scenario", "title")},
                "harmless": "yes" if cell["harmless"] else "no",
                "requests_per_second": cell["rate"],
                "base": cell["base"],
                "ramps": cell["traces"],
                "seconds_per_look": cell["interval"],
                "aa_looks": cell["aa_looks"],
                "looks_per_stage": cell["looks"],
                "gate": TITLES[name],
                **{key: gate[key] for key in ("stopped", "certified", "held")},
                **{
                    f"{key}_{end}": value
                    for key in ("stopped", "certified")
                    for end, value in zip(("low", "high"), gate[f"{key}_range"])
                },
                **{
                    f"{key}_{part}": "" if value is None else value
                    for key in ("looks_stopped", "looks_certified", "bad", "bad_to_the_end")
                    for part, value in gate[key].items()
                },
            }


def _write(file: Path, lines: Iterable[Json]) -> None:
    found = list(lines)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(found[0]) if found else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def _page(results: Mapping[str, Any], shown: Sequence[tuple[str, str]], folder: Path) -> Iterator[str]:
    cells = results["cells"]
    gates = [name for name in TITLES if name in results["gates"]]
    yield HEAD.format(
        folder=folder.name,
        lengths=_lengths(cells),
        bases=", ".join(f"{100 * base:g} %" for base in sorted({cell["base"] for cell in cells})),
        period=PERIOD,
        threshold=THRESHOLD,
    ).rstrip()
    yield from _again(cells, results.get("again", []))
    yield from _false_stops([cell for cell in cells if cell["harmless"]], gates)
    yield from _harm([cell for cell in cells if cell["scenario"] in checks.TIMED], gates)
    yield from _certified([cell for cell in cells if cell["margin"]], gates)
    yield from _claims(checks.check(results))
    for file, title in shown:
        yield f"\n## {title}\n\n![{title}]({folder.name}/{file})"


def _again(cells: Cells, again: Cells) -> Iterator[str]:
    """The figures of Gradual's gate in the cells that were run again after a change of it."""
    if not again:
        return
    yield AGAIN.format(count=len(again), cells=len(cells))
    first = {(cell["scenario"], cell["rate"], cell["base"]): cell for cell in cells}
    lines = []
    for now in again:
        cell = first[now["scenario"], now["rate"], now["base"]]
        before, wald = cell["gates"][OURS], cell["gates"]["wald"]["looks_stopped"]["median"]
        both = (before, now["ours"])
        lines.append(
            [
                _where(cell),
                " → ".join(_share(one["stopped"]) for one in both),
                " → ".join(_looks(one["looks_stopped"]["median"]) for one in both),
                _looks(wald and checks.SLOWER * wald) if not cell["harmless"] else "",
                " → ".join(_share(one["certified"]) for one in both),
            ]
        )
    head = ["cell", "stopped", "median looks to the stop", f"{checks.SLOWER:g} × Wald's", "certified"]
    yield table(head, lines)


def _looks(median: float | None) -> str:
    return "–" if median is None else f"{median:g}"


def _lengths(cells: Cells) -> str:
    shapes = {(cell["rate"], cell["aa_looks"], cell["looks"], cell["interval"]) for cell in cells}
    return table(
        ["requests a second", "looks of the A/A stage", "looks of each stage, at most", "seconds between two looks"],
        [[f"{rate:g}", str(aa), str(looks), f"{seconds:g}"] for rate, aa, looks, seconds in sorted(shapes)],
    )


def _false_stops(cells: Cells, gates: Sequence[str]) -> Iterator[str]:
    if not cells:
        return
    yield FALSE_STOPS.format(
        scenarios=len({cell["scenario"] for cell in cells}),
        ramps=min(cell["traces"] for cell in cells),
        alpha=checks.ALPHA,
    )
    rates = sorted({cell["rate"] for cell in cells})
    lines = []
    for name in gates:
        worst = max(cells, key=lambda cell: float(cell["gates"][name]["stopped"]))
        most = [max(cell["gates"][name]["stopped"] for cell in cells if cell["rate"] == rate) for rate in rates]
        lines.append([f"**{TITLES[name]}**" if name == OURS else TITLES[name], *map(_share, most), _where(worst)])
    yield table(["gate", *(f"{rate:g}/s" for rate in rates), "worst cell"], lines)


def _harm(cells: Cells, gates: Sequence[str]) -> Iterator[str]:
    if not cells:
        return
    base = min(cell["base"] for cell in cells)
    told = f"The base share is {100 * base:g} %."
    shown = [cell for cell in cells if cell["base"] == base]

    def stopped(cell: Mapping[str, Any], name: str) -> str:
        gate = cell["gates"][name]
        looks = gate["looks_stopped"]["median"]
        return f"{_share(gate['stopped'])}, {'–' if looks is None else _time(looks * cell['interval'])}"

    yield SPEED.format(base=told)
    yield _compared(shown, gates, stopped)
    yield BAD.format(base=told)
    users = [name for name in gates if name not in (LIMIT, TWO_ARMS)]
    yield _compared(shown, users, lambda cell, name: f"{cell['gates'][name]['bad_to_the_end']['mean']:,.0f}")


def _compared(cells: Cells, gates: Sequence[str], text: Callable[[Mapping[str, Any], str], str]) -> str:
    return table(
        ["harm", "requests a second", *(TITLES[name] for name in gates)],
        [[cell["title"], f"{cell['rate']:g}", *(text(cell, name) for name in gates)] for cell in cells],
    )


def _certified(cells: Cells, gates: Sequence[str]) -> Iterator[str]:
    if not cells:
        return
    yield CERTIFIED.format(alpha=checks.CERTIFY_ALPHA)
    lines = []
    for title in dict.fromkeys(cell["title"] for cell in cells):
        of_title = [cell for cell in cells if cell["title"] == title]
        lines.append([title, *(_share(max(cell["gates"][name]["certified"] for cell in of_title)) for name in gates)])
    yield table(["harm", *(TITLES[name] for name in gates)], lines)


def _claims(judged: Sequence[checks.Check]) -> Iterator[str]:
    """Each kind of claim with its counts, and in full what does not hold."""
    yield CLAIMS.format(alpha=checks.ALPHA)
    count = Counter((one.what.split(":")[0], one.holds) for one in judged)
    kinds = list(dict.fromkeys(kind for kind, _holds in count))
    yield table(
        ["claim", "holds", "does not hold", "open"],
        [[kind, *(str(count[kind, holds]) for holds in (True, False, None))] for kind in kinds],
    )
    failed = [one for one in judged if one.holds is False]
    if failed:
        yield "\nThese claims do not hold:\n"
        yield table(["claim", "figures"], [[one.what, one.figures] for one in failed])


def _where(cell: Mapping[str, Any]) -> str:
    return f"{cell['title']}, {cell['rate']:g}/s, base {100 * cell['base']:g} %"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _time(seconds: float) -> str:
    """In minutes, or in seconds below two minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
