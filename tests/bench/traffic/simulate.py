"""From a scenario to the counts of every look, for many traces at once.

A trace is an A/A stage with the feature off, then stages at 25 and 50 %, one after the other without a pause. A stage
at 100 % is left out:
nobody is left to compare with, so what is said there is not what this benchmark compares.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import zlib

import numpy as np
import numpy.typing as npt

from . import scraping
from .population import GROUPS, HOSTS, Floats, Population, active, populate
from .scenarios import Incident, Scenario

PERCENTS = (25, 50)
BASE_SHARE = 0.003
BASE_SLOW_SHARE = 0.02
# Service times are log-normal with this standard deviation of the logarithm; the histogram bound is where
# BASE_SLOW_SHARE is above it.
SERVICE_SPREAD = 0.5
MOST = 0.95
# Traces are made in blocks, so that the first ones are the same however many are wanted.
BLOCK = 50


@dataclasses.dataclass(frozen=True)
class Shape:
    """How long a trace is."""

    interval: float = 10.0
    aa_looks: int = 720
    looks: int = 180

    @property
    def total(self) -> int:
        return self.aa_looks + len(PERCENTS) * self.looks


@dataclasses.dataclass
class Phase:
    """Looks of one stage, or of the A/A stage with that stage's arms; r: trace, t: look."""

    counts: npt.NDArray[np.int64]
    """(r, t, 4): events and bad ones of the treatment, events and bad ones of the control."""
    seen: npt.NDArray[np.bool_]
    """(r, t)"""
    base: Floats
    """(r, t): bad share that the treatment would have without the feature, on average; what no gate knows."""
    true: Floats
    """(r, t): the one it has."""
    control: Floats
    """(r, t): that of the control, on average."""
    began: npt.NDArray[np.int64]
    """(r,): look from which on the feature does harm, from 0; the number of looks when it does none in this phase."""


@dataclasses.dataclass
class Batch:
    """Traces of one scenario at one rate."""

    scenario: Scenario
    rate: float
    share: float
    shape: Shape
    aa: list[Phase]
    stages: list[Phase]
    first: int = 0

    def __len__(self) -> int:
        return len(self.stages[0].counts)


def shape_for(rate: float) -> Shape:
    """720 looks before the ramp, then two stages: looks of 10 s and half an hour a stage; where requests are fewer,
    longer ones: less can show nothing."""
    if rate < 5:
        return Shape(interval=60.0)
    return Shape(interval=30.0, looks=120) if rate < 50 else Shape()


def simulate(
    scenario: Scenario,
    rate: float,
    traces: int,
    seed: int = 1,
    share: float | None = None,
    shape: Shape | None = None,
    first: int = 0,
) -> Batch:
    """Traces at `rate` requests a second with a base share of bad ones `share` (default 0.3 %, slow ones 2 %); the same
    for the same arguments.

    `first` is the number of the first one, a multiple of BLOCK: however a batch is divided, its traces are the same.
    """
    if first % BLOCK:
        raise ValueError(f"first is {first}; write a multiple of {BLOCK}")
    shape = shape or shape_for(rate)
    share = share or (BASE_SLOW_SHARE if scenario.slow else BASE_SHARE)
    key = zlib.crc32(f"{scenario.name} {rate:g} {share:g} {shape}".encode())
    numbers = range(first // BLOCK, math.ceil((first + traces) / BLOCK))
    blocks = [_block(scenario, rate, share, shape, np.random.default_rng([seed, key, number])) for number in numbers]
    aa, stages = (
        [_joined([block[kind][stage] for block in blocks], traces) for stage in range(len(PERCENTS))] for kind in (0, 1)
    )
    return Batch(scenario, rate, share, shape, aa, stages, first)


def _joined(phases: list[Phase], traces: int) -> Phase:
    return Phase(
        **{
            field.name: np.concatenate([getattr(phase, field.name) for phase in phases])[:traces]
            for field in dataclasses.fields(Phase)
        }
    )


def _block(
    scenario: Scenario, rate: float, share: float, shape: Shape, random: np.random.Generator
) -> tuple[list[Phase], list[Phase]]:
    population = populate(scenario, BLOCK, random)
    bursts = active(population, shape.total, shape.interval, random)
    traffic, weather = _waves(scenario, shape, random)
    times, plus = _incidents(scenario.incident, shape, random)
    treated, began = _treated(scenario, shape, random)
    lost = scraping.lost_to_restarts(scenario.scraping, shape.interval, (BLOCK, shape.total, HOSTS), random)
    # Expected requests, bad ones without and with the feature: (r, t, g, h), a class of users at a time.
    requests = np.zeros((BLOCK, shape.total, GROUPS, HOSTS))
    without, with_feature = np.zeros_like(requests), np.zeros_like(requests)
    for weight, proneness in _classes(population, bursts):
        sent = rate * shape.interval * traffic[:, :, None, None] * weight[:, :, :, None] * population.hosts[:, None]
        bad = (
            share
            * weather[:, :, None, None]
            * proneness[:, None, :, None]
            * population.host_proneness[:, None, None, :]
        )
        bad = np.minimum(bad * times[:, :, None, None] + plus[:, :, None, None], MOST)
        harmed = (
            treated * (_affected(scenario, bad) - bad)
            if scenario.effect.times != 1 or scenario.effect.slower != 1
            else 0.0
        )
        requests += sent
        without += sent * bad
        with_feature += sent * (bad + harmed)
    left = 1.0 - lost[:, :, None, :]
    expected = [(part * left).sum(axis=3) for part in (requests, without, with_feature)]
    bad_ones = random.poisson(expected[2])
    events = bad_ones + random.poisson(np.maximum(expected[0] - expected[2], 0.0))
    return _phases(scenario, shape, np.stack([events, bad_ones], axis=3), np.stack(expected, axis=3), began, random)


def _classes(population: Population, bursts: Floats) -> list[tuple[Floats, Floats]]:
    """(share of the requests (r, t, g), proneness (r, g)) of the pooled users and of each client."""
    looks = bursts.shape[1]
    classes = [(np.repeat(population.steady[:, None, :], looks, axis=1), population.proneness)]
    for k in range(population.client.shape[1]):
        here = population.client_group[:, k, None] == np.arange(GROUPS)[None, :]
        weight = (population.client[:, k, None] * bursts[:, :, k])[:, :, None] * here[:, None, :]
        classes.append((weight, np.repeat(population.client_proneness[:, k, None], GROUPS, axis=1)))
    return classes


def _waves(scenario: Scenario, shape: Shape, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Multiples of the traffic and of the base share, (r, t) each."""
    ones = np.ones((BLOCK, shape.total))
    if scenario.wave is None:
        return ones, ones
    wave = scenario.wave
    period = wave.period * (shape.total * shape.interval if wave.period < 100 else 1.0)
    at = (np.arange(shape.total) + 0.5) * shape.interval / period
    height = random.uniform(wave.least, wave.most, (2, BLOCK, 1))
    phase = random.random((2, BLOCK, 1))
    swing = 1.0 + height * np.sin(2 * np.pi * (at + phase))
    return swing[0], swing[1]


def _incidents(incident: Incident | None, shape: Shape, random: np.random.Generator) -> tuple[Floats, Floats]:
    """What bad shares are multiplied with and what is added, (r, t) each; a look that an incident covers in part has
    that part of it."""
    hit = np.zeros((BLOCK, shape.total))
    if incident is None:
        return 1.0 + hit, hit
    starts = []
    aa, stage = shape.aa_looks * shape.interval, shape.looks * shape.interval
    lasts = random.uniform(*incident.seconds, (BLOCK, len(PERCENTS)))
    if incident.in_aa:
        starts.append(aa - random.random(BLOCK) * lasts[:, 0])
    else:
        starts.extend(aa + k * stage + random.uniform(0.0, stage / 3, BLOCK) for k in range(len(PERCENTS)))
    for k, start in enumerate(starts):
        hit = np.maximum(hit, covered(start, start + lasts[:, k], shape))
    return 1.0 + hit * (incident.times - 1.0), hit * incident.plus


def covered(start: Floats, end: Floats, shape: Shape) -> Floats:
    """Part of each look, (r, t), that lies between start and end, seconds, (r,) each."""
    edges = np.arange(shape.total + 1) * shape.interval
    inside = np.minimum(edges[1:], end[:, None]) - np.maximum(edges[:-1], start[:, None])
    return np.asarray(np.clip(inside, 0.0, None) / shape.interval)


def _treated(scenario: Scenario, shape: Shape, random: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(part of each look in which a group has a feature that does harm (r, t, g, 1), first such look of each trace
    (r,))."""
    stage = shape.looks * shape.interval
    start = np.full(BLOCK, shape.aa_looks * shape.interval)
    if scenario.effect.begins == "late":
        start = start + random.uniform(stage / 6, stage * 2 / 3, BLOCK)
    elif scenario.effect.begins == "second":
        start = start + stage
    harmful = covered(start, np.full(BLOCK, np.inf), shape)
    exposed = np.zeros((shape.total, GROUPS))
    for k in range(len(PERCENTS)):
        exposed[shape.aa_looks + k * shape.looks :, k] = 1.0
    return harmful[:, :, None, None] * exposed[None, :, :, None], np.argmax(harmful > 0, axis=1)


def _affected(scenario: Scenario, bad: Floats) -> Floats:
    """Bad shares under the full effect of the feature."""
    if scenario.effect.slower != 1:
        bad = slower(bad, scenario.effect.slower)
    return np.minimum(bad * scenario.effect.times, MOST)


def slower(share: Floats, times: float) -> Floats:
    """Share of requests above a bound when a log-normal service time grows by `times`, from the share that is above it
    now."""
    normal = statistics.NormalDist()
    grid = np.linspace(-6.0, 6.0, 4001)
    now = np.array([normal.cdf(each) for each in grid])
    then = np.array([normal.cdf(each + math.log(times) / SERVICE_SPREAD) for each in grid])
    return np.asarray(np.interp(share, now, then))


def _phases(
    scenario: Scenario,
    shape: Shape,
    counts: npt.NDArray[np.int64],
    expected: Floats,
    began: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[list[Phase], list[Phase]]:
    """The groups' counts (r, t, g, 2) and expectations (r, t, g, 3) as arms, A/A and stages."""
    seen, into = scraping.seen(scenario.scraping, BLOCK, shape, random)
    counts, expected = scraping.caught_up(counts, into), scraping.caught_up(expected, into)
    aa: list[Phase] = []
    stages: list[Phase] = []
    for k in range(len(PERCENTS)):
        treatment = counts[:, :, : k + 1].sum(axis=2)
        arms = np.concatenate([treatment, counts[:, :, k + 1 :].sum(axis=2)], axis=2)
        ours, rest = expected[:, :, : k + 1].sum(axis=2), expected[:, :, k + 1 :].sum(axis=2)
        base, true, control = (
            arm[:, :, part] / np.maximum(arm[:, :, 0], 1e-300) for arm, part in ((ours, 1), (ours, 2), (rest, 1))
        )
        for phases, first, last in (
            (aa, 0, shape.aa_looks),
            (stages, shape.aa_looks + k * shape.looks, shape.aa_looks + (k + 1) * shape.looks),
        ):
            look = np.clip(began - first, 0, last - first)
            phases.append(
                Phase(
                    arms[:, first:last],
                    seen[:, first:last],
                    base[:, first:last],
                    true[:, first:last],
                    control[:, first:last],
                    look,
                )
            )
    return aa, stages
