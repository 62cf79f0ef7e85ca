# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""One look at a stage: fetch, align, count, diagnose, settle, judge. Each step is one function of the file that it is
imported from, and takes what the steps before it made. CONTRIBUTING.md has the way from the playbook to here."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.align import align
from ansible_collections.gradual.rollout.plugins.module_utils.gate.counts import Counts, count, nothing
from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import Fetched, fetch
from ansible_collections.gradual.rollout.plugins.module_utils.gate.missing_data import diagnose
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settle import settle
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.gate.verdict import judge
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    PrometheusError,
    scrape_interval,
)

Json = t.Dict[str, t.Any]


def look(
    prometheus: Prometheus, stage: Stage, settings: Settings, past: t.Optional[Past] = None
) -> t.Tuple[Json, t.Optional[Past]]:
    """All there is to record of one look: what was seen, the settings, and the verdict that follows from the two; and
    the past of the next look.

    After a look that has seen nothing there is none, so that the record has all rows again."""
    counts, next_past = collect(prometheus, stage, past)
    metrics = counts["metrics"]
    known = past.metrics if past and any("rows_kept" in metric for metric in metrics) else []
    return {
        "percent": stage.percent,
        **judge(counts, settings, known),
        "intervals": max((sum(row is not None for row in metric["rows"]) for metric in metrics), default=0)
        + max((metric["intervals"] for metric in known), default=0),
        "on_no_data": settings.on_no_data,
        "counts": counts,
        "settings": dataclasses.asdict(settings),
    }, next_past


def collect(prometheus: Prometheus, stage: Stage, past: t.Optional[Past] = None) -> t.Tuple[Counts, t.Optional[Past]]:
    """The counts of one look, as judge takes them, and the past of the next look; a Prometheus that does not answer is
    a problem in the counts."""
    try:
        fetched = fetch(prometheus, stage, past)
        if past and not past.fits(scrape_interval(target.times for target in fetched.now)):
            fetched, past = fetch(prometheus, stage), None
    except PrometheusError as error:
        return {**nothing(stage), "problems": [str(error)]}, None
    return counted(fetched, stage, past)


def counted(fetched: Fetched, stage: Stage, past: t.Optional[Past] = None) -> t.Tuple[Counts, t.Optional[Past]]:
    """The counts from what was fetched, and the past of the next look. Pure."""
    aligned = align(fetched, stage, past)
    counts = diagnose(aligned, count(aligned))
    return counts, settle(aligned, counts)
