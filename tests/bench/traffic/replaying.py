"""Simulated traces in the format of `make replay`."""

from __future__ import annotations

import json
import typing

import numpy as np

from .simulate import PERCENTS, Batch, Phase

Json = dict[str, typing.Any]


def trace(batch: Batch, index: int) -> Json:
    """One trace: {"name", "stages": [{"percent", "aa": [look], "looks": [look or null]}]}."""
    phases = zip(PERCENTS, batch.aa, batch.stages, strict=True)
    stages = [
        {"percent": percent, "aa": _looks(aa, index), "looks": _looks(stage, index)} for percent, aa, stage in phases
    ]
    return {"name": f"{batch.scenario.name}/{batch.rate:g}/{batch.first + index}", "stages": stages}


def _looks(phase: Phase, index: int) -> list[Json | None]:
    return [
        {"treatment": {"events": a, "bad": b}, "control": {"events": c, "bad": d}} if seen else None
        for (a, b, c, d), seen in zip(phase.counts[index].tolist(), np.asarray(phase.seen[index]).tolist(), strict=True)
    ]


def document(batch: Batch) -> str:
    """The replay file, JSON, one trace a line."""
    lines = ",\n".join(json.dumps(trace(batch, index), separators=(",", ":")) for index in range(len(batch)))
    return f'{{"interval_seconds":{batch.shape.interval:g},"traces":[\n{lines}\n]}}\n'
