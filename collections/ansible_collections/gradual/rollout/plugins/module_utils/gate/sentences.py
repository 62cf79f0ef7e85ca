# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a gate has seen of its metrics, in sentences."""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import number, percent
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import RELEASE

Judged = t.Mapping[str, t.Any]
"""One metric: feature, metric, treatment {events, bad}, control {events, bad} or None, and why it was judged so."""

# The treatment, the control, and what could have dealt the requests otherwise than it should be.
USERS = (
    "with the feature",
    "without it",
    (
        "a host that does not evaluate the flag, a cache that answers for both, users who were re-bucketed, or a"
        " feature that changes how often it is asked for"
    ),
)
HOSTS = (
    "on the new code",
    "on the old code",
    (
        "a host that was out of traffic for a while, a balancer that does not share alike, or code that changes how"
        " often it is asked"
    ),
)
METRICS = {"errors": "errors", "slow": "slow answers"}


def name(metric: Judged) -> str:
    """ "search slow answers"."""
    return f"{metric['feature']} {METRICS.get(metric['metric'], metric['metric'])}"


def share_of(arm: t.Mapping[str, int], of: bool = True) -> str:
    """ "2.9 % of 4,210", or that there were none."""
    if not arm["events"]:
        return "no requests"
    return percent(arm["bad"] / arm["events"]) + (f" of {number(arm['events'])}" if of else "")


def arms_of(feature: str) -> t.Tuple[str, str, str]:
    """USERS, or HOSTS where hosts are compared."""
    return HOSTS if feature == RELEASE else USERS


def arms(metric: Judged) -> str:
    """ "search errors with the feature 2.9 % of 4,210, without it 1.0 % of 12,640"; the second part is left out without
    a control."""
    having, lacking, _causes = arms_of(metric["feature"])
    without = f", {lacking} {share_of(metric['control'])}" if metric["control"] is not None else ""
    return f"{name(metric)} {having} {share_of(metric['treatment'])}{without}"


def summary(metrics: t.Sequence[Judged]) -> str:
    """All metrics, those of one feature together: "search errors with the feature 0 % of 15, without it 0 % of 53, slow
    answers 0 % and 0 %"."""
    told: t.Dict[str, str] = {}
    for metric in metrics:
        if metric["feature"] not in told:
            told[metric["feature"]] = arms(metric)
            continue
        both = [share_of(arm, of=False) for arm in (metric["treatment"], metric["control"]) if arm is not None]
        told[metric["feature"]] += f", {METRICS.get(metric['metric'], metric['metric'])} {' and '.join(both)}"
    return "; ".join(told.values())


def grouped(metrics: t.Sequence[Judged]) -> t.List[str]:
    """One sentence a reason: with its figures where it is that of one metric, with the names where several share it."""
    by_why: t.Dict[str, t.List[Judged]] = {}
    for metric in metrics:
        by_why.setdefault(metric["why"], []).append(metric)
    return [
        each[0]["reason"] if len(each) == 1 else f"{', '.join(map(name, each))}: {why}" for why, each in by_why.items()
    ]
