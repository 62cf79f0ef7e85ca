# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The charts of a report as SVG texts, drawn with matplotlib. Same report, same bytes."""

from __future__ import annotations

import io
from typing import Any

INK, FAINT, GOOD, BAD, FIRST, SECOND = "#1f2933", "#c3ccd5", "#2f9e6e", "#c92a2a", "#2563b0", "#d9822b"
SIZE = (9.6, 2.7)
SLOW = 0.5
# Legends stand above the axes, where no line runs through them.
ABOVE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 1.06),
    "ncols": 4,
    "fontsize": 8,
    "borderaxespad": 0.0,
}


def draw(report: dict[str, Any]) -> dict[str, str]:
    """All charts that the report has data for: share, traffic, latency, variants, timeline."""
    import matplotlib

    matplotlib.use("Agg")
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": str(report["rollout"]),
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e8ecf0",
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
    }
    drawn = {}
    with matplotlib.rc_context(settings):
        for name, chart in (
            ("share", _share),
            ("traffic", _traffic),
            ("latency", _latency),
            ("variants", _variants),
            ("timeline", _timeline),
        ):
            figure = chart(report)
            if figure is not None:
                drawn[name] = _svg(figure, f"{report['rollout']}-{name}")
    return drawn


def _svg(figure: Any, name: str) -> str:
    """The figure as an svg element to stand in a page, its ids made different from those of other charts."""
    import matplotlib
    import matplotlib.pyplot as plt

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    plt.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg") :].rstrip()
    short = name.rpartition("-")[2]
    for mark in ('id="', "url(#", 'href="#'):
        text = text.replace(mark, f"{mark}{short}-")
    return text


def _axes(report: dict[str, Any], height: float = SIZE[1]) -> tuple[Any, Any]:
    """A figure whose x axis is the time since the start of the rollout."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure, axes = plt.subplots(figsize=(SIZE[0], height), layout="constrained")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 1.5, 3, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(
        FuncFormatter(
            lambda value, _position: f"{'-' if value < 0 else ''}{int(abs(value)) // 60}:{int(abs(value)) % 60:02d}"
        )
    )
    axes.set_xlabel("minutes since the rollout began")
    axes.set_xlim(0, max(_span(report), 1.0))
    return figure, axes


def _start(report: dict[str, Any]) -> float:
    rows = [row["started"] for row in report["steps"] if row["started"] is not None]
    return min(rows) if rows else 0.0


def _span(report: dict[str, Any]) -> float:
    """Seconds that the x axis has to show."""
    ends = [row[key] for row in report["steps"] for key in ("started", "finished")]
    ends += [row[key] for row in report["stages"] for key in ("set", "certified")]
    ends += [row["time"] for row in report["traffic"]] + [row["until"] for row in report["spans"]]
    known = [value for value in ends if value is not None]
    return max(known) - _start(report) if known and report["steps"] else 0.0


def _note(axes: Any, text: str, x: float, y: float, offset: tuple[int, int], **style: str) -> None:
    """A small text beside a point."""
    axes.annotate(text, (x, y), textcoords="offset points", xytext=offset, fontsize=8, **style)


def _turns(axes: Any, report: dict[str, Any]) -> None:
    """Mark when a stage was set and when the features were turned off."""
    start = _start(report)
    for row in report["stages"]:
        if row["set"] is not None:
            axes.axvline(row["set"] - start, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"{row['percent']} %",
                (row["set"] - start, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=8,
                color="#667788",
            )
    off = report["times"]["flags_off_at"]
    if off is not None:
        axes.axvline(off - start, color=BAD, linewidth=1.2)
        axes.annotate(
            "flags off", (off - start, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=8, color=BAD
        )


def _share(report: dict[str, Any]) -> Any:
    reached = [row for row in report["stages"] if row["set"] is not None]
    if not reached:
        return None
    figure, axes = _axes(report)
    start = _start(report)
    times = [0.0, *(row["time"] - start for row in report["shares_set"])]
    shares = [0, *(row["percent"] for row in report["shares_set"])]
    times.append(max(_span(report), times[-1]))
    shares.append(shares[-1])
    axes.step(times, shares, where="post", color=INK, linewidth=1.6, label="share set")
    axes.fill_between(times, shares, step="post", color=FIRST, alpha=0.10)
    flags = sorted({flag for row in reached for flag in row["shares"]})
    for position, flag in enumerate(flags):
        points = [(row["set"] - start, row["shares"][flag]) for row in reached if flag in row["shares"]]
        axes.plot(
            *zip(*points),
            "os^Dv"[position % 5],
            color=(FIRST, SECOND, GOOD)[position % 3],
            markersize=6,
            label=f"{flag}, measured",
        )
    for row in reached:
        if row["certified"] is not None:
            axes.plot(
                row["certified"] - start, row["percent"], marker="|", color=GOOD, markersize=14, markeredgewidth=2.5
            )
            _note(axes, "certified", row["certified"] - start, row["percent"], (-4, 6), ha="right", color=GOOD)
    axes.set_ylim(0, 112)
    axes.set_ylabel("% of the users")
    axes.legend(**ABOVE)
    return figure


def _traffic(report: dict[str, Any]) -> Any:
    rows = [row for row in report["traffic"] if row["requests"] is not None and row["seconds"]]
    if not rows:
        return None
    figure, axes = _axes(report)
    start = _start(report)
    times = [row["time"] - start for row in rows]
    axes.plot(
        times, [row["requests"] / row["seconds"] for row in rows], color=FIRST, linewidth=1.4, label="requests a second"
    )
    failed = [(time, row["failed"] / row["seconds"]) for time, row in zip(times, rows) if row["failed"]]
    if failed:
        axes.vlines(
            [time for time, _value in failed],
            0,
            [value for _time, value in failed],
            color=BAD,
            linewidth=2.5,
            label="failed a second",
        )
    else:
        axes.plot([], [], color=BAD, linewidth=2.5, label="failed: none")
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_ylabel("requests a second")
    _turns(axes, report)
    axes.legend(**ABOVE)
    return figure


def _latency(report: dict[str, Any]) -> Any:
    rows = [row for row in report["traffic"] if row["p50"] is not None or row["p95"] is not None]
    if not rows:
        return None
    figure, axes = _axes(report)
    start = _start(report)
    for key, colour in (("p95", SECOND), ("p50", FIRST)):
        points = [(row["time"] - start, 1000 * row[key]) for row in rows if row[key] is not None]
        if points:
            axes.plot(*zip(*points), color=colour, linewidth=1.4, label=key)
    axes.axhline(1000 * SLOW, color=BAD, linewidth=1, linestyle=(0, (2, 3)), label="slow from here on")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("milliseconds")
    _turns(axes, report)
    axes.legend(**ABOVE)
    return figure


def _variants(report: dict[str, Any]) -> Any:
    import matplotlib.pyplot as plt

    features = sorted(report["features"])
    if not features:
        return None
    figure, both = plt.subplots(1, 2, figsize=(SIZE[0], 0.9 + 0.55 * len(features)), layout="constrained", sharey=True)
    for axes, key, title in ((both[0], "errors", "failed requests, %"), (both[1], "slow", "slow requests, %")):
        for offset, variant, colour, label in (
            (-0.19, "on", SECOND, "with the feature"),
            (0.19, "off", FIRST, "without it"),
        ):
            shares = [_percent(report["features"][feature][variant], key) for feature in features]
            positions = [position + offset for position in range(len(features))]
            axes.barh(positions, [share or 0 for share in shares], height=0.34, color=colour, label=label)
            for position, share in zip(positions, shares):
                _note(axes, "no data" if share is None else f"{share:.2g} %", share or 0, position, (4, 0), va="center")
        axes.set_yticks(range(len(features)), features)
        axes.set_title(title, fontsize=9, loc="left")
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, max(1.0, 1.25 * axes.get_xlim()[1]))
    both[0].invert_yaxis()
    both[1].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8)
    return figure


def _percent(arm: dict[str, float | None], key: str) -> float | None:
    requests, bad = arm["requests"], arm[key]
    return None if not requests or bad is None else 100 * bad / requests


def _timeline(report: dict[str, Any]) -> Any:
    steps = [row for row in report["steps"] if row["started"] is not None]
    if not steps:
        return None
    names = list(dict.fromkeys(row["step"] for row in steps))
    hosts = list(dict.fromkeys(row["host"] for row in report["spans"]))
    figure, axes = _axes(report, 0.9 + 0.3 * (len(names) + len(hosts)))
    start, end = _start(report), _start(report) + _span(report)
    for row in steps:
        until = row["finished"] if row["finished"] is not None else end
        colour = {"finished": FIRST, "failed": BAD}.get(row["state"], SECOND)
        axes.barh(
            names.index(row["step"]),
            max(until - row["started"], 0.005 * (end - start)),
            left=row["started"] - start,
            height=0.55,
            color=colour,
        )
    for row in report["spans"]:
        until = row["until"] if row["until"] is not None else end
        colour = {"released": GOOD, "returned": SECOND, "lost": BAD}.get(row["why"], FAINT)
        position = len(names) + hosts.index(row["host"])
        axes.barh(
            position,
            max(until - row["since"], 0.005 * (end - start)),
            left=row["since"] - start,
            height=0.55,
            color=colour,
        )
        _note(axes, f"out of traffic, {row['why']}", until - start, position, (4, 0), va="center")
    axes.set_yticks(range(len(names) + len(hosts)), [*names, *hosts])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure
