# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waivers: somebody has looked at a finding, says why it does no harm, and until when that holds. Pure."""

from __future__ import annotations

import datetime
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

Waiver = Mapping[str, Any]


def mistakes(waivers: Sequence[Waiver], rules: Collection[str]) -> Iterator[str]:
    """What is wrong with the entries themselves, as `path: what, seen X; write Y`. rules: names that there are."""
    seen = set()
    for number, waiver in enumerate(waivers):
        where = f"migrations.waivers[{number}]"
        rule, reason, until = (str(waiver.get(key) or "") for key in ("rule", "reason", "until"))
        if rule and rule not in rules:
            yield f"{where}.rule: no rule of migration_lint, seen {rule!r}; write one of docs/migration-lint.md"
        if "reason" in waiver and len(reason.split()) < 3:
            yield f"{where}.reason: says too little, seen {reason!r}; write a sentence why it does no harm here"
        if until and _date(until) is None:
            yield f"{where}.until: no date, seen {until!r}; write one like 2027-03-31"
        key = (str(waiver.get("revision")), rule)
        if key in seen:
            yield f"{where}: {rule} of {key[0]} is waived twice; write it once"
        seen.add(key)


def expired(waivers: Sequence[Waiver], today: datetime.date) -> Iterator[str]:
    """Waivers that hold no longer. Their last day is `until`."""
    for number, waiver in enumerate(waivers):
        until = _date(str(waiver["until"]))
        if until is not None and until < today:
            yield (
                f"migrations.waivers[{number}].until: the waiver of {waiver['rule']} for {waiver['revision']} ended on"
                f" {until}; look at the finding again, then write a later date or take the waiver out"
            )


def unused(
    waivers: Sequence[Waiver], findings: Iterable[Mapping[str, Any]], judged: Collection[str], known: Collection[str]
) -> Iterator[str]:
    """Waivers of nothing. judged: the revisions looked at; known: all of the release. One for a revision that was
    applied long ago may stay."""
    used = {(finding["revision"], finding["rule"]) for finding in findings}
    for number, waiver in enumerate(waivers):
        where, revision, rule = f"migrations.waivers[{number}]", str(waiver["revision"]), waiver["rule"]
        if revision not in known:
            yield (
                f"{where}.revision: the release has no such revision, seen {revision!r}; write one of"
                f" {', '.join(sorted(known)[-5:])}"
            )
        elif revision in judged and (revision, rule) not in used:
            yield f"{where}: nothing to waive, {revision} has no finding {rule}; take the waiver out"


def of(finding: Mapping[str, Any], waivers: Sequence[Waiver], today: datetime.date) -> dict[str, str] | None:
    """{reason, until} of the waiver that holds for a finding today, else None."""
    for waiver in waivers:
        until = _date(str(waiver["until"]))
        if (
            (str(waiver["revision"]), waiver["rule"]) == (finding["revision"], finding["rule"])
            and until is not None
            and until >= today
        ):
            return {"reason": str(waiver["reason"]), "until": str(waiver["until"])}
    return None


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None
