# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Whether anything still evaluates a flag: counted, or known to be silent, or not known."""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common import text
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, matching, steps

ALIVE = "http_requests_total"


def evaluations(
    prometheus: Prometheus, flags: t.Sequence[str], seconds: float, now: float, job: str
) -> t.Tuple[t.Dict[str, int], str]:
    """({flag: evaluations for users in the last `seconds`}, sentence); a flag of which nothing is known is missing from
    the first.

    A flag that no host has a counter for was evaluated 0 times when each host was scraped from the begin of the time to
    its end: the code that runs there does not know the flag any more.
    """
    scope = {"job": [job]}
    since = now - seconds
    hosts = {labels.get("instance", ""): value for labels, value in prometheus.values("up" + matching(scope), now)}
    down = sorted(host for host, value in hosts.items() if value != 1)
    covered = _covered(prometheus, scope, since, now)
    unseen = sorted(set(hosts) - covered)
    if not hosts or down or unseen:
        who = ", ".join(down or unseen) or "any host"
        return (
            {},
            (
                f"it is not known what evaluates {', '.join(flags)}: Prometheus has no figures of {who} for the last"
                f" {seconds:g} s"
            ),
        )
    counted: t.Dict[str, int] = dict.fromkeys(flags, 0)
    for series in prometheus.series("feature_evaluations_total" + matching({**scope, "flag": flags}), since, now):
        counted[series.labels.get("flag", "")] += round(sum(step.increase for step in steps(series.samples)))
    used = [f"{flag} {text.number(count)} times" for flag, count in counted.items() if count]
    if used:
        return (
            counted,
            f"in the last {seconds:g} s these were evaluated: {', '.join(used)}; remove them from the code first",
        )
    return counted, f"nothing has evaluated {', '.join(flags)} in the last {seconds:g} s"


def _covered(prometheus: Prometheus, scope: t.Mapping[str, t.Sequence[str]], since: float, now: float) -> t.Set[str]:
    """Hosts with samples of a living application at both ends of the time."""
    step = max(1.0, (now - since) / 10)
    found = prometheus.range(f"count by (instance) ({ALIVE}{matching(scope)})", since, now, step)
    return {
        each.labels.get("instance", "")
        for each in found
        if each.samples[:1] and each.samples[0][0] <= since + step and each.samples[-1][0] >= now - step
    }
