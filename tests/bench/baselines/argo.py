"""Argo Rollouts: how an AnalysisRun reaches its phase from measurements, and what the rollout makes of it.

After `analysis/analysis.go` and `utils/analysis` of argoproj/argo-rollouts; the order of the rules is theirs, the lines
are ours.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from tests.bench.baselines import traces

CONSECUTIVE_ERROR_LIMIT = 4
ERROR_RETRY = 10.0  # seconds
PROMETHEUS_TIMEOUT = 30.0  # seconds
MEASUREMENTS_KEPT = 10
ABORT_SCALE_DOWN_DELAY = 30.0  # seconds

Condition = Callable[[float], bool]


class Phase(IntEnum):
    """The phase of a measurement, a metric or a run; a greater one is a worse one."""

    SUCCESSFUL = 0
    RUNNING = 1
    PENDING = 2
    INCONCLUSIVE = 3
    ERROR = 4
    FAILED = 5


UNFINISHED = (Phase.RUNNING, Phase.PENDING)
BAD_ENDINGS = (Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


@dataclass(frozen=True)
class Metric:
    """One metric of an analysis template. Intervals in seconds; limits as in the manifest, a negative failure limit:
    any number may fail."""

    name: str
    success: Condition | None = None
    failure: Condition | None = None
    count: int | None = None
    interval: float | None = None
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = CONSECUTIVE_ERROR_LIMIT
    consecutive_success_limit: int = 0
    dry_run: bool = False

    @property
    def effective_count(self) -> int | None:
        """After how many measurements the metric ends; None: never (only an interval was given)."""
        if self.count is not None:
            return self.count
        return 1 if self.interval is None else None

    def judge(self, value: float | None) -> Phase:
        """The phase of a measurement with this value; None: the provider gave an error."""
        if value is None:
            return Phase.ERROR
        try:
            return self._evaluate(value)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return Phase.ERROR

    def _evaluate(self, value: float) -> Phase:
        if self.failure is None:
            return Phase.SUCCESSFUL if self.success is None or self.success(value) else Phase.FAILED
        if self.failure(value):
            return Phase.FAILED
        if self.success is None or self.success(value):
            return Phase.SUCCESSFUL
        return Phase.INCONCLUSIVE


@dataclass
class Result:
    """What a run has measured of one metric. `taken` counts everything but errors; of the measurements only the last
    ten are kept."""

    phase: Phase = Phase.PENDING
    taken: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    consecutive_errors: int = 0
    consecutive_successes: int = 0
    measurements: deque[Phase] = field(default_factory=lambda: deque(maxlen=MEASUREMENTS_KEPT))
    finished_at: float | None = None

    def add(self, phase: Phase, at: float = 0.0) -> None:
        """Count one finished measurement, finished `at` seconds."""
        self.measurements.append(phase)
        self.finished_at = at
        if phase is Phase.ERROR:
            self.errors += 1
            self.consecutive_errors += 1
            self.consecutive_successes = 0
            return
        self.taken += 1
        self.consecutive_errors = 0
        if phase is Phase.SUCCESSFUL:
            self.successful += 1
            self.consecutive_successes += 1
            return
        self.consecutive_successes = 0
        if phase is Phase.FAILED:
            self.failed += 1
        else:
            self.inconclusive += 1


def metric_phase(metric: Metric, result: Result, terminating: bool = False) -> Phase:
    """The phase of a metric after its latest measurement. Of the limits that are passed the last one counts, not the
    worst."""
    if result.phase not in UNFINISHED:
        return result.phase
    if not result.measurements:
        return Phase.SUCCESSFUL if terminating else Phase.PENDING
    passed = [
        phase
        for phase, over in (
            (Phase.FAILED, 0 <= metric.failure_limit < result.failed),
            (Phase.INCONCLUSIVE, result.inconclusive > metric.inconclusive_limit),
            (Phase.ERROR, result.consecutive_errors > metric.consecutive_error_limit),
        )
        if over
    ]
    if passed:
        return passed[-1]
    wants_successes = metric.consecutive_success_limit > 0
    if wants_successes and result.consecutive_successes >= metric.consecutive_success_limit:
        return Phase.SUCCESSFUL
    count = metric.effective_count
    if count is not None and result.taken >= count:
        if not wants_successes:
            return Phase.SUCCESSFUL
        return Phase.INCONCLUSIVE if metric.failure_limit >= 0 else Phase.FAILED
    return Phase.SUCCESSFUL if terminating else Phase.RUNNING


class AnalysisRun:
    """A run over some metrics: measurements go in, phases come out."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self.results = {metric.name: Result() for metric in metrics}
        self.terminated = False

    @property
    def terminating(self) -> bool:
        """Whether the run is to end: it was told to, or a metric that counts has ended badly."""
        return self.terminated or any(
            result.phase in BAD_ENDINGS for name, result in self.results.items() if not self.metrics[name].dry_run
        )

    @property
    def phase(self) -> Phase:
        """The worst phase of the metrics that count."""
        counted = [result.phase for name, result in self.results.items() if not self.metrics[name].dry_run]
        return max(counted, default=Phase.SUCCESSFUL)

    def due(self, now: float) -> list[str]:
        """The metrics to measure at `now` (seconds): those not ended whose interval (or, without one, the error's
        retry) has passed."""
        if self.terminating:
            return []
        names = []
        for name, metric in self.metrics.items():
            result, count = self.results[name], metric.effective_count
            if result.phase not in UNFINISHED or (count is not None and result.taken >= count):
                continue
            wait = ERROR_RETRY if metric.interval is None else metric.interval
            if result.finished_at is None or now >= result.finished_at + wait:
                names.append(name)
        return names

    def measure(self, values: Mapping[str, float | None], now: float = 0.0) -> Phase:
        """Take the measurements of one moment (metric to value, None: error of the provider). Return the phase of the
        run."""
        for name, value in values.items():
            if self.results[name].phase in UNFINISHED:
                self.results[name].add(self.metrics[name].judge(value), now)
        return self._assess()

    def terminate(self) -> Phase:
        """End the run: what is still running has succeeded. A background run ends so when the rollout's last step
        completes."""
        self.terminated = True
        return self._assess()

    def _assess(self) -> Phase:
        # A metric that ends badly terminates the others, so those before it in the list are looked at once more.
        for _ in range(2):
            for name, result in self.results.items():
                result.phase = metric_phase(self.metrics[name], result, self.terminating)
        return self.phase


def consequence(phase: Phase) -> str:
    """What the rollout does about the phase of a run: abort, pause or proceed."""
    if phase in (Phase.FAILED, Phase.ERROR):
        return "abort"
    return "pause" if phase is Phase.INCONCLUSIVE else "proceed"


def decide(
    trace: Mapping[str, Any],
    interval: float,
    *,
    threshold: float = 0.01,
    failure_limit: int = 0,
    period: float | None = None,
) -> dict[str, Any]:
    """What a background analysis on the treatment's share of errors decides over a recorded rollout.

    The condition for success is a share of at most `threshold`; a look without requests passes (the documentation
    guards NaN so), one that
    nobody saw is an error of the provider. A measurement every `period` seconds (None: every look, `interval` seconds
    apart). The steps are the
    stages, each as long as its looks: the rollout is promoted when the last one is over, whatever is known by then.
    """
    size = traces.group_size(interval, period)
    run = AnalysisRun(
        [
            Metric(
                "error-rate",
                success=lambda value: math.isnan(value) or value <= threshold,
                interval=size * interval,
                failure_limit=failure_limit,
            )
        ]
    )
    left: list[int] = []
    for stage in trace["stages"]:
        for look, counts in traces.measurements(stage["looks"], size):
            outcome = consequence(
                run.measure({"error-rate": None if counts is None else traces.share(counts, "treatment")})
            )
            if outcome != "proceed":
                return traces.decision(trace, "abort" if outcome == "abort" else "hold", [*left, look])
        left.append(len(stage["looks"]))
    run.terminate()
    return traces.decision(trace, "promote", left)
