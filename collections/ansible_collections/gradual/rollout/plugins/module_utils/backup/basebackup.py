# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Backup method `basebackup`: pg_basebackup of the whole cluster, and the write-ahead log up to a restore point.

A restored copy is recovered to that restore point, and compared with the snapshot that was taken there.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, restore_point, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Request, Work
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, server, taken_over, wal
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.recovery import Target, recovered
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import (
    OVERHEAD,
    Scratch,
    scratch_folder,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

WAL = "wal"
MANIFEST = "backup_manifest"
_SLOT = "gradual_backup_"
# Bytes for the write-ahead log that is written during the backup.
_WAL_ALLOWANCE = 256 * store.MIB


class Basebackup(base.Method):
    """pg_basebackup: plain files, their SHA-256 in its manifest."""

    name = "basebackup"
    many_files = True
    unlogged = False

    def check(self, request: Request, session: Session) -> None:  # noqa: ARG002 (other methods need it)
        need_primary(session, self.name)
        outside = [
            row[0]
            for row in session.rows(
                "SELECT format('%%s (%%s)', spcname, pg_tablespace_location(oid)) FROM pg_tablespace WHERE"
                " pg_tablespace_location(oid) <> ''",
                (),
            )
        ]
        if outside:
            raise DatabaseError(
                f"the method basebackup does not copy tablespaces, and this cluster has {', '.join(outside)}; use the"
                " method dump or pgbackrest"
            )

    def estimate(self, session: Session) -> int:
        return cluster_bytes(session) + _WAL_ALLOWANCE

    def fill(self, work: Work) -> dict[str, Any]:
        size = cluster_bytes(work.session)
        with Session(work.request.parameters(), base.APPLICATION_NAME) as keeper:
            contents.fix_text(keeper)
            # A temporary slot: the server keeps the WAL as long as this session lives, and drops the slot with it.
            keeper.run("SELECT pg_create_physical_replication_slot(%s || pg_backend_pid(), true, true)", (_SLOT,))
            warnings = _copy(work)
            work.clock.lap("copy")
            held = restore_point.held(work, lambda at: _fetch(work, at))
        _need_all_wal(work, held)
        return {
            "format": "plain",
            **held,
            "warnings": warnings,
            "known": _known(work.folder),
            # By pg_basebackup, which first starts to write all files and then waits for each.
            "synced": store.CLUSTER,
            "tools": {"pg_basebackup": work.version("pg_basebackup")},
            "restore": {**held["restore"], "cluster_bytes": size},
        }

    def intact(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        # Reads every file again, compares it with the server's checksums, and looks for the WAL that the backup needs.
        strictly(
            run(
                [
                    server.kept_program(receipt, "pg_verifybackup"),
                    "--quiet",
                    "--exit-on-error",
                    os.path.join(path, store.CLUSTER),
                ],
                timeout=timeout,
            )
        )

    def readable(self, path: str, receipt: Mapping[str, Any], timeout: float) -> None:
        """Decode every WAL record up to the restore point. The files themselves can be checked by checksum only."""
        wal.decode(server.kept_program(receipt, "pg_waldump"), os.path.join(path, WAL), receipt["restore"], timeout)

    def copy_bytes(self, receipt: Mapping[str, Any]) -> int:
        return int(receipt["restore"]["cluster_bytes"]) + OVERHEAD

    @contextlib.contextmanager
    def restored_copy(
        self,
        path: str,
        receipt: Mapping[str, Any],
        parent: str,
        timeout: float,
        jobs: int = 2,  # noqa: ARG002 (other methods need it)
    ) -> Iterator[Scratch]:
        programs = os.path.dirname(server.kept_program(receipt, "postgres"))
        with scratch_folder(parent) as folder:
            strictly(
                run(
                    [
                        "cp",
                        "--archive",
                        "--reflink=auto",
                        "--no-target-directory",
                        os.path.join(path, store.CLUSTER),
                        os.path.join(folder, "data"),
                    ],
                    timeout=timeout,
                )
            )
            # By a link, so that no character of the path needs quoting in the command.
            os.symlink(os.path.join(path, WAL), os.path.join(folder, WAL))
            target = Target(receipt["restore"]["target"], f'cp "../{WAL}/%f" "%p"')
            more = taken_over.of(receipt.get("settings", {}), programs)
            with recovered(folder, programs, receipt["bootstrap_role"], target, timeout, more) as scratch:
                yield scratch


def need_primary(session: Session, method: str) -> None:
    """Refuse a standby: restore points are written on a primary."""
    if session.value("SELECT pg_is_in_recovery()"):
        raise DatabaseError(
            f"this server is a standby, where no restore point can be made; run {method} on the primary, or use the"
            " method dump here"
        )


def cluster_bytes(session: Session) -> int:
    """Size of all databases of the cluster, with their indexes."""
    return int(session.value("SELECT sum(pg_database_size(oid))::bigint FROM pg_database"))


def _copy(work: Work) -> list[str]:
    return strictly(
        run(
            [
                work.program("pg_basebackup"),
                *work.request.address(),
                "--pgdata",
                os.path.join(work.folder, store.CLUSTER),
                "--format",
                "plain",
                "--wal-method",
                "stream",
                "--checkpoint",
                "fast",
                "--manifest-checksums",
                "SHA256",
                "--label",
                work.id,
            ]
        )
    )


def _fetch(work: Work, at: restore_point.Moment) -> None:
    """Receive the WAL from the copy's last segment, which is incomplete there, to the segment of the restore point."""
    copied = sorted(
        name for name in os.listdir(os.path.join(work.folder, store.CLUSTER, "pg_wal")) if wal.is_segment(name)
    )
    if not copied:
        raise DatabaseError("pg_basebackup ended with status 0, but its copy has no write-ahead log; take a new backup")
    folder = os.path.join(work.folder, WAL)
    os.makedirs(folder, exist_ok=True)
    wal.receive(
        work.program("pg_receivewal"),
        work.request.address(),
        folder,
        copied[-1],
        at.lsn,
        server.segment_bytes(work.session),
    )


def _need_all_wal(work: Work, held: Mapping[str, Any]) -> None:
    """Refuse a backup that lacks a segment between the beginning of the copy and the restore point."""
    inside = os.path.join(work.folder, store.CLUSTER, "pg_wal")
    size = held["restore"]["segment_bytes"]
    first = min(name for name in os.listdir(inside) if wal.is_segment(name))
    held["restore"]["first_segment"] = first
    for name in wal.segments(first, held["restore"]["last_segment"], size):
        found = [
            os.path.getsize(path)
            for path in (os.path.join(work.folder, WAL, name), os.path.join(inside, name))
            if os.path.exists(path)
        ]
        if size not in found:
            raise DatabaseError(
                f"the backup needs the WAL segment {name}, which was not received; raise max_slot_wal_keep_size and"
                " take a new backup"
            )


def _known(folder: str) -> dict[str, str]:
    """{path: SHA-256} that the server computed while it sent each file."""
    with open(os.path.join(folder, store.CLUSTER, MANIFEST), encoding="utf-8") as file:
        listed = json.load(file)["Files"]
    return {
        f"{store.CLUSTER}/{one['Path']}": one["Checksum"]
        for one in listed
        if one.get("Checksum-Algorithm") == "SHA256" and "Path" in one
    }
