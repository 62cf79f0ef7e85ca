"""Reading a recorded rollout as one of the other products would have measured it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NAN = float("nan")


def group_size(interval: float, period: float | None) -> int:
    """How many looks, `interval` seconds apart, make one measurement every `period` seconds; None: each look is one."""
    return 1 if period is None else max(1, round(period / interval))


def measurements(looks: Sequence[Mapping[str, Any] | None], size: int) -> list[tuple[int, Mapping[str, Any] | None]]:
    """The measurements of a stage: (number of the look it is taken at, from 1; the counts of its looks taken together
    or None).

    A measurement of which no look was seen is None; what is left over at the end of the stage is not measured.
    """
    if size == 1:
        return list(enumerate(looks, start=1))
    return [(end, together(looks[end - size : end])) for end in range(size, len(looks) + 1, size)]


def together(looks: Sequence[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The counts of several looks as those of one, None where none of them was seen."""
    seen = [look for look in looks if look is not None]
    if not seen:
        return None
    return {
        arm: {count: sum(look[arm][count] for look in seen) for count in ("events", "bad")}
        for arm in ("treatment", "control")
    }


def share(look: Mapping[str, Any] | None, arm: str) -> float:
    """The share of bad events of an arm, between 0 and 1; NaN where nothing was seen or nothing happened, as PromQL's 0
    / 0."""
    if look is None or not look[arm]["events"]:
        return NAN
    return float(look[arm]["bad"]) / float(look[arm]["events"])


def bad_events(looks: Sequence[Mapping[str, Any] | None]) -> int:
    """The bad events that the treatment served in these looks; of one that nobody saw, none are known."""
    known: list[int] = [look["treatment"]["bad"] for look in looks if look is not None]
    return sum(known)


def decision(trace: Mapping[str, Any], verdict: str, left: Sequence[int]) -> dict[str, Any]:
    """The decision, from the number of looks (from 1; 0: before any) at which each stage that was entered was left, the
    last one with the verdict.

    What a stage recorded after it was left, nobody was served: the share of users had grown by then.
    """
    stages = trace["stages"]
    served = sum(bad_events(stage["looks"][:looks]) for stage, looks in zip(stages, left))
    return {"verdict": verdict, "stage": stages[len(left) - 1]["percent"], "look": left[-1], "bad_served": served}


def is_missing(value: float | None) -> bool:
    """Whether a query has brought no number."""
    return value is None or math.isnan(value)
