# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What both templates need to say figures, times and evidence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span


def clock(moment: Any) -> str:
    """Epoch seconds as 12:34:56 UTC, or a dash."""
    return "-" if moment is None else datetime.fromtimestamp(moment, timezone.utc).strftime("%H:%M:%S")


def seconds(value: Any) -> str:
    return "-" if value is None else span(value)


def milliseconds(value: Any) -> str:
    return "-" if value is None else f"{1000 * value:.0f} ms"


def figure(value: Any) -> str:
    """A count with thousands set apart, or a dash when it was not measured."""
    return "-" if value is None else f"{value:,.0f}"


def shares(values: dict[str, float]) -> str:
    return ", ".join(f"{flag} {value:.1f} %" for flag, value in sorted(values.items())) or "not measured"


def lines(seqs: list[int]) -> str:
    """1, 2, 3, 7 as 1-3, 7."""
    parts: list[list[int]] = []
    for seq in sorted(seqs):
        if parts and seq == parts[-1][-1] + 1:
            parts[-1].append(seq)
        else:
            parts.append([seq])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts) or "-"


def evidence(names: list[str], report: dict[str, Any]) -> str:
    """The claims of a criterion with the lines that show them; a claim without evidence says its status."""
    claims = {claim["id"]: claim for claim in report["claims"]}
    return (
        "; ".join(
            f"{name}: {lines(claims[name]['evidence']) if claims[name]['evidence'] else claims[name]['status']}"
            for name in names
        )
        or "-"
    )


def environment(autoescape: bool, **more: Callable[..., Any]) -> Any:
    """A Jinja environment that fails on a misspelt name and knows these words as filters."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    filters: dict[str, Callable[..., Any]] = {
        function.__name__: function for function in (clock, seconds, milliseconds, figure, shares, lines, evidence)
    }
    made.filters.update({**filters, **more})
    return made
