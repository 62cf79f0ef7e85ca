# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Kill a flag in a flag file, and allow it again: what the file must become. Pure functions over parsed JSON."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import (
    FlagFileError,
    Plan,
    Wanted,
    plan,
    revision_of,
    unchanged,
)
from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_mark import Mark, mark_of, marked
from ansible_collections.gradual.rollout.plugins.module_utils.flags.lint import strange

Document = t.Optional[t.Mapping[str, t.Any]]


def has(current: Document, flag: str) -> bool:
    """Whether a flag can be killed in a file. A file that is missing or broken (None) has every flag, because processes
    keep the last good one."""
    return current is None or flag in current["flags"]


def killed(
    current: Document, flag: str, by: str, reason: str, revision: int, now: float, at: t.Optional[float] = None
) -> Plan:
    """The file with the flag off for all users and marked; a flag that is killed keeps its first mark.

    now: by the clock of the host, and at: when it was killed, the same on all hosts, by default now; both in seconds
    since the epoch. Raises FlagFileError for a flag that has not the variants on and off."""
    held = (current or {}).get("flags", {}).get(flag)
    variants = held.get("variants") if isinstance(held, dict) else None
    if isinstance(variants, dict) and (variants.get("on") is not True or variants.get("off") is not False):
        raise FlagFileError(f"flag {flag} is not Gradual's: {strange(held)}; turn it off where it is written")
    change = plan(current, [Wanted(flag, 0)], revision, mark=False)
    if mark_of(change.document["flags"][flag]):
        return change
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now if at is None else at))
    return _with_mark(change, current, flag, Mark(since, by, reason, showed(held, now)), revision)


def allowed(current: Document, flag: str, revision: int) -> Plan:
    """The file without the flag's mark. The flag stays off; from now on a rollout may show it."""
    if not mark_of((current or {}).get("flags", {}).get(flag)):
        return unchanged(current)
    return _with_mark(plan(current, [Wanted(flag, 0)], revision, mark=False), current, flag, None, revision)


def _with_mark(change: Plan, current: Document, flag: str, mark: t.Optional[Mark], revision: int) -> Plan:
    """The plan with this mark of the flag, or none. It has a new revision, so that a process which has not read the
    file is seen."""
    number = max(revision, revision_of(current) + 1)
    held = change.document["flags"][flag]
    built = marked({**held, "metadata": {**held["metadata"], "revision": number}}, mark)
    document = {
        **change.document,
        "flags": {**change.document["flags"], flag: built},
        "metadata": {**change.document["metadata"], "revision": number},
    }
    return dataclasses.replace(change, document=document, revision=number, differing=[flag])


def showed(held: t.Any, now: float) -> str:
    """To whom a definition shows its feature: `50 % of users until 2026-11-23T12:00:00Z, then 25 %`, `100 % of users`,
    `nobody`; `not known` for a rule that Gradual does not write."""
    if not isinstance(held, dict):
        return "not known"
    rule = held.get("targeting")
    try:
        if isinstance(rule, dict) and "if" in rule:
            condition, baking, certified = rule["if"]
            expiry = condition["<"][1]
            if now < expiry:
                until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expiry))
                return f"{_users(_percent(baking))} until {until}, then {_users(_percent(certified))}"
            rule = certified
        return _users(_percent(rule))
    except (KeyError, IndexError, TypeError, ValueError):
        return "not known"


def _percent(rule: t.Any) -> int:
    if rule in (None, {}, "off"):
        return 0
    return int(dict(rule["fractional"]).get("on", 0))


def _users(percent: int) -> str:
    return f"{percent} % of users" if percent else "nobody"
