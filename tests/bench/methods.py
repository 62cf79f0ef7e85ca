"""The gates of the benchmark, each as a function of a batch of traces."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import replay
from ansible_collections.gradual.rollout.plugins.module_utils.gate import settings as gate_settings

from tests.bench import wald
from tests.bench.baselines import argo, flagger, kayenta
from tests.bench.decisions import Decisions, decide
from tests.bench.traffic import Batch

OURS, LIMIT, TWO_ARMS = "ours", "wald", "wald-two-arms"
BASELINES = ("argo-0", "argo-3", "flagger", "kayenta")
TITLES = {
    "argo-0": "Argo, failureLimit 0",
    "argo-3": "Argo, failureLimit 3",
    "flagger": "Flagger",
    "kayenta": "Kayenta",
    OURS: "ours",
    LIMIT: "Wald",
    TWO_ARMS: "Wald, two arms",
}
# An operator of Argo or Flagger sets the threshold of the share by its usual value: 1 % where it is 0.3 %.
THRESHOLD = 10 / 3
# Both are looked at once a minute in their examples. More often, they would stop more good releases.
PERIOD = 60.0


def methods(batch: Batch, settings: gate_settings.Settings) -> Mapping[str, Callable[[], Decisions]]:
    """Each gate, ready to decide on the batch."""
    threshold = THRESHOLD * batch.share
    each: dict[str, Callable[[Mapping[str, Any], float], Mapping[str, Any]]] = {
        "argo-0": functools.partial(argo.decide, threshold=threshold, failure_limit=0, period=PERIOD),
        "argo-3": functools.partial(argo.decide, threshold=threshold, failure_limit=3, period=PERIOD),
        "flagger": functools.partial(flagger.decide, least_success=100.0 * (1.0 - threshold), period=PERIOD),
        "kayenta": kayenta.decide,
        OURS: functools.partial(ours, settings=settings),
    }
    named: dict[str, Callable[[], Decisions]] = {
        name: functools.partial(decide, batch, how) for name, how in each.items()
    }
    return {**named, LIMIT: functools.partial(wald.one_arm, batch), TWO_ARMS: functools.partial(wald.two_arms, batch)}


def ours(trace: Mapping[str, Any], interval: float, settings: gate_settings.Settings) -> Mapping[str, Any]:
    """Our gate, as `make replay` runs it."""
    decision: Mapping[str, Any] = replay.judge_trace(trace, interval, settings)
    return decision
