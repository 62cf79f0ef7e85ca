"""What the benchmark must show, as pass or fail with the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.bench.methods import BASELINES, LIMIT, OURS, TITLES, TWO_ARMS

Json = dict[str, Any]
Cells = Sequence[Mapping[str, Any]]

ALPHA, CERTIFY_ALPHA = 0.05, 0.10
FEWER, SLOWER = 1 / 3, 1.5
HARMLESS_TRACES, HARMFUL_TRACES = 1000, 400
RATES = {1.0, 10.0, 100.0, 1000.0}
COMPARED = ("errors-3", "errors-10")
TIMED = ("errors-2", "errors-3", "errors-10")


class Check(NamedTuple):
    """One claim: what, whether it holds (None: cannot be said), the figures."""

    what: str
    holds: bool | None
    figures: str


def check(results: Mapping[str, Any]) -> list[Check]:
    """All claims. Gates that were not run are left out."""
    cells, gates = results["cells"], results["gates"]
    judged = list(_covered(cells, gates))
    if OURS in gates:
        judged += [*_false_stops(cells), *_false_certificates(cells)]
        judged += [*_fewer_bad(cells, gates), *(_near_the_limit(cells) if LIMIT in gates else ())]
    return judged


def lines(judged: Sequence[Check]) -> list[str]:
    words = {True: "pass", False: "FAIL", None: "open"}
    failed = sum(each.holds is False for each in judged)
    return [
        *(f"{words[each.holds]}  {each.what}: {each.figures}" for each in judged),
        f"{len(judged) - failed} of {len(judged)} hold",
    ]


def place(cell: Mapping[str, Any]) -> str:
    """A cell in words."""
    return f"{cell['scenario']} {cell['rate']:g}/s, base {100 * cell['base']:g} %"


def _covered(cells: Cells, gates: Sequence[str]) -> Iterator[Check]:
    rates = {cell["rate"] for cell in cells}
    missing = sorted(RATES - rates)
    few = [place(cell) for cell in cells if cell["traces"] < (HARMLESS_TRACES if cell["harmless"] else HARMFUL_TRACES)]
    absent = [TITLES[name] for name in TITLES if name not in gates]
    told = [
        *(f"no {rate:g}/s" for rate in missing),
        *(f"without {name}" for name in absent),
        *([f"{len(few)} cells with fewer traces"] if few else []),
    ]
    what = "every rate and gate, ≥ 1,000 traces where nothing is wrong and ≥ 400 elsewhere"
    yield Check(what, None if told else True, ", ".join(told) or f"{len(cells)} cells")


def _false_stops(cells: Cells) -> Iterator[Check]:
    harmless = [cell for cell in cells if cell["harmless"] and cell["check"]]
    for name in dict.fromkeys(cell["scenario"] for cell in harmless):
        worst = max(
            (cell for cell in harmless if cell["scenario"] == name),
            key=lambda cell: float(cell["gates"][OURS]["stopped"]),
        )
        seen = worst["gates"][OURS]
        low, high = seen["stopped_range"]
        text = (
            f"at most {seen['stopped']:.2%} (95 % range {low:.2%} to {high:.2%}), at {worst['rate']:g}/s, base"
            f" {100 * worst['base']:g} %"
        )
        yield Check(f"false stops ≤ {ALPHA:.0%}: {name}", seen["stopped"] <= ALPHA, text)


def _false_certificates(cells: Cells) -> Iterator[Check]:
    for cell in cells:
        if cell["margin"]:
            seen = cell["gates"][OURS]
            low, high = seen["certified_range"]
            text = f"{seen['certified']:.2%} (95 % range {low:.2%} to {high:.2%})"
            holds = seen["certified"] <= CERTIFY_ALPHA
            yield Check(
                f"false certification ≤ {CERTIFY_ALPHA:.0%}: {place(cell)}",
                holds if cell["check"] or holds else None,
                text,
            )


def keeping(cells: Cells, gates: Sequence[str], rate: float | None = None) -> dict[str, float]:
    """The largest share of false stops over all harmless cells (of one rate), of each baseline that was run."""
    harmless = [cell for cell in cells if cell["harmless"] and rate in (None, cell["rate"])]
    return {
        name: max((cell["gates"][name]["stopped"] for cell in harmless), default=0.0)
        for name in BASELINES
        if name in gates
    }


def _fewer_bad(cells: Cells, gates: Sequence[str]) -> Iterator[Check]:
    worst = keeping(cells, gates)
    good = [name for name, share in worst.items() if share <= ALPHA]
    told = ", ".join(f"{TITLES[name]} {share:.1%}" for name, share in worst.items())
    yield Check(
        "baselines that keep ≤ 5 % false stops in every harmless cell",
        True if good else None,
        f"{len(good)}; at most {told}",
    )
    for cell in cells:
        if cell["scenario"] not in COMPARED or cell["rate"] < 10 or not worst:
            continue
        names, keeps, rule = _measure(good, keeping(cells, gates, cell["rate"]))
        ours = cell["gates"][OURS]["bad_to_the_end"]["mean"]
        served = {name: cell["gates"][name]["bad_to_the_end"]["mean"] for name in worst}
        best = min(names, key=lambda name: served[name])
        ratio = ours / served[best] if served[best] else float("inf")
        others = ", ".join(
            f"{TITLES[name]} {mean:.0f} ({cell['gates'][name]['bad']['mean']:.0f} until decided)"
            for name, mean in served.items()
        )
        text = f"{ours:.1f} against {served[best]:.1f} of {TITLES[best]}, {rule}: {ratio:.2f}; all: {others}"
        # Fewer than one who stops good releases proves nothing.
        holds = ratio <= FEWER if keeps else None
        yield Check(f"bad requests ≤ 1/3 of the best such baseline's: {place(cell)}", holds, text)


def _measure(good: Sequence[str], at_rate: Mapping[str, float]) -> tuple[Sequence[str], bool, str]:
    """The baselines to be compared with, whether they keep alpha, and why these: all that keep it everywhere, else at
    this rate, else the nearest."""
    if good:
        return good, True, "the best that keeps them everywhere"
    here = [name for name, share in at_rate.items() if share <= ALPHA]
    if here:
        return here, True, "the best that keeps them at this rate"
    nearest = min(at_rate, key=lambda name: at_rate[name])
    return [nearest], False, f"which stops the fewest at this rate, up to {at_rate[nearest]:.1%}, for none keeps them"


def _near_the_limit(cells: Cells) -> Iterator[Check]:
    for cell in cells:
        if cell["scenario"] not in TIMED:
            continue
        ours, limit = (cell["gates"][name]["looks_stopped"]["median"] for name in (OURS, LIMIT))
        two = cell["gates"].get(TWO_ARMS, {}).get("looks_stopped", {}).get("median")
        text = (
            f"{_looks(ours)} against {_looks(limit)} looks"
            + (f": {ours / limit:.2f}" if ours and limit else "")
            + f"; with two arms {_looks(two)}"
        )
        # Where the limit itself takes most of the time there is, 1.5 times as long cannot be seen.
        longest = len(("25", "50")) * cell["looks"]
        holds = (
            None
            if limit is None or (ours is None and SLOWER * limit > longest)
            else ours is not None and ours <= SLOWER * limit
        )
        yield Check(f"median looks ≤ 1.5 × Wald's: {place(cell)}", holds, text)


def _looks(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"
