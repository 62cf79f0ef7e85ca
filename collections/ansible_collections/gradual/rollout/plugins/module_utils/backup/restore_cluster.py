# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Restore a backup as a cluster: into a new folder, or in place of a stopped cluster.

It is restored, recovered and compared as in a restore test, shut down, synced, and only then moved to its folder.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import time
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import compare, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Method
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import records, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch, shut_down
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# The restored cluster does not take over the old cluster's pg_hba.conf.
_HBA = (
    'local all "{user}" peer\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all'
    " ::1/128 scram-sha-256\n"
)
_CONFIGURATION = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")


class NewCluster:
    """Restore into a new folder, and run the cluster on its own port."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        self.request, self.receipt, self.method = request, receipt, method
        if not request.folder:
            raise DatabaseError(
                "folder is missing; write the restored cluster's data folder, below a folder of PostgreSQL's user with"
                " enough disk space"
            )
        self.folder = os.path.abspath(request.folder)
        self.parent = os.path.dirname(self.folder)
        # Materialized views that read another system, which the throwaway cluster cannot: quoted names.
        self.not_refreshed: tuple[str, ...] = ()

    def plan(self) -> dict[str, Any]:
        if os.path.lexists(self.folder):
            raise DatabaseError(f"{self.folder} exists already, and no restore overwrites it; write another folder")
        if not self.request.cluster_port:
            raise DatabaseError("cluster_port is missing; write the port of the restored cluster, for example 5433")
        if os.path.lexists(self._socket()) or _listens(self.request.cluster_port):
            raise DatabaseError(f"port {self.request.cluster_port} is in use already; write another cluster_port")
        free = self._need_room()
        return {
            "target": "cluster",
            "folder": self.folder,
            "message": (
                f"would restore {self.receipt['id']} as a new cluster in {self.folder} on port"
                f" {self.request.cluster_port}, of about {self.method.copy_bytes(self.receipt) / store.MIB:.0f} MiB of"
                f" {free / store.MIB:.0f} MiB free"
            ),
        }

    def carry_out(self) -> dict[str, Any]:
        with self._restored() as data:
            self._configure(data)
            self._place(data, self.folder)
        control = server.kept_program(self.receipt, "pg_ctl")
        strictly(
            run(
                [
                    control,
                    "--pgdata",
                    self.folder,
                    "--wait",
                    "--silent",
                    "--log",
                    os.path.join(self.folder, "log"),
                    "start",
                ],
                timeout=self.request.timeout,
            )
        )
        way = f"--host {self.request.socket_directory} --port {self.request.cluster_port}"
        return {
            "message": (
                f"{self.receipt['id']} is restored as a cluster in {self.folder}, runs on port"
                f" {self.request.cluster_port}, listens on its socket only, and contains {self._held()}"
            ),
            "next": [
                f'psql {way} "dbname={self.receipt["database"]}"',
                *(f"REFRESH MATERIALIZED VIEW {name};  -- it reads another system" for name in self.not_refreshed),
                f"{control} --pgdata {self.folder} stop  # and remove the folder, when it is no longer needed",
            ],
        }

    def _need_room(self) -> int:
        if not os.path.isdir(self.parent) or not os.access(self.parent, os.W_OK):
            raise DatabaseError(
                f"{self.parent} is not a folder that user {pwd.getpwuid(os.geteuid()).pw_name!r} can write to; make it,"
                " or write another folder"
            )
        return store.need_space(
            self.parent, self.method.copy_bytes(self.receipt), self.request.reserve_mib, "the restored cluster"
        )

    def _wanted(self) -> Mapping[str, Any]:
        """The receipt, with the requested restore point as the end of recovery, if there is one."""
        return (
            {**self.receipt, "restore": {**self.receipt["restore"], "target": self.request.point}}
            if self.request.point
            else self.receipt
        )

    @contextlib.contextmanager
    def _restored(self) -> Any:
        """The data folder of a restored, compared and stopped cluster; removed at the end unless it was moved."""
        with self.method.restored_copy(
            self.request.path, self._wanted(), self.parent, self.request.timeout, self.request.jobs
        ) as scratch:
            self.not_refreshed = scratch.not_refreshed
            if self.request.point:
                self._need_canary(scratch)
            else:
                compare.none_of(
                    compare.differences(
                        self.request.path, self.receipt, scratch, self.method.unlogged, self.request.timeout
                    )
                )
            data = os.path.join(scratch.folder, "data")
            shut_down(data, self.request.timeout)
            yield data

    def _need_canary(self, scratch: Scratch) -> None:
        """At another restore point the rows differ, so only the backup's canary row is checked."""
        with Session(scratch.parameters(self.receipt["database"]), "gradual-restore") as session:
            if self.receipt.get("canary") and not records.has_canary(session, self.receipt["canary"]):
                raise DatabaseError(
                    f"the copy restored to {self.request.point} does not contain the canary row of"
                    f" {self.receipt['id']}; nothing was put in place"
                )

    def _configure(self, data: str) -> None:
        port, sockets = self.request.cluster_port, self.request.socket_directory.replace("'", "''")
        _write(
            os.path.join(data, "postgresql.conf"),
            f"# Restored from {self.receipt['id']}. Settings of the old cluster are not copied.\nport = {port}\n"
            f"unix_socket_directories = '{sockets}'\nlisten_addresses = ''\n"
            "# Its subscriptions would take their changes away from the live cluster.\n"
            "max_logical_replication_workers = 0\n",
        )
        _write(os.path.join(data, "postgresql.auto.conf"), "")
        _write(os.path.join(data, "pg_hba.conf"), _HBA.format(user=pwd.getpwuid(os.geteuid()).pw_name))

    def _place(self, data: str, folder: str) -> None:
        if os.path.lexists(folder):
            raise DatabaseError(f"{folder} was created meanwhile, and no restore overwrites it; write another folder")
        _move_tablespaces(data, f"{folder}.tablespaces-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        store.sync(data)
        os.rename(data, folder)
        os.chmod(folder, 0o700)
        receipts.sync_folder(self.parent)

    def _held(self) -> str:
        return (
            f"what the database had at the restore point {self.request.point}"
            if self.request.point
            else "what its receipt says"
        )

    def _socket(self) -> str:
        return os.path.join(self.request.socket_directory, f".s.PGSQL.{self.request.cluster_port}")


class ClusterInPlace(NewCluster):
    """Restore beside a stopped cluster, then rename both folders; the old data folder is kept under another name."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        super().__init__(request, receipt, method)
        self.aside = f"{self.folder}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"

    def plan(self) -> dict[str, Any]:
        if self.method.name == "dump":
            raise DatabaseError("a dump cannot replace a cluster; remove target, then in_place replaces the database")
        version, wanted = _version(self.folder), str(server.major(self.receipt))
        if version != wanted:
            raise DatabaseError(
                f"the backup is of PostgreSQL {wanted}, the cluster in {self.folder} is of PostgreSQL {version}."
                f" {server.newer_version(self.receipt)}"
            )
        seen = self._identifier()
        if seen != self.receipt["system_identifier"]:
            raise DatabaseError(
                f"the backup is of the cluster {self.receipt['system_identifier']}, the one in {self.folder} is {seen};"
                " write the folder of the backup's cluster"
            )
        if _runs(self.folder):
            raise DatabaseError(
                f"the cluster in {self.folder} is running; stop it (Debian: pg_ctlcluster MAJOR NAME stop), and every"
                " service that would start it again"
            )
        self._need_room()
        return {
            "target": "cluster",
            "folder": self.folder,
            "aside": self.aside,
            "message": (
                f"would restore {self.receipt['id']} beside {self.folder}, rename that to {self.aside}, and put the"
                " restored cluster in its place"
            ),
        }

    def carry_out(self) -> dict[str, Any]:
        with self._restored() as data:
            for name in _CONFIGURATION:
                # Files in the data folder are the live settings. Where settings are outside it, these are not read.
                if os.path.exists(os.path.join(self.folder, name)):
                    shutil.copy2(os.path.join(self.folder, name), os.path.join(data, name))
            if _runs(self.folder):
                raise DatabaseError(
                    f"the cluster in {self.folder} was started meanwhile; it is unchanged. Stop it, and run this again"
                )
            _archive_history(data)
            os.rename(self.folder, self.aside)
            try:
                self._place(data, self.folder)
            except BaseException:
                os.rename(self.aside, self.folder)
                raise
        return {
            "message": (
                f"{self.folder} contains {self._held()} of {self.receipt['id']}, on a new timeline; the replaced"
                f" cluster is in {self.aside}"
            ),
            "next": [
                "start the cluster (Debian: pg_ctlcluster MAJOR NAME start)",
                "rebuild its standbys",
                "ansible-playbook playbooks/backup.yml  # migrations need a backup of the new live data",
            ],
        }

    def _identifier(self) -> str:
        told = run([server.kept_program(self.receipt, "pg_controldata"), self.folder])
        strictly(told)
        return next(
            (
                line.partition(":")[2].strip()
                for line in told.output.split("\n")
                if line.startswith("Database system identifier")
            ),
            "unknown",
        )


def _version(folder: str) -> str:
    """The major version that wrote this data folder."""
    try:
        with open(os.path.join(folder, "PG_VERSION"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise DatabaseError(
            f"{folder} is not the data folder of a cluster ({error.strerror}: PG_VERSION); write that of the cluster to"
            " replace (psql: SHOW data_directory)"
        ) from error


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _runs(folder: str) -> bool:
    """Whether a PostgreSQL server runs on the data folder."""
    try:
        with open(os.path.join(folder, "postmaster.pid"), encoding="utf-8") as file:
            os.kill(int(file.readline()), 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _move_tablespaces(data: str, folder: str) -> None:
    """Move the copy's tablespaces, which are beside its data folder, into `folder`, and link to them there."""
    links = os.path.join(data, "pg_tblspc")
    for name in os.listdir(links):
        link = os.path.join(links, name)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        there = os.path.join(folder, name)
        os.rename(os.path.realpath(link), there)
        os.remove(link)
        os.symlink(there, link)
        store.sync(there)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _archive_history(data: str) -> None:
    """Have the new timeline's history file archived, as PostgreSQL does when a timeline begins with archiving on.

    Without it, the next restore would begin a timeline of the same number, whose segments would have names that are in
    the archive already.
    """
    folder = os.path.join(data, "pg_wal")
    newest = max((name for name in os.listdir(folder) if name.endswith(".history")), default="")
    if newest:
        with open(os.path.join(folder, "archive_status", newest + ".ready"), "w", encoding="utf-8"):
            pass
