# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Compute the materialized views of a throwaway copy, as far as they read nothing but the copy."""

from __future__ import annotations

import re
from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import event_triggers
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# In the order in which they were made, so that a view comes after those that it reads.
_EMPTY = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND NOT c.relispopulated ORDER BY c.oid
"""
# How a foreign data wrapper, dblink, or a function in any language says that it cannot connect: by its SQLSTATE
# (connection exceptions, errors of foreign data wrappers), or in the system's or a library's words.
_STATES = ("08", "HV")
_WORDS = re.compile(r"network is unreachable|(could not|couldn't|failed to|cannot|unable to) (connect|resolve)", re.I)
_NOT_POPULATED = "55000"


def empty(session: Session) -> list[str]:
    """The quoted names of the views that are not computed, in order."""
    return [str(row[0]) for row in session.rows(_EMPTY)]


def refresh(session: Session, views: Sequence[str]) -> list[str]:
    """Refresh them; returns those that read another system, and those that read one of these.

    The copy must be secluded. DatabaseError when a view cannot be computed for another reason.
    """
    left: list[str] = []
    # A path as pg_restore has, because a restore by hand would have no other one.
    session.run("SELECT pg_catalog.set_config('search_path', '', false)")
    with event_triggers.off(session):
        for view in views:
            try:
                session.run(f"REFRESH MATERIALIZED VIEW {view}")
            except DatabaseError as error:
                if not (reaches_out(error) or (left and error.sqlstate == _NOT_POPULATED)):
                    raise DatabaseError(
                        f"the materialized view {view} cannot be computed: {error}", error.sqlstate
                    ) from None
                left.append(view)
    return left


def reaches_out(error: DatabaseError) -> bool:
    """Whether the statement failed because it wanted to connect to something."""
    return error.sqlstate.startswith(_STATES) or bool(_WORDS.search(str(error)))
