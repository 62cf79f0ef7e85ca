# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A stage as a look sees it: which hosts and users are compared, and over which time."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import label, labels_of, shown_at
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import PLATFORM
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Target

TREATMENT, CONTROL = 0, 1

Arms = t.Mapping[str, int]


@dataclasses.dataclass
class Stage:
    """What to look at: the application's job and hosts in Prometheus, the cohorts, when the stage began and when this
    look is.

    Times are seconds since the epoch; `aa` is when the A/A stage began and ended. `lookback` is how many seconds before
    a stage without a control are counted as well, to compare it with. `metrics` and `holdback` are those of the
    manifest's gate. Requests on the `platform_routes` are not those of users.
    """

    features: t.Sequence[str]
    percent: int
    since: float
    until: float
    slow_seconds: float
    job: str = "application"
    hosts: t.Sequence[str] = ()
    stages: t.Sequence[int] = (25, 50, 100)
    lookback: float = 0.0
    aa: t.Optional[t.Tuple[float, float]] = None
    metrics: t.Sequence[t.Any] = ()
    holdback: int = 0
    cohorts: str = "users"
    treatment_hosts: t.Sequence[str] = ()
    control_hosts: t.Sequence[str] = ()
    platform_routes: t.Sequence[str] = PLATFORM

    def __post_init__(self) -> None:
        self.wanted = metrics.wanted([metrics.RELEASE] if self.by_host else self.features, self.metrics)

    @property
    def by_host(self) -> bool:
        return self.cohorts == "hosts"

    @property
    def label(self) -> str:
        """The label that tells the arms apart."""
        return "host" if self.by_host else "variant"

    @property
    def alone(self) -> bool:
        """Whether nobody is left to compare with."""
        return not self.by_host and shown_at(self.percent, self.holdback) >= 100

    @property
    def arms(self) -> Arms:
        """{value of the label: which arm}."""
        if self.by_host:
            return {**dict.fromkeys(self.control_hosts, CONTROL), **dict.fromkeys(self.treatment_hosts, TREATMENT)}
        return {"on": TREATMENT, "off": CONTROL}

    @property
    def aa_arms(self) -> Arms:
        """The same arms in the A/A stage, where users carry the share at which they shall be shown the feature; empty
        without an A/A stage."""
        if self.aa is None or self.alone:
            return {}
        if self.by_host:
            return self.arms
        shown = shown_at(self.percent, self.holdback)
        return {
            **{
                label(share): TREATMENT if share <= shown else CONTROL
                for share in labels_of(self.stages, self.holdback)
            },
            "off": CONTROL,
        }

    def settled(self, before: t.Sequence[Target], interval: t.Optional[float]) -> Stage:
        """With hosts as arms, the same with the part of the A/A stage for which all of them are known and none of them
        began anew, since it may have run other code before; without an A/A stage where that is less than two intervals.
        Users have an A/A stage of their own.
        """
        if not self.by_host or self.aa is None:
            return self
        times = {
            host: [at for target in before if target.host == host for at in target.times[:1]] for host in named(self)
        }
        since = max(
            [
                self.aa[0],
                *(min(found) for found in times.values() if found),
                *(at for target in before for at in target.anew if at <= self.aa[1]),
            ]
        )
        enough = interval is not None and all(times.values()) and self.aa[1] - since >= 2 * interval
        return dataclasses.replace(self, aa=(since, self.aa[1]) if enough else None)

    @property
    def index(self) -> int:
        """Which of the stages it is, from 0."""
        return sum(1 for percent in self.stages if percent < self.percent)


def named(stage: Stage) -> t.List[str]:
    """The hosts that must be seen; [] for all that Prometheus knows."""
    return [*stage.treatment_hosts, *stage.control_hosts] if stage.by_host else list(stage.hosts)
