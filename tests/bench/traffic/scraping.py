"""What Prometheus does not see of the counts: restarted hosts, missing looks, gaps."""

from __future__ import annotations

import typing

import numpy as np
import numpy.typing as npt

from .population import Floats
from .scenarios import Scraping

if typing.TYPE_CHECKING:
    from .simulate import Shape

SHORTEST, LONGEST = 3, 12
Counts = typing.TypeVar("Counts", npt.NDArray[np.int64], Floats)


def lost_to_restarts(what: Scraping, interval: float, size: tuple[int, ...], random: np.random.Generator) -> Floats:
    """Part of each look's counts of each host that a restart took with it: all from the last scrape to the restart, at
    most one restart a look."""
    if not what.restarts:
        return np.zeros(size)
    restarted = random.random(size) < -np.expm1(-what.restarts * interval / 3600.0)
    return np.asarray(restarted * random.random(size))


def seen(
    what: Scraping, traces: int, shape: Shape, random: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """(which looks are seen (r, t), to which look the counts of each are attributed, -1: to none).

    In half of the traces what was not seen is caught up in the next look that is, unless a stage begins between them.
    """
    total = shape.total
    missing = random.random((traces, total)) < what.missing
    begins = random.random((traces, total)) < what.gaps
    lengths = random.integers(SHORTEST, LONGEST + 1, (traces, total))
    until = np.maximum.accumulate(np.where(begins, np.arange(total) + lengths, 0), axis=1)
    missing |= np.arange(total) < until
    caught_up = random.random(traces) < 0.5
    into = np.tile(np.arange(total), (traces, 1))
    stage = np.maximum(np.arange(total) - shape.aa_looks, -1) // shape.looks
    for look in reversed(range(total)):
        later = into[:, look + 1] if look + 1 < total and stage[look + 1] == stage[look] else np.full(traces, -1)
        into[:, look] = np.where(missing[:, look], np.where(caught_up, later, -1), look)
    return ~missing, into


def caught_up(counts: Counts, into: npt.NDArray[np.int64]) -> Counts:
    """Counts (r, t, …) added up where they are attributed to."""
    if bool((into == np.arange(into.shape[1])).all()):
        return counts
    out = np.zeros_like(counts)
    traces = np.arange(len(counts))[:, None].repeat(into.shape[1], axis=1)
    kept = into >= 0
    np.add.at(out, (traces[kept], into[kept]), counts[kept])
    return out
