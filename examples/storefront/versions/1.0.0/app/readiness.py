"""May this process take traffic: the database answers and its schema is one that this release runs on."""

from __future__ import annotations

from typing import Any

from . import release
from .database import UNAVAILABLE, Database


def check(database: Database) -> dict[str, Any]:
    """The facts that /readyz tells, with a reason where it may not."""
    facts = {"database": "ok", "schema": None, "needs": release.NEEDS_REVISION}
    try:
        facts["schema"], reason = database.schema_problem(release.NEEDS_REVISION, release.NEEDS_COLUMNS)
    except UNAVAILABLE as error:
        facts["database"], reason = "unreachable", f"the database does not answer ({type(error).__name__})"
    return {**facts, "reason": reason} if reason else facts
