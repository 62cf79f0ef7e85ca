# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One look at a stage: fetch, align, count, diagnose, judge. Each step is one function of the file that it is imported
from, and takes what the step before it made."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.align import align
from ansible_collections.gradual.rollout.plugins.module_utils.gate.counts import Counts, count, nothing
from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import Fetched, fetch
from ansible_collections.gradual.rollout.plugins.module_utils.gate.missing_data import diagnose
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.gate.verdict import judge
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

Json = t.Dict[str, t.Any]


def look(prometheus: Prometheus, stage: Stage, settings: Settings) -> Json:
    """All there is to record of one look: what was seen, the settings, and the verdict that follows from the two."""
    counts = collect(prometheus, stage)
    return {
        "percent": stage.percent,
        **judge(counts, settings),
        "intervals": max((sum(row is not None for row in metric["rows"]) for metric in counts["metrics"]), default=0),
        "on_no_data": settings.on_no_data,
        "counts": counts,
        "settings": dataclasses.asdict(settings),
    }


def collect(prometheus: Prometheus, stage: Stage) -> Counts:
    """The counts of one look, as judge takes them; a Prometheus that does not answer is a problem in them."""
    try:
        fetched = fetch(prometheus, stage)
    except PrometheusError as error:
        return {**nothing(stage), "problems": [str(error)]}
    return counted(fetched, stage)


def counted(fetched: Fetched, stage: Stage) -> Counts:
    """The counts from what was fetched. Pure."""
    aligned = align(fetched, stage)
    return diagnose(aligned, count(aligned))
