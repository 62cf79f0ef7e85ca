# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The phase of each revision: what its file says, else what the manifest says; and what a phase applies now."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import replace
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import UNKNOWN, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

# An entry of migrations.phases: one of these keys, a phase and a reason.
Entry = Mapping[str, Any]
KEYS = ("app", "revision", "pattern")
# How a file of each tool names its phase.
IN_FILE = {
    "alembic": 'phase = "{phase}" at the top level of the file',
    "django": 'gradual_phase = "{phase}" in the class Migration of the file',
    "sql": "the comment -- gradual: phase={phase} at the top of the file",
    "sqitch": "the comment -- gradual: phase={phase} at the top of the deploy script",
}

# The option of the modules that take the entries.
ARGUMENT = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        **{key: {"type": "str"} for key in KEYS},
        "phase": {"type": "str", "choices": ["expand", "contract"], "required": True},
        "reason": {"type": "str", "required": True},
    },
}


def key_of(entry: Entry) -> str | None:
    """Which of KEYS an entry has; None unless exactly one."""
    given = [key for key in KEYS if entry.get(key)]
    return given[0] if len(given) == 1 else None


def assigned(revisions: Mapping[str, Revision], entries: Sequence[Entry], tool: str) -> dict[str, Revision]:
    """The revisions, with a phase from the first entry that matches where the file does not name one.

    A phase in the file wins over app and pattern. An entry for exactly this revision that says another phase is an
    error, and so is an entry that matches no revision of the release.
    """
    for number, entry in enumerate(entries):
        _refuse_useless(f"migrations.phases[{number}]", entry, revisions, tool)
    return {name: _told(one, entries) for name, one in revisions.items()}


def matches(entry: Entry, name: str) -> bool:
    """Whether an entry is about the revision of this name, as the adapter tells it."""
    key = key_of(entry)
    if key == "app":
        return bool(name.partition(".")[0] == entry["app"])
    return bool(name == entry["revision"] if key == "revision" else fnmatch.fnmatchcase(name, entry["pattern"]))


def _told(one: Revision, entries: Sequence[Entry]) -> Revision:
    if one.phase != UNKNOWN:
        return one
    entry = next((entry for entry in entries if matches(entry, one.revision)), None)
    return replace(one, phase=entry["phase"], phase_reason=entry["reason"]) if entry else one


def _refuse_useless(where: str, entry: Entry, revisions: Mapping[str, Revision], tool: str) -> None:
    key = key_of(entry)
    if key is None or (key == "app" and tool != "django"):
        expected = "app, revision or pattern" if tool == "django" else "revision or pattern"
        raise DatabaseError(f"{where}: got {_shown(entry)}, expected exactly one of {expected}")
    found = [one for name, one in revisions.items() if matches(entry, name)]
    if not found:
        known = sorted({name.partition(".")[0] for name in revisions} if key == "app" else revisions)
        near = difflib.get_close_matches(str(entry[key]), known, 3, 0.5) or known[-5:]
        raise DatabaseError(
            f"{where}.{key}: got {entry[key]!r}, which matches none of the {len(revisions)} revisions of the release;"
            f" expected one such as {', '.join(near) or 'none: there are no revisions'}"
        )
    if key == "revision" and found[0].phase not in (UNKNOWN, entry["phase"]):
        raise DatabaseError(
            f"{where}: got phase {entry['phase']} for {entry[key]}, but its file {found[0].file} says"
            f" {found[0].phase}; remove this entry, or the phase in the file"
        )


def _shown(entry: Entry) -> str:
    return ", ".join(f"{key}: {entry[key]}" for key in KEYS if entry.get(key)) or "none of them"


def choices(revisions: Sequence[Revision]) -> Iterator[dict[str, str]]:
    """{revision, phase, reason} of each revision whose phase is from the manifest."""
    for one in revisions:
        if one.phase_reason:
            yield {"revision": one.revision, "phase": one.phase, "reason": one.phase_reason}


def refuse_impossible(pending: Sequence[Revision]) -> None:
    """Refuse a file that cannot be run, whatever its phase."""
    wrong = next((one.problem for one in pending if one.problem), "")
    if wrong:
        raise DatabaseError(wrong)


def split(pending: Sequence[Revision], phase: str, tool: str) -> tuple[list[Revision], list[Revision]]:
    """(revisions to apply now, revisions that stay pending). pending: parents before children.

    contract applies all of them. expand applies those that neither are of another phase nor depend on a pending one
    that is. It refuses an expand revision that does, a revision without a phase, and in each phase a file that cannot
    be run.
    """
    refuse_impossible(pending)
    if phase == "contract":
        return list(pending), []
    silent = [one for one in pending if one.phase == UNKNOWN]
    if silent:
        raise DatabaseError(without_phase(silent, tool))
    # Revision → the one of another phase that it waits for, which may be itself.
    waits: dict[str, Revision] = {}
    for one in pending:
        first = next((waits[parent] for parent in one.parents if parent in waits), None)
        if first or one.phase != "expand":
            waits[one.revision] = first or one
    late = next((one for one in pending if one.phase == "expand" and one.revision in waits), None)
    if late:
        raise DatabaseError(_late(late, waits[late.revision]))
    return [one for one in pending if one.revision not in waits], [one for one in pending if one.revision in waits]


def _late(late: Revision, first: Revision) -> str:
    why = f" ({first.phase_reason})" if first.phase_reason else ""
    theirs = (
        f"; if these files are not yours to edit and the previous release works with {first.revision}, write in the"
        f' manifest, below migrations, phases: [{{revision: "{first.revision}", phase: expand, reason: …}}], and'
        f" waivers for its findings; if the new release works without {late.revision}, phase: contract for that"
        if first.phase_reason or late.phase_reason
        else ""
    )
    return (
        f"{late.revision} ({late.file}) is an expand revision, but it depends on {first.revision}, whose phase is"
        f" {first.phase}{why} and which is not applied yet; put the expand revision before it, or ship"
        f" {first.revision} in a later release{theirs}"
    )


def without_phase(silent: Sequence[Revision], tool: str) -> str:
    """What to write for revisions without a phase, in a file of one's own and for one that is not."""
    one = silent[0]
    more = f" (and {len(silent) - 1} more)" if silent[1:] else ""
    app = one.revision.partition(".")[0]
    entry = f"app: {app}" if tool == "django" else f'revision: "{one.revision}"'
    return (
        f"{one.file}{more} does not name its phase, so it is treated as contract and not applied. If the previous"
        f" release works with the schema that it makes, write {IN_FILE[tool].format(phase='expand')}; if not, the same"
        " with contract, and apply it later with contract.yml. If the file is not yours to edit, write in the"
        f" manifest, below migrations, phases: [{{{entry}, phase: expand, reason: …}}], or by_lint: true"
    )
