"""What a gate decided on each trace of a batch, and what that cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.bench.traffic import Batch, trace

Json = dict[str, Any]
Decide = Callable[[Mapping[str, Any], float], Mapping[str, Any]]
Whole = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Verdicts of many traces, (r,) each."""

    verdict: npt.NDArray[np.str_]
    """promote, abort or hold."""
    looks: Whole
    """(r, stage): looks spent in each stage, the deciding one included; 0 where the stage was not reached."""


def decide(batch: Batch, how: Decide) -> Decisions:
    """The decisions of a gate that reads one trace at a time: how(trace, seconds of a look) -> {"verdict", "stage":
    percent, "look"}."""
    verdict, looks = [], np.zeros((len(batch), len(batch.stages)), dtype=np.int64)
    for index in range(len(batch)):
        read = trace(batch, index)
        decision = how(read, batch.shape.interval)
        verdict.append(str(decision["verdict"]))
        looks[index] = _spent(read, decision, how, batch.shape.interval)
    return Decisions(np.array(verdict), looks)


def _spent(read: Json, decision: Mapping[str, Any], how: Decide, interval: float) -> list[int]:
    """Looks spent in each stage. A gate may tell ("looks": one number a stage); of one that does not, the trace is cut
    off after each
    stage to see when it left that."""
    stages = read["stages"]
    reached = [stage["percent"] for stage in stages].index(decision["stage"])
    rest = [0] * (len(stages) - reached - 1)
    if "looks" in decision:
        return [*decision["looks"], *rest][: len(stages)]
    before = []
    for number in range(reached):
        until_there = how({**read, "stages": stages[: number + 1]}, interval)
        before.append(int(until_there["look"]))
    return [*before, int(decision["look"]), *rest]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What decisions came to, (r,) each."""

    looks: Whole
    """Looks until the decision, over all stages."""
    since_harm: Whole
    """Looks until the decision since the feature began to do harm; as `looks` where it does none. Below 1: decided
    before."""
    bad: Whole
    """Bad requests that the treatment was served until the decision."""
    bad_to_the_end: Floats
    """Bad requests of those with the feature in the longest time that the ramp may take: none after a stop, those of
    everybody after a
    promotion, those of the stage's users while it holds. Else a gate that promotes at once would seem the kindest."""


def cost(batch: Batch, decisions: Decisions) -> Cost:
    """The cost of decisions on a batch."""
    spent = decisions.looks
    bad = np.zeros(len(batch), dtype=np.int64)
    for number, phase in enumerate(batch.stages):
        inside = np.arange(phase.counts.shape[1])[None, :] < spent[:, number, None]
        bad += (phase.counts[:, :, 1] * inside * phase.seen).sum(axis=1)
    looks = spent.sum(axis=1)
    return Cost(looks, looks - _before_harm(batch, spent), bad, bad + _afterwards(batch, decisions, looks))


def _before_harm(batch: Batch, spent: Whole) -> Whole:
    """Looks of the ramp as the gate led it, before the harm began; all of them where it never came to it."""
    before = np.zeros(len(batch), dtype=np.int64)
    if batch.scenario.harmless:
        return before
    waiting = np.ones(len(batch), dtype=bool)
    for number, phase in enumerate(batch.stages):
        before += np.where(waiting, np.minimum(phase.began, spent[:, number]), 0)
        waiting &= phase.began >= spent[:, number]
    return before


def _afterwards(batch: Batch, decisions: Decisions, looks: Whole) -> Floats:
    left = sum(phase.counts.shape[1] for phase in batch.stages) - looks
    at_stage = np.maximum((decisions.looks > 0).sum(axis=1) - 1, 0)
    held = np.stack([_a_look(phase, phase.counts[:, :, 1]) for phase in batch.stages])[at_stage, np.arange(len(batch))]
    last = batch.stages[-1]
    everybody = _a_look(last, last.counts[:, :, 0] + last.counts[:, :, 2])
    share = last.counts[:, :, 1].sum(axis=1) / np.maximum(last.counts[:, :, 0].sum(axis=1), 1)
    each = np.select([decisions.verdict == "promote", decisions.verdict == "hold"], [everybody * share, held], 0.0)
    return np.asarray(left * each)


def _a_look(phase: Any, counts: Whole) -> Floats:
    """Mean count of a look that was seen, (r,)."""
    return np.asarray((counts * phase.seen).sum(axis=1) / np.maximum(phase.seen.sum(axis=1), 1))


def quantile(values: Whole, among: npt.NDArray[np.bool_], share: float) -> float | None:
    """The look by which `share` of all traces had come to `among`; None where fewer did."""
    wanted = math.ceil(share * len(values))
    times = np.sort(values[among])
    return None if wanted < 1 or len(times) < wanted else float(times[wanted - 1])
