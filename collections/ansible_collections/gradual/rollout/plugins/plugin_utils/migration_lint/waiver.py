# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waivers: a reviewed finding, the reason why it does no harm, and the last day of the waiver. Pure functions."""

from __future__ import annotations

import datetime
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

Waiver = Mapping[str, Any]


def mistakes(waivers: Sequence[Waiver], rules: Collection[str]) -> Iterator[str]:
    """Errors in the entries, as `path: what, got X, expected Y`. rules: the names of all rules."""
    seen = set()
    for number, waiver in enumerate(waivers):
        where = f"migrations.waivers[{number}]"
        rule, reason, until = (str(waiver.get(key) or "") for key in ("rule", "reason", "until"))
        if rule and rule not in rules:
            yield f"{where}.rule: got {rule!r}, expected a rule of docs/migration-lint.md"
        if "reason" in waiver and len(reason.split()) < 3:
            yield f"{where}.reason: got {reason!r}, expected a sentence that says why it does no harm here"
        if until and _date(until) is None:
            yield f"{where}.until: got {until!r}, expected a date like 2027-03-31"
        key = (str(waiver.get("revision")), rule)
        if key in seen:
            yield f"{where}: {rule} of {key[0]} is waived twice; remove one of them"
        seen.add(key)


def expired(waivers: Sequence[Waiver], today: datetime.date) -> Iterator[str]:
    """Expired waivers. `until` is the last day."""
    for number, waiver in enumerate(waivers):
        until = _date(str(waiver["until"]))
        if until is not None and until < today:
            yield (
                f"migrations.waivers[{number}].until: the waiver of {waiver['rule']} for {waiver['revision']} ended on"
                f" {until}; review the finding again, then write a later date or remove the waiver"
            )


def unused(
    waivers: Sequence[Waiver], findings: Iterable[Mapping[str, Any]], judged: Collection[str], known: Collection[str]
) -> Iterator[str]:
    """Waivers without a finding. judged: the checked revisions; known: all revisions of the release. A waiver for an
    applied revision may stay."""
    used = {(finding["revision"], finding["rule"]) for finding in findings}
    for number, waiver in enumerate(waivers):
        where, revision, rule = f"migrations.waivers[{number}]", str(waiver["revision"]), waiver["rule"]
        if revision not in known:
            yield (
                f"{where}.revision: got {revision!r}, expected a revision of the release, such as"
                f" {', '.join(sorted(known)[-5:])}"
            )
        elif revision in judged and (revision, rule) not in used:
            yield f"{where}: {revision} has no finding {rule}; remove the waiver"


def of(finding: Mapping[str, Any], waivers: Sequence[Waiver], today: datetime.date) -> dict[str, str] | None:
    """{reason, until} of the waiver that covers a finding today, else None."""
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
