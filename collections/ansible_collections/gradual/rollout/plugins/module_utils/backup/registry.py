# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The backup methods by name."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Method
from ansible_collections.gradual.rollout.plugins.module_utils.backup.basebackup import Basebackup
from ansible_collections.gradual.rollout.plugins.module_utils.backup.dump import Dump
from ansible_collections.gradual.rollout.plugins.module_utils.backup.pgbackrest import PgBackRest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

METHODS: dict[str, Method] = {method.name: method for method in (Dump(), Basebackup(), PgBackRest())}


def of(name: str) -> Method:
    """The method of that name, as a request or a receipt has it."""
    if name not in METHODS:
        raise DatabaseError(f"backup method: got {name!r}, expected one of {', '.join(METHODS)}")
    return METHODS[name]
