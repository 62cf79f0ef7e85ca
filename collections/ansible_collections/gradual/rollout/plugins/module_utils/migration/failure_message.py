# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The message when a step failed: what happened, the database's revision, what may be left, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import indexes
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_FOLLOWING = "The running code is not affected. "
# How the notes begin that belong into the message.
DROPPED, KEPT, BEGAN = "dropped ", "an invalid index of this attempt ", "an attempt that began "
FOUND = "the invalid index "


@dataclass(frozen=True)
class Ending:
    """How the last attempt ended. ended: why Gradual ended it, or "". deadline: seconds.

    transient: the cause may be gone by now. unsure: an attempt may have applied it without recording it.
    """

    revision: Revision
    told: Mapping[str, Any]
    stands: str
    said: str
    ended: str
    status: int
    waited: bool
    transient: bool
    unsure: bool
    deadline: float
    folder: str


def remains(revision: Revision, unsure: bool) -> str:
    """What an attempt may have left in the database."""
    if not revision.transactional:
        return "It does not run in one transaction, so parts of it may be applied. "
    if unsure:
        return (
            "The tool records it in a later transaction, so it may be applied without being recorded: check the schema"
            " before you run it again. "
        )
    return "It ran in one transaction, so nothing of it is left. "


def unfinished(revision: Revision, tool: str, since: str) -> str:
    """A note on a step that an earlier run began, and whose end is unknown."""
    if not revision.transactional:
        return (
            f"an attempt that began at {since} did not finish; this revision does not run in one transaction, so what"
            " that attempt did is still there, and the revision is run again from its beginning"
        )
    return (
        f"an attempt that began at {since} did not finish; {tool} records a revision in a later transaction, so it may"
        " be applied without being recorded"
    )


def foreign(found: Sequence[indexes.Index], whose: str) -> list[str]:
    """Notes on invalid indexes that Gradual leaves alone. whose: what is known of them, as the end of a sentence."""
    return [
        f"{FOUND}{one} on {one.table} {whose}, so Gradual leaves it. If nobody builds it again, type in the database:"
        f" {one.drop}"
        for one in found
    ]


def not_again(revision: Revision, tool: str, since: str) -> str:
    """The error for a step that may be applied already, and must not be applied twice."""
    forget = f"DELETE FROM gradual.migration_step WHERE adapter = '{tool}' AND revision = '{revision.revision}'"
    return (
        f"Revision {revision.revision} ({revision.file}): {unfinished(revision, tool, since)}. It is not run again"
        f" automatically, because it may do something twice. Check the schema: if the revision is applied, record it"
        f" ({tool} deploy --log-only --to-change {revision.revision}); if not, type in the database: {forget}. Then run"
        " the same command again"
    )


def notes(found: Sequence[str]) -> str:
    """The notes that the message of a failed step needs, as sentences."""
    told = [f"Gradual {note}." for note in found if note.startswith(DROPPED)]
    told += [f"{note[0].upper()}{note[1:]}." for note in found if note.startswith((KEPT, BEGAN, FOUND))]
    return "".join(f" {one}" for one in told)


def sentence(end: Ending) -> str:
    """The whole message."""
    what = f"Revision {end.revision.revision} ({end.revision.file})"
    blockers = "; ".join(end.told["blockers"])
    left = remains(end.revision, end.unsure)
    # An index that could not be dropped may affect it; a note says so.
    running = "" if end.revision.concurrent else _FOLLOWING
    if end.waited:
        held = f", held by {blockers}" if blockers else ""
        return (
            f"{what} did not get its lock in {end.told['attempts']} attempts within {end.deadline:.0f} s{held}."
            f" {end.stands}. {running}Wait until that transaction ends, or end it with SELECT"
            " pg_terminate_backend(pid), and run the same command again."
        )
    if end.ended:
        who = f" ({blockers})" if blockers else ""
        return (
            f"{what} was ended: {end.ended}{who}. {end.stands}. {left}{running}Run the same command again when"
            " nothing blocks it."
        )
    if end.status == 0:
        return (
            f"{what} ended with status 0, but is not applied. {end.stands}. Check that the release's own configuration"
            f" in {end.folder} uses DATABASE_URL and commits"
        )
    following = (
        "Run the same command again."
        if end.transient or end.unsure
        else "Fix the migration in a new artifact, and run deploy.yml with it."
    )
    return f"{what} failed: {end.said}. {end.stands}. {left}{running}{following}"


def same_server(before: Mapping[str, Any], now: Mapping[str, Any], stands: str | None) -> None:
    """Refuse to continue on another server than the one that this run began with."""
    here = f"This one is at {stands or 'no revision'}"
    after = (
        "Nothing more is applied. The last commits may be missing here: take a new backup of the new primary, and run"
        " the same command again there"
    )
    if before["system_identifier"] != now["system_identifier"]:
        raise DatabaseError(
            f"the server that came back is of another cluster: got {now['system_identifier']}, expected"
            f" {before['system_identifier']}. {here}. {after}"
        )
    if now["standby"]:
        raise DatabaseError(
            f"the server that came back is a standby: there was a failover, another server is the primary now. {here}."
            f" {after}"
        )
    if before["timeline"] != now["timeline"]:
        raise DatabaseError(
            f"there was a failover: the server that came back is on timeline {now['timeline']}, this run began on"
            f" {before['timeline']}. {here}. {after}"
        )
