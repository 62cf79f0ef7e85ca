"""Pictures of results.json: power against time for each ratio, false stops by scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from tests.bench.checks import ALPHA
from tests.bench.methods import LIMIT, OURS, TITLES, TWO_ARMS
from tests.bench.traffic import BASE_SHARE

# Okabe and Ito's colours, which a colour-blind eye can tell apart; the marks differ too.
LOOKS = {
    "argo-0": ("#E69F00", "v"),
    "argo-3": ("#D55E00", "^"),
    "flagger": ("#CC79A7", "s"),
    "kayenta": ("#56B4E9", "D"),
    OURS: ("#000000", "o"),
    LIMIT: ("#009E73", "x"),
    TWO_ARMS: ("#0072B2", "+"),
}
RATIOS = {"errors-1.5": "errors × 1.5", "errors-2": "errors × 2", "errors-3": "errors × 3", "errors-10": "errors × 10"}
SHARES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
}


def draw(results: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draw what the results hold; (file name, title) of each picture."""
    mpl.use("Agg")
    drawn = []
    with mpl.rc_context(STYLE):
        for file, title, figure in (
            ("power.png", "Power against time", _power(results)),
            ("false-stops.png", "False stops by scenario", _false_stops(results)),
        ):
            if figure is not None:
                # Without the version of matplotlib in it, so that the same results are the same file.
                figure.savefig(folder / file, dpi=110, metadata={"Software": None})
                plt.close(figure)
                drawn.append((file, title))
    return drawn


def _power(results: Mapping[str, Any]) -> Any:
    cells = {
        (cell["scenario"], cell["rate"]): cell
        for cell in results["cells"]
        if cell["scenario"] in RATIOS and cell["base"] == BASE_SHARE
    }
    rates = sorted({rate for _scenario, rate in cells})
    ratios = [name for name in RATIOS if any(scenario == name for scenario, _rate in cells)]
    if not cells:
        return None
    figure, axes = plt.subplots(
        len(rates), len(ratios), figsize=(3.4 * len(ratios) + 0.6, 2.5 * len(rates) + 1.2), sharey=True, squeeze=False
    )
    for row, rate in enumerate(rates):
        for column, name in enumerate(ratios):
            _curves(axes[row][column], cells.get((name, rate)), results)
            axes[row][column].set_title(f"{RATIOS[name]}, {rate:,g} per second", fontsize=10)
        axes[row][0].set_ylabel("stopped")
    for each in axes[-1]:
        each.set_xlabel("time since the harm began")
    _finish(figure, results["gates"], "Share of harmful ramps that were stopped, against time")
    return figure


def _curves(axis: Any, cell: Mapping[str, Any] | None, results: Mapping[str, Any]) -> None:
    axis.set_ylim(-0.02, 1.02)
    axis.set_xscale("log")
    axis.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    if cell is None:
        return
    longest = 2 * cell["looks"]
    for name in _ordered(results["gates"]):
        points = [
            (look * cell["interval"] / 60, by)
            for look, by in zip(results["curve"], cell["gates"][name]["stopped_by"])
            if look <= longest
        ]
        colour, mark = LOOKS[name]
        wide = 2.4 if name == OURS else 1.3
        line = "--" if name in (LIMIT, TWO_ARMS) else "-"
        axis.step(
            *zip(*points),
            where="post",
            color=colour,
            linewidth=wide,
            linestyle=line,
            marker=mark,
            markevery=6,
            markersize=5,
        )
    minutes = [
        each
        for each in (1 / 6, 1, 10, 60, 360)
        if cell["interval"] / 60 * 0.9 <= each <= longest * cell["interval"] / 60
    ]
    axis.set_xticks(
        minutes, ["10 s" if each < 1 else f"{each:g} min" if each < 60 else f"{each / 60:g} h" for each in minutes]
    )
    axis.minorticks_off()


def _false_stops(results: Mapping[str, Any]) -> Any:
    cells = [cell for cell in results["cells"] if cell["harmless"] and cell["base"] != 0.01]
    if not cells:
        return None
    names = list(dict.fromkeys(cell["scenario"] for cell in cells))
    titles = {cell["scenario"]: cell["title"] for cell in cells}
    rates = sorted({cell["rate"] for cell in cells})
    figure, axes = plt.subplots(
        1, len(rates), figsize=(3.3 * len(rates) + 3.2, 0.46 * len(names) + 2.0), sharey=True, squeeze=False
    )
    for axis, rate in zip(axes[0], rates):
        # The root of the share: 0 has its place, and both 1 and 5 % can be told from it.
        axis.set_xscale("function", functions=(lambda share: abs(share) ** 0.5, lambda root: root**2))
        axis.set_xlim(0, 1)
        axis.axvspan(ALPHA, 1.0, color="#f4f4f4", zorder=0)
        axis.axvline(ALPHA, color="#888888", linewidth=1.2, linestyle=":")
        for name in _ordered(results["gates"]):
            # Side by side, for most of them stand at 0.
            beside = 0.7 * (list(TITLES).index(name) / (len(TITLES) - 1) - 0.5)
            at = [
                (cell["gates"][name]["stopped"], names.index(cell["scenario"]) + beside)
                for cell in cells
                if cell["rate"] == rate
            ]
            colour, mark = LOOKS[name]
            size = 44 if name == OURS else 22
            axis.scatter(*zip(*at), color=colour, marker=mark, s=size, zorder=4 if name == OURS else 3, clip_on=False)
        axis.set_xticks(SHARES, [f"{100 * share:g}" for share in SHARES])
        axis.set_xlabel("% of the ramps stopped (root scale)")
        axis.set_title(f"{rate:,g} per second", fontsize=10)
        axis.grid(visible=False, axis="y")
        for number in range(1, len(names)):
            axis.axhline(number - 0.5, color="#eeeeee", linewidth=0.8, zorder=1)
    axes[0][0].set_yticks(range(len(names)), [titles[name] for name in names])
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    _finish(figure, results["gates"], f"Harmless ramps that were stopped; the dotted line is alpha, {ALPHA:.0%}")
    return figure


def _ordered(gates: Sequence[str]) -> list[str]:
    """Ours last, on top of the others."""
    return sorted((name for name in TITLES if name in gates), key=lambda name: name == OURS)


def _finish(figure: Any, gates: Sequence[str], title: str) -> None:
    entries = [
        Line2D(
            [],
            [],
            color=LOOKS[name][0],
            marker=LOOKS[name][1],
            linestyle="--" if name in (LIMIT, TWO_ARMS) else "-",
            label=TITLES[name],
        )
        for name in TITLES
        if name in gates
    ]
    width, height = figure.get_size_inches()
    columns = min(len(entries), max(1, int(width / 1.9)))
    figure.legend(handles=entries, loc="lower center", ncol=columns, frameon=False)
    figure.suptitle(title, fontsize=12)
    figure.tight_layout(rect=(0, (0.1 + 0.25 * -(-len(entries) // columns)) / height, 1, 1))
