# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as text for the screen: the timeline first, then what the traffic can show, then each step with what undoes it
and its risk."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import elapsed, percent, span
from ansible_collections.gradual.rollout.plugins.module_utils.gate import sentences
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan.steps import PlanError

BAR = 28
WIDTH = 110


def name_of(row: Mapping[str, Any]) -> str:
    """What the screen calls a step: its name, with the share for a stage of the ramp, and "A/A" for what comes before
    the first one."""
    if row.get("stage") is None:
        return str(row["step"])
    return f"{row['step']} {row['stage']} %" if row["stage"] else f"{row['step']} A/A"


def time_bar(start: float, end: float, total: float) -> str:
    """A bar of BAR characters with `#` from start to end; at least one `#`."""
    if total <= 0:
        return "." * BAR
    first = min(BAR - 1, int(start / total * BAR))
    last = max(first + 1, min(BAR, round(end / total * BAR)))
    return "." * first + "#" * (last - first) + "." * (BAR - last)


def render(plan: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any] | None = None) -> str:
    """The plan as lines of at most WIDTH characters, without a newline at the end."""
    if isinstance(plan, (str, Mapping)) or not all(isinstance(row, Mapping) and "step" in row for row in plan):
        raise PlanError(f"plan_text: expected the list that rollout_plan returns, got {plan!r:.80}")
    now = [row for row in plan if not row.get("later")]
    total = sum(row.get("expected_seconds") or 0 for row in now)
    measured = [row for row in now if row.get("source") == "earlier runs"]
    of = f"{manifest['application']} {manifest.get('version', '')} " if manifest else ""
    basis = (
        "as earlier runs took" if len(measured) == len(now) and now else "partly estimated" if measured else "estimated"
    )
    lines = [f"PLAN  {of}in {len(now)} steps, about {span(total)} ({basis})", ""]
    lines += _timeline(now, total)
    lines += _power(plan)
    for row in plan:
        lines += ["", *_details(row)]
    lines += ["", *textwrap.wrap(_turning_point(plan), WIDTH)]
    return "\n".join(line.rstrip() for line in lines)


def _timeline(now: list[Mapping[str, Any]], total: float) -> list[str]:
    lines = [f"  {'step':<12} {'starts':>7} {'takes':>11}  {'timeline':<{BAR}}  {'figure from':<13} state"]
    start = 0.0
    for row in now:
        seconds = row.get("expected_seconds") or 0
        lines.append(
            f"  {name_of(row):<12} {elapsed(start):>7} {span(seconds):>11}  {time_bar(start, start + seconds, total)}  "
            f"{row.get('source') or '-':<13} {row.get('state', 'to do')}"
        )
        start += seconds
    return lines


def _power(plan: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of all stages with what else is to be known; [] for a plan that was made without a forecast."""
    rows = [row for row in plan if row.get("power")]
    if not rows:
        return []
    first = rows[0]["power"]
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(first["until"]))
    found = [f"AT THE TRAFFIC OF THE LAST {first['hours']:g} H  (until {until}; each time with a chance of 80 %)"]
    told = [_power_line(row["stage"], each, row["power"]) for row in rows for each in row["power"]["metrics"]]
    if told:
        harm = f"{first['ratio']:g} times as bad"
        heads = ("stage", "metric", "requests", "bad", f"{harm}: stopped", "harmless: certified")
        widest = [max(len(line[place]) for line in [heads, *told]) for place in range(len(heads))]
        found += ["  " + "  ".join(cell.ljust(size) for cell, size in zip(line, widest)) for line in [heads, *told]]
    for sentence in [*(f"not measured: {each}" for each in first["not_measured"]), *first["notes"]]:
        found += textwrap.wrap(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return ["", *found]


def _power_line(stage: int, each: Mapping[str, Any], power: Mapping[str, Any]) -> tuple[str, ...]:
    by_share = each["by_share"] is not None and (each["by_margin"] is None or each["by_share"] < each["by_margin"])
    certified = each["by_share"] if by_share else each["by_margin"]
    return (
        f"{stage} %",
        sentences.name(each),
        f"{each['rate']:.3g}/s",
        percent(each["share"]),
        _when(each["harm"], power) if power["control"] else "nobody to compare with",
        _when(certified, power) + (", by its share" if by_share else ""),
    )


def _when(seconds: float | None, power: Mapping[str, Any]) -> str:
    return f"not in {span(power['farthest'])}" if seconds is None else f"in {span(seconds)}"


def _details(row: Mapping[str, Any]) -> list[str]:
    head = name_of(row).upper() + ("   *** THE POINT OF NO RETURN ***" if row.get("point_of_no_return") else "")
    lines = [head]
    labels = (("what", "what"), ("changes", "changes"), ("undo", "undo"))
    for label, key in labels + (("risk", "risk"), ("seen by", "seen_by"), ("then", "then")):
        text = textwrap.wrap(str(row.get(key, "-")), WIDTH - 11, break_long_words=False) or ["-"]
        lines += [f"  {label:<8} {text[0]}", *(f"  {'':<8} {more}" for more in text[1:])]
    for one in row.get("phases") or []:
        told = f"{one['revision']} counts as {one['phase']}: {one['reason']}"
        lines += textwrap.wrap(told, WIDTH, initial_indent="  phase    ", subsequent_indent=" " * 11)
    return lines


def _turning_point(plan: Sequence[Mapping[str, Any]]) -> str:
    points = [row for row in plan if row.get("point_of_no_return")]
    if any(not row.get("later") for row in points):
        return (
            f"Point of no return: {', '.join(name_of(row) for row in points)}. Until then rollback.yml brings users"
            " back."
        )
    after = f" The point lies in {points[0]['step']}.yml, which only a person starts." if points else ""
    return f"No step of deploy.yml is a point of no return: rollback.yml brings users back at every moment.{after}"
