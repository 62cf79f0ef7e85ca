# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The mark of a killed flag, in the metadata of its definition: since when it is off, by whom, why, what it showed.

It is in the flag file itself, so every writer on the host finds it, whatever has become of the ledger. Pure functions.
"""

from __future__ import annotations

import dataclasses
import typing as t

# flagd takes only text, numbers and booleans in metadata, so each field is a key of its own.
PREFIX = "killed_"


@dataclasses.dataclass(frozen=True)
class Mark:
    """at: UTC, like 2026-11-23T12:00:00Z; by: who; reason: why; showed: what the flag showed until then, in words."""

    at: str
    by: str
    reason: str
    showed: str


FIELDS = tuple(field.name for field in dataclasses.fields(Mark))


def mark_of(held: t.Any) -> t.Optional[Mark]:
    """The mark in a flag's definition; None if the flag is not killed."""
    metadata = held.get("metadata") if isinstance(held, dict) else None
    if not isinstance(metadata, dict) or PREFIX + "at" not in metadata:
        return None
    return Mark(*(str(metadata.get(PREFIX + name, "")) for name in FIELDS))


def marked(built: t.Mapping[str, t.Any], mark: t.Optional[Mark]) -> t.Dict[str, t.Any]:
    """The definition with this mark, or without any."""
    kept = {key: value for key, value in built["metadata"].items() if not key.startswith(PREFIX)}
    told = {PREFIX + key: value for key, value in dataclasses.asdict(mark).items()} if mark else {}
    return {**built, "metadata": {**kept, **told}}


def marks(document: t.Optional[t.Mapping[str, t.Any]], flags: t.Iterable[str]) -> t.Dict[str, Mark]:
    """The marks of those of the flags that are killed in a flag file."""
    held = (document or {}).get("flags")
    found = {flag: mark_of(held.get(flag)) for flag in flags} if isinstance(held, dict) else {}
    return {flag: mark for flag, mark in found.items() if mark}


def sentence(flag: str, mark: t.Mapping[str, t.Any]) -> str:
    """Which flag was killed, when, by whom and why; `mark` has the fields of a Mark."""
    why = str(mark.get("reason") or "").strip().rstrip(".") or "no reason given"
    return f"the flag {flag} was killed at {mark.get('at')} by {mark.get('by') or 'somebody'}: {why}"


def remedy(flag: str) -> str:
    """What to type so that the flag can be rolled out again."""
    return f"To let rollouts show it again: ansible-playbook playbooks/allow_flag.yml -e flag={flag}"
