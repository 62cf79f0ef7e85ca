"""Flagger: what one tick does with a canary, in its order.

After `pkg/controller/scheduler.go` and `scheduler_metrics.go` of fluxcd/flagger; the order of the rules is theirs, the
lines are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.bench.baselines import traces

INTERVAL = 60.0  # seconds between ticks
SHORTEST_INTERVAL = 10.0  # seconds
METRIC_WINDOW = 60.0  # seconds that a metric's value covers
THRESHOLD = 1  # failed checks, where none were configured
PROGRESS_DEADLINE = 600.0  # seconds
PROVIDER_TIMEOUT = 5.0  # seconds
READY_THRESHOLD = 100  # percent of the pods, primary and canary
TOTAL_WEIGHT = 100  # percent


class Phase(Enum):
    """Where a canary stands."""

    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


OVER = (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True)
class Metric:
    """A check: a range, or where there is none the older single threshold, which means a minimum only for the success
    rate (percent)."""

    name: str
    minimum: float | None = None
    maximum: float | None = None
    threshold: float | None = None

    def passes(self, value: float | None) -> bool:
        """Whether a value (None or NaN: the query brought none) lets the canary advance."""
        if value is None or traces.is_missing(value):
            return False
        if self.minimum is not None or self.maximum is not None:
            return not (
                (self.minimum is not None and value < self.minimum)
                or (self.maximum is not None and value > self.maximum)
            )
        threshold = self.threshold or 0.0
        return value >= threshold if self.name == "request-success-rate" else value <= threshold


@dataclass(frozen=True)
class Analysis:
    """The analysis of a canary. Weights in percent; a threshold of 0 means 1 failed check, an interval under 10 s means
    10 s."""

    metrics: Sequence[Metric] = ()
    threshold: int = 0
    step_weight: int = 0
    step_weights: Sequence[int] = ()
    max_weight: int = 0
    interval: float = INTERVAL

    @property
    def failed_checks_allowed(self) -> int:
        """The number of failed checks at which the canary is rolled back."""
        return self.threshold or THRESHOLD

    @property
    def seconds(self) -> float:
        """The time between two ticks."""
        return max(self.interval, SHORTEST_INTERVAL)

    @property
    def highest(self) -> int:
        """The weight from which the canary is promoted."""
        if self.step_weights:
            return min(TOTAL_WEIGHT, self.step_weights[-1])
        return self.max_weight or TOTAL_WEIGHT

    def step(self, weight: int) -> int:
        """By how much the weight grows from `weight`; 0 where no steps were configured."""
        if self.step_weight > 0 or not self.step_weights:
            return self.step_weight
        room = TOTAL_WEIGHT - weight
        if room == 0:
            return 1
        if weight == 0:
            return min(room, self.step_weights[0])
        for current, following in zip(self.step_weights, self.step_weights[1:]):
            if current == weight:
                return min(room, following - weight)
        return room


@dataclass(frozen=True)
class Hooks:
    """What the webhooks answer during one tick; as here where none are configured."""

    rollback: bool = False
    pre_rollout: bool = True
    rollout: bool = True
    confirm_traffic_increase: bool = True
    confirm_promotion: bool = True


NO_HOOKS = Hooks()


@dataclass
class Canary:
    """A canary under way."""

    analysis: Analysis
    phase: Phase = Phase.PROGRESSING
    weight: int = 0
    failed_checks: int = 0
    iterations: int = 0
    checks: int = 0

    def new_revision(self) -> None:
        """Start again: only this, and the end, forget failed checks."""
        self.phase, self.weight, self.failed_checks, self.iterations = Phase.PROGRESSING, 0, 0, 0

    def tick(self, values: Mapping[str, float | None], hooks: Hooks = NO_HOOKS, retriable: bool = True) -> Phase:
        """One tick: metric to value (absent, None or NaN: the query failed), the hooks' answers, and whether the
        deadline still allows to wait."""
        if self.phase in OVER:
            return self.phase
        analysing = self.phase in (Phase.PROGRESSING, Phase.WAITING_PROMOTION)
        if analysing and hooks.rollback:
            return self._roll_back()
        if self.phase is Phase.PROMOTING:
            self.phase, self.weight = Phase.FINALISING, 0
            return self.phase
        if self.phase is Phase.FINALISING:
            self.phase, self.failed_checks = Phase.SUCCEEDED, 0
            return self.phase
        # The failed checks of earlier ticks are looked at before this one's: a canary that is beyond help serves one
        # interval more.
        if not retriable or self.failed_checks >= self.analysis.failed_checks_allowed:
            return self._roll_back()
        if not self._checked(values, hooks):
            self.failed_checks += 1
            return self.phase
        return self._advance(hooks)

    def _checked(self, values: Mapping[str, float | None], hooks: Hooks) -> bool:
        if self.weight == 0 and self.iterations == 0:
            return hooks.pre_rollout
        self.checks += 1
        return hooks.rollout and all(metric.passes(values.get(metric.name)) for metric in self.analysis.metrics)

    def _advance(self, hooks: Hooks) -> Phase:
        step = self.analysis.step(self.weight)
        if step <= 0 or (self.phase is not Phase.WAITING_PROMOTION and not hooks.confirm_traffic_increase):
            return self.phase
        if self.weight < self.analysis.highest:
            self.weight = min(TOTAL_WEIGHT, self.weight + step)
        elif hooks.confirm_promotion:
            self.phase = Phase.PROMOTING
        else:
            self.phase = Phase.WAITING_PROMOTION
        return self.phase

    def _roll_back(self) -> Phase:
        self.phase, self.weight, self.failed_checks = Phase.FAILED, 0, 0
        return self.phase


def decide(
    trace: Mapping[str, Any],
    interval: float,
    *,
    least_success: float = 99.0,
    threshold: int = 5,
    period: float | None = None,
) -> dict[str, Any]:
    """What a canary with the trace's percentages as step weights does over a recorded rollout.

    One tick is one look, or `period` seconds of looks; its value is the treatment's success rate in percent, at least
    `least_success`.
    The first tick (weight 0, nothing to measure) only moves to the first weight. A stage whose check passes ends there:
    with [25, 50, 100]
    a release is promoted after three passing checks. A rollback that would come after a stage's last look is not seen:
    hold.
    """
    stages = trace["stages"]
    canary = Canary(
        Analysis(
            metrics=[Metric("request-success-rate", minimum=least_success)],
            threshold=threshold,
            step_weights=[stage["percent"] for stage in stages],
            interval=interval,
        )
    )
    canary.tick({})
    size = traces.group_size(interval, period)
    left: list[int] = []
    for stage in stages:
        for look, counts in traces.measurements(stage["looks"], size):
            before = canary.weight
            canary.tick({"request-success-rate": 100.0 * (1.0 - traces.share(counts, "treatment"))})
            if canary.phase is Phase.FAILED:
                return traces.decision(trace, "abort", [*left, look])
            if canary.phase is Phase.PROMOTING:
                return traces.decision(trace, "promote", [*left, look])
            if canary.weight != before:
                left.append(look)
                break
        else:
            break
    return traces.decision(trace, "hold", [*left, len(stages[len(left)]["looks"])])
