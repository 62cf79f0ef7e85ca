"""From decisions to the figures of a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tests.bench.decisions import Cost, Decisions, Json, quantile

# Points of the curve "stopped by": looks since the harm began.
CURVE = sorted({round(10 ** (k / 12)) for k in range(36)})


def joined(parts: Sequence[tuple[Decisions, Cost]]) -> tuple[Decisions, Cost]:
    """The parts of a cell as one."""
    decisions = Decisions(
        *(np.concatenate([getattr(part[0], name) for part in parts]) for name in ("verdict", "looks"))
    )
    names = ("looks", "since_harm", "bad", "bad_to_the_end")
    return decisions, Cost(*(np.concatenate([getattr(part[1], name) for part in parts]) for name in names))


def figures(decisions: Decisions, cost: Cost) -> Json:
    """The figures of one gate in one cell. Looks are over all stages and counted over all traces: a median is None
    where not half got there."""
    traces = len(decisions.verdict)
    stopped, certified = decisions.verdict == "abort", decisions.verdict == "promote"
    return {
        "stopped": share(stopped),
        "stopped_range": interval(int(stopped.sum()), traces),
        "looks_stopped": {
            "median": quantile(cost.since_harm, stopped, 0.5),
            "p90": quantile(cost.since_harm, stopped, 0.9),
        },
        "certified": share(certified),
        "certified_range": interval(int(certified.sum()), traces),
        "looks_certified": {
            "median": quantile(cost.looks, certified, 0.5),
            "p90": quantile(cost.looks, certified, 0.9),
        },
        "held": share(decisions.verdict == "hold"),
        "bad": _middle(cost.bad),
        "bad_to_the_end": _middle(cost.bad_to_the_end),
        "stopped_by": [round(float(np.mean(stopped & (cost.since_harm <= look))), 4) for look in CURVE],
    }


def share(which: np.typing.NDArray[np.bool_]) -> float:
    return round(float(which.mean()), 5)


def interval(hits: int, trials: int, z: float = 1.96) -> list[float]:
    """The 95 % range of a share, by Wilson's formula (JASA 22, 1927)."""
    middle = (hits + z * z / 2) / (trials + z * z)
    half = z * math.sqrt(hits * (trials - hits) / trials + z * z / 4) / (trials + z * z)
    return [round(max(0.0, middle - half), 5), round(min(1.0, middle + half), 5)]


def _middle(values: np.typing.NDArray[np.float64] | np.typing.NDArray[np.int64]) -> Json:
    return {"mean": round(float(values.mean()), 2), "median": round(float(np.median(values)), 2)}


def by_cell(results: Mapping[str, list[Json]]) -> dict[tuple[str, float, float], Json]:
    """The cells of results.json by scenario, rate and base share."""
    return {(cell["scenario"], cell["rate"], cell["base"]): cell for cell in results["cells"]}
