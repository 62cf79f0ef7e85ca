"""How long the gate must need to stop a harmful feature, computed from the traffic before anybody had seen it.

The gate itself is asked, as the bench asks it: what it would say of the counts that this traffic and this harm let
expect, where 999 of 1,000 ramps have more bad answers than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict

# A story is played in each CI, so this is how often one fails by chance.
UNLUCKY = 0.001
LONGEST = 600.0

Json = dict[str, Any]


def seconds_to_stop(look: Mapping[str, Any], feature: str, metric: str, share: float) -> float:
    """Seconds of the stage after which 999 of 1,000 ramps have been stopped.

    `look` is any look of the stage, with its A/A stage; `share` is how many of the requests with the feature are bad in
    this metric. Nothing else is taken to be bad. Raises AssertionError when LONGEST seconds are not enough.
    """
    counts, settings = dict(look["counts"]), gate_verdict.Settings(**look["settings"])
    interval = float(counts["interval"])
    for number in range(1, int(LONGEST / interval) + 1):
        heads = [
            _expected(head, number, interval, share if (head["feature"], head["metric"]) == (feature, metric) else 0.0)
            for head in counts["metrics"]
        ]
        made = {**counts, "until": counts["since"] + number * interval, "problems": [], "metrics": heads}
        if gate_verdict.judge(made, settings)["verdict"] == "abort":
            return number * interval
    raise AssertionError(
        f"the gate cannot stop {feature} within {LONGEST:.0f} s: {share:.0%} of its requests are bad in {metric}"
    )


def _expected(head: Json, intervals: int, interval: float, share: float) -> Json:
    """The metric after so many intervals at the traffic of its A/A stage."""
    aa = [row for row in head["aa"] if row[1] is not None]
    treatment, control = (sum(row[column] for row in aa) / len(aa) for column in (1, 3))
    rows = []
    for number in range(intervals):
        begin, end = (_so_far(treatment, at, share) for at in (number, number + 1))
        events = [later - earlier for earlier, later in zip(begin, end)]
        rows.append([number * interval, *events, round(control * (number + 1)) - round(control * number), 0])
    return {**head, "rows": rows, "problem": None}


def _so_far(rate: float, intervals: int, share: float) -> tuple[int, int]:
    """(events, bad events where it goes badly for the gate) after so many intervals, when users come by chance."""
    bad = lower_quantile(rate * intervals * share, UNLUCKY)
    return bad + round(rate * intervals * (1 - share)), bad


def lower_quantile(mean: float, chance: float) -> int:
    """The smallest count that a Poisson count of this mean exceeds with a chance of less than 1 - `chance`."""
    if mean == 0:
        return 0
    below, count = math.exp(-mean), 0
    while below < chance:
        count += 1
        below += math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    return count
