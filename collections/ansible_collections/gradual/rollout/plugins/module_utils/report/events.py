# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The events of one rollout, and the shape of a claim made from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import unfolded
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch

Line = dict[str, Any]
Claim = dict[str, Any]

SHOWN, FAILED, NOT_MEASURED, NOT_NEEDED = "shown", "failed", "not measured", "not needed"
# Events about the record itself: they say nothing about the rollout, and writing a report adds some.
ASIDE = ("lease.", "report.")


class ReportError(Exception):
    """Why there is no report, the value seen and what to do next."""


class Events:
    """The lines of one rollout in their order; `all` are those of the whole ledger up to its last one."""

    def __init__(self, lines: Iterable[Line], rollout: str) -> None:
        lines = list(lines)
        mine = [line for line in lines if line["rollout"] == rollout and not line["event"].startswith(ASIDE)]
        if not mine:
            known = ", ".join(dict.fromkeys(str(line["rollout"]) for line in lines)) or "none"
            raise ReportError(f"The ledger knows no rollout {rollout!r}. It knows: {known}")
        self.rollout = rollout
        self.lines = unfolded(mine)
        self.all = [line for line in lines if line["seq"] <= mine[-1]["seq"]]

    def of(self, event: str, **wanted: Any) -> list[Line]:
        """The lines of this event whose data have these values."""
        return [
            line
            for line in self.lines
            if line["event"] == event and all(line["data"].get(key) == value for key, value in wanted.items())
        ]

    def first(self, event: str, **wanted: Any) -> Line | None:
        found = self.of(event, **wanted)
        return found[0] if found else None

    def last(self, event: str, **wanted: Any) -> Line | None:
        found = self.of(event, **wanted)
        return found[-1] if found else None

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest that the rollout began with; empty if the record has none."""
        started = self.first("rollout.started")
        return mapping(started["data"].get("manifest")) if started else {}

    @property
    def has_database(self) -> bool:
        """Whether there is one: preflight accepts the backup method none only if the inventory has no database."""
        return mapping(self.manifest.get("backup")).get("method") != "none"

    @property
    def features(self) -> list[str]:
        """The flags of the manifest."""
        found = [mapping(feature).get("flag") for feature in items(self.manifest.get("features"))]
        return [str(flag) for flag in found if flag]


def claim(
    name: str,
    statement: str,
    value: Any,
    evidence: Iterable[Line | None],
    recompute: str,
    *,
    good: bool | None = True,
    criteria: tuple[int, ...] = (),
    qualities: tuple[str, ...] = (),
    otherwise: str = "",
) -> Claim:
    """A claim. Without evidence, or without a value, it is not measured, whatever was said of it.

    `good` None means that there was nothing to measure because it was not needed, which `statement` explains.
    `otherwise` is the sentence for a claim that was not measured.
    """
    seqs = sorted({line["seq"] for line in evidence if line is not None})
    if good is None:
        status = NOT_NEEDED
    elif value is None or not seqs:
        status, value, seqs = NOT_MEASURED, None, []
        statement = f"not measured: {otherwise or 'the record holds nothing about it'}"
    else:
        status = SHOWN if good else FAILED
    return {
        "id": name,
        "statement": statement,
        "status": status,
        "value": value,
        "evidence": seqs,
        "recompute": recompute,
        "criteria": list(criteria),
        "qualities": list(qualities),
    }


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: data come from roles and are read with care."""
    return dict(value) if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return list(value) if isinstance(value, (list, tuple)) else []


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def count(value: Any) -> int | None:
    """The value as a whole number, else None."""
    found = number(value)
    return None if found is None else round(found)


def at(line: Line | None) -> float | None:
    """Seconds since 1970 of a line."""
    return None if line is None else epoch(line["time"])


def between(start: float | None, end: float | None) -> float | None:
    """Seconds from start to end, never below 0; None when one of them is not known."""
    return None if start is None or end is None else round(max(0.0, end - start), 3)


def plural(number_of: int, word: str) -> str:
    """1 host, 2 hosts, 1 process, 2 processes."""
    return f"{number_of} {word}" if number_of == 1 else f"{number_of} {word}{'es' if word.endswith('s') else 's'}"
