"""All faults, and what was seen of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import backups, contracts, locks, pages, papers, processes, replicas, servers, way
from .fault import FAULTS, Fault, NotHere, Seen
from .stage import Stage

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
