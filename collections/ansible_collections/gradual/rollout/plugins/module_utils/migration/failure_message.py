# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What an operator reads when a step has failed: what happened, where the database stands, what may be left, what to
do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_FOLLOWING = "The code that runs now is not concerned. "


@dataclass(frozen=True)
class Ending:
    """How the last attempt ended. ended: why we ended it, or "". deadline: seconds.

    passing: the cause may be over by now. unsure: an attempt may have done it without recording it.
    """

    revision: Revision
    told: Mapping[str, Any]
    stands: str
    said: str
    ended: str
    status: int
    waited: bool
    passing: bool
    unsure: bool
    deadline: float
    folder: str


def remains(revision: Revision, unsure: bool) -> str:
    """What may be left of an attempt."""
    if not revision.transactional:
        return "It does not run in one transaction, so parts of it may be there. "
    if unsure:
        return (
            "Its tool records it only after the transaction that does it, so it may be there without being recorded:"
            " look before you run it again. "
        )
    return "It ran in a transaction, nothing of it is left. "


def unfinished(revision: Revision, tool: str, since: str) -> str:
    """A note on a step that an earlier run began; nobody saw its end."""
    if not revision.transactional:
        return (
            f"an attempt that began at {since} did not end; this revision does not run in one transaction, so what that"
            " attempt did before is still there, and it is run again from its beginning"
        )
    return (
        f"an attempt that began at {since} did not end; {tool} records a revision only after the transaction that does"
        " it, so it may be there without being recorded"
    )


def not_again(revision: Revision, tool: str, since: str) -> str:
    """An error on a step that may be done already, and would do harm when it is done twice."""
    forget = f"DELETE FROM gradual.migration_step WHERE adapter = '{tool}' AND revision = '{revision.revision}'"
    return (
        f"Revision {revision.revision} ({revision.file}): {unfinished(revision, tool, since)}. It is not run again by"
        f" itself, since it may do something twice. Look: if what it does is there, record it with the tool ({tool}"
        f" deploy --log-only --to-change {revision.revision}); if not, type in the database: {forget}. Then run the"
        " same command again"
    )


def notes(found: Sequence[str]) -> str:
    """Those notes on a failed step without which its message would mislead, as sentences."""
    told = [f"Gradual {note}." for note in found if note.startswith("dropped")]
    told += [f"{note[0].upper()}{note[1:]}." for note in found if note.startswith("an attempt that began")]
    return "".join(f" {one}" for one in told)


def sentence(end: Ending) -> str:
    what = f"Revision {end.revision.revision} ({end.revision.file})"
    blockers = "; ".join(end.told["blockers"])
    left = remains(end.revision, end.unsure)
    if end.waited:
        held = f", held by {blockers}" if blockers else ""
        return (
            f"{what} did not get its lock in {end.told['attempts']} attempts within {end.deadline:.0f} s{held}."
            f" {end.stands}. {_FOLLOWING}Let that transaction end, or end it with SELECT pg_terminate_backend(pid), and"
            " run the same command again."
        )
    if end.ended:
        who = f" ({blockers})" if blockers else ""
        return (
            f"{what} was ended: {end.ended}{who}. {end.stands}. {left}{_FOLLOWING}Run the same command again when"
            " nothing is in the way."
        )
    if end.status == 0:
        return (
            f"{what} ended with status 0, but the database did not move to it. {end.stands}. Does the release's own"
            f" configuration use DATABASE_URL, and commit what it does? Look in {end.folder}"
        )
    following = (
        "Run the same command again."
        if end.passing or end.unsure
        else "Mend the migration in a new artifact and run deploy.yml with it."
    )
    return f"{what} failed: {end.said}. {end.stands}. {left}{_FOLLOWING}{following}"


def same_server(before: Mapping[str, Any], now: Mapping[str, Any], stands: str | None) -> None:
    """Refuse to go on with a server that is not the one that this run began with."""
    here = f"This one stands at {stands or 'no revision'}"
    after = (
        "Nothing more is applied. What was committed last may be missing here: take a new backup of the new primary,"
        " and run again there"
    )
    if before["system_identifier"] != now["system_identifier"]:
        raise DatabaseError(
            f"the server that came back is another cluster ({now['system_identifier']}, it was"
            f" {before['system_identifier']}). {here}. {after}"
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
