"""Recorded rollouts, written down short for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def look(bad: int, events: int = 100, control: int = 0) -> dict[str, Any]:
    """A look: `bad` of `events` in the treatment, `control` of as many in the control."""
    return {"treatment": {"events": events, "bad": bad}, "control": {"events": events, "bad": control}}


def trace(*stages: tuple[int, Sequence[dict[str, Any] | None]]) -> dict[str, Any]:
    """A trace of stages, each its percentage and its looks (None: not seen), without an A/A."""
    return {
        "name": "a trace",
        "stages": [{"percent": percent, "aa": [], "looks": list(looks)} for percent, looks in stages],
    }


def told(decision: dict[str, Any]) -> tuple[str, int, int, int]:
    """A decision as (verdict, stage, look, bad events served)."""
    return decision["verdict"], decision["stage"], decision["look"], decision["bad_served"]
