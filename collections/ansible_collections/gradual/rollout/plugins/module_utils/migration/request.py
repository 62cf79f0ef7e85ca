# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a migration is asked for, and its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


@dataclass(frozen=True)
class Request:
    """What to migrate, and its limits in seconds unless the name says otherwise.

    rehearsal: the database is a throwaway copy, so no receipt is needed; all else is the same. max_lag_bytes,
    max_lag_seconds: how far a replica may be behind when a step begins; None: no limit.
    """

    database: str
    target: str
    phase: str
    variables: Mapping[str, str]
    receipt: Any
    max_age: float
    run_as: str
    migrate_as: str | None
    socket_directory: str
    port: int
    lock_timeout_ms: int
    pause_ms: int
    deadline: float
    timeout: float
    rehearsal: bool = False
    max_lag_bytes: int | None = None
    max_lag_seconds: float | None = None


class MigrationFailed(DatabaseError):
    """A failed migration; result: what was done before."""

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.result = dict(result)
