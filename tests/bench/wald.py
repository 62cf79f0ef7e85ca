"""The limit: sequential probability ratio tests that are told what no gate can know.

`one arm` knows the harm's true ratio, when it begins, the offset of the treatment, and the base share of every
interval. So it needs no control:
the bad ones of the treatment are binomial, with the base share times the tolerated ratio, or with the share that is
really there.
Source: Wald, Sequential Analysis (1947), with the upper boundary 1/alpha alone: it may go on for ever, and by Ville's
inequality stops with a
chance of at most alpha where the ratio is the tolerated one.

`two arms` knows all but the base share of an interval, as any gate that compares arms within an interval: of the bad
ones of both arms, those of the
treatment are binomial. How far it is from `one arm` is the price of not trusting the past; how far ours is from it,
that of not knowing the ratio.

Certifying is the mirrored test against the margin, told the true ratio where that is below, else the ratio 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tests.bench.decisions import Decisions
from tests.bench.traffic import Batch, Phase

Floats = npt.NDArray[np.float64]

ALPHA, CERTIFY_ALPHA = 0.05, 0.10
TOLERATED, MARGIN = 1.25, 2.0
MOST = 0.999
# What it looks for where there is no harm to be told of.
DESIGN = 2.0


Decide = Callable[[Batch], Decisions]


def one_arm(batch: Batch) -> Decisions:
    """Decisions on the treatment's counts alone."""
    return _decide(batch, one_arm_gain)


def two_arms(batch: Batch) -> Decisions:
    """Decisions on how the bad ones of both arms divide."""
    return _decide(batch, two_arms_gain)


def _decide(batch: Batch, gain: Callable[[Phase, float, Floats], Floats]) -> Decisions:
    traces = len(batch)
    verdict = np.full(traces, "promote", dtype="<U7")
    looks = np.zeros((traces, len(batch.stages)), dtype=np.int64)
    harm = np.zeros(traces)
    for number, phase in enumerate(batch.stages):
        to_abort, to_certify = _ratios(phase, batch)
        against = harm[:, None] + np.cumsum(gain(phase, TOLERATED, to_abort), axis=1)
        harmless = np.cumsum(gain(phase, MARGIN, to_certify), axis=1)
        total = against.shape[1]
        stopped, certified = _first(against >= math.log(1 / ALPHA)), _first(harmless >= math.log(1 / CERTIFY_ALPHA))
        going = verdict == "promote"
        last = np.minimum(np.minimum(stopped, certified), total - 1)
        looks[:, number] = np.where(going, last + 1, 0)
        verdict[going & (stopped <= certified) & (stopped < total)] = "abort"
        verdict[going & (stopped == total) & (certified == total)] = "hold"
        harm = against[np.arange(traces), last]
    return Decisions(verdict, looks)


def _ratios(phase: Phase, batch: Batch) -> tuple[Floats, Floats]:
    """The ratio to the base share that each test takes for true, (r, t) each; TOLERATED and MARGIN where it is to learn
    nothing."""
    harmed = np.arange(phase.counts.shape[1])[None, :] >= phase.began[:, None]
    true = np.divide(phase.true, phase.base, out=np.ones_like(phase.true), where=phase.base > 0)
    if batch.scenario.harmless:
        return np.full_like(true, DESIGN), np.where(true < MARGIN, true, 1.0)
    return np.where(harmed, np.maximum(true, TOLERATED), TOLERATED), np.where(true < MARGIN * 0.999, true, 1.0)


def one_arm_gain(phase: Phase, null: float, ratio: Floats) -> Floats:
    """log likelihood ratio of each look, (r, t): bad share base * ratio against base * null."""
    events, bad = phase.counts[:, :, 0], phase.counts[:, :, 1]
    usable = phase.seen & (phase.base > 0)
    base = np.where(usable, phase.base, 0.5 / MARGIN)
    there, assumed = np.minimum(base * ratio, MOST), np.minimum(base * null, MOST)
    gain = bad * np.log(there / assumed) + (events - bad) * np.log((1 - there) / (1 - assumed))
    return np.where(usable, gain, 0.0)


def two_arms_gain(phase: Phase, null: float, ratio: Floats) -> Floats:
    """log likelihood ratio of each look, (r, t): of the bad ones, these to the treatment, with its share ratio or null
    times the base."""
    events, bad, events_control, bad_control = (phase.counts[:, :, column] for column in range(4))
    usable = phase.seen & (phase.base > 0) & (phase.control > 0)
    # The offset of the arms: what the treatment would have without the feature against what the control has.
    weight = np.where(usable, events * np.where(usable, phase.base, 1.0) / np.where(usable, phase.control, 1.0), 1.0)
    rest = np.where(usable, np.maximum(events_control, 1e-9), 1.0)
    weight = np.maximum(weight, 1e-9)
    there, assumed = (weight * times / (weight * times + rest) for times in (ratio, null))
    gain = bad * np.log(there / assumed) + bad_control * np.log((1 - there) / (1 - assumed))
    return np.where(usable, gain, 0.0)


def _first(reached: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Index of the first True of each row, their number where there is none."""
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1]))
