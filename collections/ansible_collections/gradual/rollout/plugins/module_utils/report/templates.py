# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The Jinja environment of the report's templates, with the figures of common/text as filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common import text


def seconds(value: float | None) -> str:
    """A time as a person says it; a dash when it was not measured."""
    return "-" if value is None else text.span(value)


def evidence(names: Sequence[str], report: dict[str, Any]) -> str:
    """The claims of a criterion with the lines that show them; a claim without evidence says its status."""
    claims = {claim["id"]: claim for claim in report["claims"]}
    return (
        "; ".join(
            f"{name}: {text.ranges(claims[name]['evidence']) if claims[name]['evidence'] else claims[name]['status']}"
            for name in names
        )
        or "-"
    )


FILTERS: dict[str, Callable[..., str]] = {
    "time_of_day": text.time_of_day,
    "seconds": seconds,
    "milliseconds": text.milliseconds,
    "number": text.number,
    "shares": text.shares,
    "ranges": text.ranges,
    "evidence": evidence,
}


def environment(autoescape: bool, **more: Callable[..., str]) -> Any:
    """A Jinja environment with FILTERS and `more`; a misspelt name is an error."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    made.filters.update({**FILTERS, **more})
    return made
