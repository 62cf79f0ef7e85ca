# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Which pending revisions a phase applies now, and which it leaves for later."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import UNKNOWN, Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def split(pending: Sequence[Revision], phase: str) -> tuple[list[Revision], list[Revision]]:
    """(revisions to apply now, revisions that stay pending).

    contract applies all of them. expand applies those before the first revision of another phase. It refuses an expand
    revision behind that one, and a file that does not name its phase.
    """
    if phase == "contract":
        return list(pending), []
    for number, one in enumerate(pending):
        if one.phase == "expand":
            continue
        silent = [other for other in pending if other.phase == UNKNOWN]
        if silent:
            raise DatabaseError(
                f"{silent[0].file} does not name its phase, so it is treated as contract. If the previous release works"
                ' with the schema that it makes, write phase = "expand" at the top level of the file. If not, write'
                ' phase = "contract", and apply it later with contract.yml'
            )
        late = [other for other in pending[number:] if other.phase == "expand"]
        if late:
            raise DatabaseError(
                f"{late[0].revision} ({late[0].file}) is an expand revision, but it comes after {one.revision}, whose"
                f" phase is {one.phase} and which is not applied yet; put the expand revision before it, or ship"
                f" {one.revision} in a later release"
            )
        return list(pending[:number]), list(pending[number:])
    return list(pending), []
