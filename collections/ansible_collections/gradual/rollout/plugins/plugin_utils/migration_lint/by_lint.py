# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""migrations.by_lint: the phase of a revision that nobody named, from what the lint finds in it. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Collection, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import UNKNOWN, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.phases import split
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

ADDITIVE = "by_lint: no finding of level error"
# At most so many findings are in a reason.
MOST = 3


def supposed(revisions: Mapping[str, Revision], by_lint: bool) -> dict[str, Revision]:
    """The revisions without a phase, as expand, so that they are checked by the rules for expand; none without
    by_lint."""
    if not by_lint:
        return {}
    return {name: replace(one, phase="expand") for name, one in revisions.items() if one.phase == UNKNOWN}


def chosen(names: Collection[str], stopping: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """{revision, phase, reason} of each of these revisions. stopping: the findings that would stop a rollout."""
    return [_choice(name, [one for one in stopping if one["revision"] == name]) for name in names]


def disorder(pending: Sequence[Revision], choices: Sequence[Mapping[str, str]], tool: str) -> list[str]:
    """Why these revisions cannot be applied in this order with these phases; [] when they can, and while one has no
    phase, which is a finding itself."""
    told = {one["revision"]: one for one in choices}
    phased = [_phased(one, told.get(one.revision)) for one in pending]
    try:
        split([one for one in phased if one.phase != UNKNOWN], "expand", tool)
    except DatabaseError as error:
        return [str(error)]
    return []


def _phased(one: Revision, choice: Mapping[str, str] | None) -> Revision:
    return replace(one, phase=choice["phase"], phase_reason=choice["reason"]) if choice else one


def _choice(name: str, against: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if not against:
        return {"revision": name, "phase": "expand", "reason": ADDITIVE}
    told = [f"{one['rule']} in line {one['line']}" for one in against[:MOST]]
    more = [f"{len(against) - MOST} more"] if against[MOST:] else []
    return {"revision": name, "phase": "contract", "reason": f"by_lint: {', '.join([*told, *more])}"}
