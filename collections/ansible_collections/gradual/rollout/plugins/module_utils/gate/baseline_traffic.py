# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""How often the users have asked for each feature in the last hours, and what share of that was bad: all variants of
the flag together.

A feature that nobody has asked for is not measured, and told in a sentence; it is never 0.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    Series,
    binned,
    matching,
    resets,
    steps,
)

POINTS = 540
# Seconds without a single request after which nobody is there: the application was not running, or it was night. Those
# are left out.
IDLE = 600.0
BUSIEST = 600.0
# Requests that users without the feature must have had before the share of bad ones is theirs alone: a bad release is
# not what is usual.
ENOUGH = 200

Json = t.Dict[str, t.Any]
Bins = t.Dict[int, float]
Arms = t.Sequence[Bins]
"""Increases of requests, of bad ones, and of what is to be taken from those."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Which features, in which time (seconds since the epoch), under which job of Prometheus; slower than
    `slow_seconds` is slow."""

    features: t.Sequence[str]
    since: float
    until: float
    slow_seconds: float
    job: str = "application"

    @property
    def step(self) -> float:
        return max(1.0, (self.until - self.since) // POINTS)


def read(prometheus: Prometheus, window: Window) -> t.Tuple[t.List[Json], t.List[str]]:
    """For each feature and metric errors and slow {feature, metric, rate, busiest, share, events, seconds}, and
    sentences on what is not known.

    `rate` is requests a second in the `seconds` in which anybody was there, `busiest` that of the busiest ten minutes,
    `share` the part of bad ones: without the feature, as far as there were such users. Raises PrometheusError.
    """
    scope = {"job": [window.job], "feature": list(window.features)}
    within = {**scope, "le": sorted({f"{window.slow_seconds:g}", str(float(window.slow_seconds))})}
    requests, duration = metrics.sources(by_host=False)

    def ask(name: str, labels: t.Mapping[str, t.Sequence[str]], by: str) -> t.List[Series]:
        expression = f"sum by (host, instance, feature, variant{by}) ({name}{matching(labels)})"
        return prometheus.range(expression, window.since, window.until, window.step)

    answers, timed, fast = (
        ask(requests, scope, ", outcome"),
        ask(f"{duration}_count", scope, ""),
        ask(f"{duration}_bucket", within, ""),
    )
    everything = [*answers, *timed, *fast]
    anew = {
        instance: resets(each for each in everything if _instance(each) == instance)
        for instance in set(map(_instance, everything))
    }
    traffic, missing = [], []
    hours = f"{(window.until - window.since) / 3600:.3g} h"
    for feature in window.features:
        ours = [[each for each in found if each.labels.get("feature") == feature] for found in (answers, timed, fast)]
        failed = [each for each in ours[0] if metrics.outcome(each.labels) == metrics.ERROR]
        for metric, events, bad, good in (("errors", ours[0], failed, []), ("slow", ours[1], ours[1], ours[2])):
            arms = [
                [_grown([each for each in series if users(each)], window, anew) for series in (events, bad, good)]
                for users in (lambda _series: True, lambda series: series.labels.get("variant") != "on")
            ]
            seen = _rate(window, *arms)
            if metric == "slow" and seen and not good:
                missing.append(
                    f"{feature} slow: {duration} has no bucket le={window.slow_seconds:g}; write another"
                    " gate.slow_seconds"
                )
            elif seen:
                traffic.append({"feature": feature, "metric": metric, **seen})
            elif metric == "errors":
                missing.append(
                    f"{feature}: nobody has asked for it in the last {hours}, so nothing is known of its traffic"
                )
    return traffic, missing


def _rate(window: Window, all_users: Arms, without: Arms) -> t.Optional[Json]:
    """Rate and share of bad ones; None without a request."""
    grown = all_users[0]
    whole = sum(grown.values())
    if whole < 1:
        return None
    numbers = sorted(index for index, increase in grown.items() if increase)
    longest = int(IDLE / window.step)
    gaps = (later - earlier for earlier, later in zip(numbers, numbers[1:]))
    used = 1 + sum(gap if gap <= longest else 1 for gap in gaps)
    size = min(used, max(1, int(BUSIEST / window.step)))
    busiest = max(sum(grown.get(index, 0.0) for index in range(first, first + size)) for first in numbers)
    share = _share(without if sum(without[0].values()) >= ENOUGH else all_users)
    return {
        "rate": float(f"{whole / (used * window.step):.4g}"),
        "busiest": float(f"{busiest / (size * window.step):.4g}"),
        "share": float(f"{share:.4g}"),
        "events": round(whole),
        "seconds": round(used * window.step),
    }


def _share(arms: Arms) -> float:
    events, bad, good = (sum(each.values()) for each in arms)
    return min(1.0, max(0.0, (bad - good) / events))


def _grown(found: t.Sequence[Series], window: Window, anew: t.Mapping[str, t.Container[float]]) -> Bins:
    """{number of the step since the window began: increase} over all series; what began anew in a process did so for
    all of its series."""
    sums: Bins = {}
    for each in found:
        for index, increase in binned(steps(each.samples, anew[_instance(each)]), window.since, window.step).items():
            sums[index] = sums.get(index, 0.0) + increase
    return sums


def _instance(series: Series) -> str:
    return series.labels.get("instance", "")
