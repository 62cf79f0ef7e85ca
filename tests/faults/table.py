"""All faults, and the table of what was seen of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import backups, contracts, locks, pages, papers, processes, replicas, servers, way
from .fault import FAULTS, ROWS, Fault, NotHere, Seen
from .stage import Stage

_FOLDER = re.compile(r"/tmp/gradual-[a-z]+-\w+")
FAMILIES = (locks, backups, contracts, pages, papers, processes, replicas, servers, way)


def faults() -> list[Fault]:
    """All of them, in the order of the rows."""
    return sorted(FAULTS, key=lambda one: one.number)


@dataclass(frozen=True)
class Result:
    """What was seen, or why not ("" when the outcome is right), or why this machine cannot cause it."""

    fault: Fault
    seen: Seen | None
    wrong: str = ""
    elsewhere: str = ""


def caused(stage: Stage) -> Iterator[Result]:
    """Cause each fault in turn. One that goes wrong is told and the next one caused."""
    for one in faults():
        try:
            yield Result(one, one.cause(stage))
        except NotHere as reason:
            yield Result(one, None, elsewhere=str(reason))
        except (Exception, AssertionError) as error:  # a table with a hole says more than none
            yield Result(one, None, wrong=f"{type(error).__name__}: {error}")


def markdown(results: list[Result]) -> str:
    """The table, a line a fault, and how many of the 25 rows hold."""
    lines = [
        "| # | fault | caused by | what Gradual did | the database afterwards | seconds to a safe state | right |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        did, state, seconds = (
            (one.seen.did, one.seen.state, f"{one.seen.seconds:.1f}")
            if one.seen
            else (one.wrong or one.elsewhere, "", "")
        )
        right = "yes" if one.seen else "**NO**" if one.wrong else "not caused here"
        lines.append(
            "| "
            + " | ".join(
                _cell(part)
                for part in (str(one.fault.number), one.fault.name, one.fault.caused, did, state, seconds, right)
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def summary(results: list[Result]) -> str:
    """How many rows hold: all of whose cases were right, or could be caused at least once."""
    held = [number for number in ROWS if _holds([one for one in results if one.fault.number == number])]
    missing = [f"{number} ({ROWS[number]})" for number in ROWS if number not in held]
    slowest = max((one.seen.seconds for one in results if one.seen), default=0.0)
    return (
        f"{len(held)} of {len(ROWS)} faults ended as they should, in {len(results)} cases; the longest way to a safe"
        f" state took {slowest:.1f} s." + (f" Not: {', '.join(missing)}." if missing else "")
    )


def _holds(cases: list[Result]) -> bool:
    return any(one.seen for one in cases) and not any(one.wrong for one in cases)


def _cell(text: str) -> str:
    # Folders of this run tell nobody anything.
    return " ".join(_FOLDER.sub("…", text).replace("|", "\\|").split())
