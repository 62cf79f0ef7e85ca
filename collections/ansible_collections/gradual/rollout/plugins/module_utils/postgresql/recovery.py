# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Recover a copy of a cluster's files to a named restore point, as a throwaway cluster."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch, running, shut_down

# Replaced, because the live cluster's settings would use its archive, sockets and primary.
_OWN_FILES = {
    "postgresql.conf": "",
    "postgresql.auto.conf": "",
    "pg_hba.conf": "local all all trust\n",
    "pg_ident.conf": "",
    "recovery.signal": "",
}
_FOREIGN_FILES = ("standby.signal", "postmaster.pid", "recovery.conf", "recovery.done")
# Recovery needs at least what the source had (manual, 27.4.3); the names are pg_controldata's.
_FROM_CONTROL = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


@dataclass(frozen=True)
class Target:
    """The restore point where recovery ends, and the command that copies a WAL segment (%f) to a path (%p).

    connects: the command may fetch the segment from another host.
    """

    name: str
    restore_command: str
    connects: bool = False


@contextlib.contextmanager
def recovered(
    folder: str, programs: str, superuser: str, target: Target, timeout: float, more: Mapping[str, str] | None = None
) -> Iterator[Scratch]:
    """Run the copy in `folder`/data, recovered to exactly that restore point; an error when it cannot be reached.

    more: additional settings.
    """
    data = os.path.join(folder, "data")
    _detach(folder, data)
    settings = {
        "recovery_target_name": target.name,
        "recovery_target_action": "promote",
        "recovery_target_timeline": "current",
        # No connections before the target is reached.
        "hot_standby": "off",
        "restore_command": target.restore_command,
        "config_file": os.path.join(data, "postgresql.conf"),
        "hba_file": os.path.join(data, "pg_hba.conf"),
        "ident_file": os.path.join(data, "pg_ident.conf"),
        **_source_settings(programs, data),
        **(more or {}),
    }
    if target.connects:
        # Recovery runs no code of the database. After it, the files are those of a cluster that was shut down.
        with running(folder, programs, superuser, timeout, settings, secluded=False):
            shut_down(data, timeout)
    with running(folder, programs, superuser, timeout, settings) as scratch:
        yield scratch


def _detach(folder: str, data: str) -> None:
    """Remove everything in the copy that refers to the live cluster."""
    for name, text in _OWN_FILES.items():
        with open(os.path.join(data, name), "w", encoding="utf-8") as file:
            file.write(text)
    for name in _FOREIGN_FILES:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(data, name))
    links = os.path.join(data, "pg_tblspc")
    outside = [
        name
        for name in os.listdir(links)
        if not os.path.realpath(os.path.join(links, name)).startswith(os.path.realpath(folder) + os.sep)
    ]
    if outside or os.path.islink(os.path.join(data, "pg_wal")):
        raise DatabaseError(
            f"the copy would share {', '.join(outside) or 'pg_wal'} with the live cluster, so it was not started; use"
            " the method dump"
        )


def _source_settings(programs: str, data: str) -> dict[str, str]:
    told = run([os.path.join(programs, "pg_controldata"), data])
    strictly(told)
    found = dict(re.findall(r"^(\w+) setting:\s+(\d+)$", told.output, re.MULTILINE))
    return {name: found[key] for key, name in _FROM_CONTROL.items() if key in found}
