# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The criteria of a rollout: ten of Gradual's own, and those that the site adds. A criterion depends on its claims."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    FAILED,
    NOT_MEASURED,
    NOT_NEEDED,
    SHOWN,
    Claim,
    Events,
    items,
    mapping,
)

# Each claim says to which of these it belongs.
BUILT_IN = {
    1: "a deployment plan, with a timeline and a rollback procedure for every step",
    2: "gradual rollout by feature flags, share measured at each stage, same users kept",
    3: "real-time monitoring of every new feature, by flag variant",
    4: "automated alerts on performance and error thresholds",
    5: "production migrations, after a verified backup",
    6: "every feature verified in production, flag on and off, through the public address",
    7: "user impact monitored and kept small",
    8: "rollback possible at every moment",
    9: "post-deployment validation, on every host and through the public address",
    10: "dashboard updated, every panel query answered",
}


def rows(events: Events, claims: list[Claim]) -> list[dict[str, Any]]:
    """[{number, criterion, status, claims}], where claims are ids."""
    built_in = [
        _row(number, text, [claim for claim in claims if number in claim["criteria"]])
        for number, text in BUILT_IN.items()
    ]
    added = events.last("criteria.added")
    own = [mapping(each) for each in items(added["data"].get("criteria") if added else None)]
    return built_in + [
        _row(number, str(each.get("criterion")), _named(each, claims))
        for number, each in enumerate(own, start=len(BUILT_IN) + 1)
    ]


def _named(criterion: dict[str, Any], claims: list[Claim]) -> list[Claim]:
    """The claims that a site's criterion names by id, in which * stands for any text.

    None of them if one of its names has no claim in this report: what is not there was not measured.
    """
    names = [str(name) for name in items(criterion.get("claims"))]
    found = {name: [claim for claim in claims if fnmatchcase(claim["id"], name)] for name in names}
    if not all(found.values()):
        return []
    wanted = {claim["id"] for each in found.values() for claim in each}
    return [claim for claim in claims if claim["id"] in wanted]


def _row(number: int, text: str, claims: list[Claim]) -> dict[str, Any]:
    return {"number": number, "criterion": text, "status": together(claims), "claims": [each["id"] for each in claims]}


def together(claims: list[Claim]) -> str:
    """Failed if one failed, not measured if one was not or none was shown, else shown; not needed if none was
    needed."""
    statuses = {claim["status"] for claim in claims}
    if FAILED in statuses:
        return FAILED
    if NOT_MEASURED in statuses or not statuses:
        return NOT_MEASURED
    return SHOWN if SHOWN in statuses else NOT_NEEDED
