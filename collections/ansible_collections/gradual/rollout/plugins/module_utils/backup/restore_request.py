# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a restore is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import socket_parameters


@dataclass(frozen=True)
class Request:
    """Which backup to restore, to what, and where the live cluster is. timeout and deadline in seconds.

    target: database or cluster, "" for the method's default; database: name of the new database; folder, cluster_port:
    of the new cluster; in_place: name of the database to replace, or ""; point: a named restore point, or "".
    """

    path: str
    target: str = ""
    database: str = ""
    folder: str = ""
    cluster_port: int = 0
    in_place: str = ""
    point: str = ""
    socket_directory: str = "/var/run/postgresql"
    port: int = 5432
    jobs: int = 2
    reserve_mib: int = 512
    timeout: float = 3600
    deadline: float = 60

    def parameters(self, database: str) -> dict[str, str]:
        return socket_parameters(database, self.socket_directory, self.port)

    def address(self) -> list[str]:
        return ["--host", self.socket_directory, "--port", str(self.port), "--no-password"]


def stamp(receipt: Mapping[str, Any]) -> str:
    """When the backup was taken, as part of a name: 20261123T120000Z."""
    return str(receipt["taken_at"]).replace("-", "").replace(":", "")
