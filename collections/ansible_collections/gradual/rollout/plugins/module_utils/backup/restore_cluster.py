# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A backup as a cluster of its own: in a new folder, or in the place of one that is stopped.

It is restored, recovered and compared as in a drill, closed in good order, brought to the disk, and only then given its
place.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
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
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

# Who may enter a restored cluster is not settled by who might enter the old one.
_HBA = (
    'local all "{user}" peer\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all'
    " ::1/128 scram-sha-256\n"
)
_CONFIGURATION = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")


class NewCluster:
    """Restore into a folder that nobody has, and run it on a port of its own."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        self.request, self.receipt, self.method = request, receipt, method
        if not request.folder:
            raise DatabaseError(
                "where to? Give folder: the data folder of the restored cluster, below a folder of the user of"
                " PostgreSQL with room for it"
            )
        self.folder = os.path.abspath(request.folder)
        self.parent = os.path.dirname(self.folder)

    def plan(self) -> dict[str, Any]:
        if os.path.lexists(self.folder):
            raise DatabaseError(f"{self.folder} is there already, and nothing is restored over it; name another folder")
        if not self.request.cluster_port:
            raise DatabaseError("the restored cluster needs a port of its own; give cluster_port, for example 5433")
        if os.path.lexists(self._socket()) or _listens(self.request.cluster_port):
            raise DatabaseError(f"port {self.request.cluster_port} is in use already; give another cluster_port")
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
                f" {self.request.cluster_port}, listens on its socket only, and holds {self._held()}"
            ),
            "next": [
                f'psql {way} "dbname={self.receipt["database"]}"',
                f"{control} --pgdata {self.folder} stop  # and remove the folder, when it is not needed any more",
            ],
        }

    def _need_room(self) -> int:
        if not os.path.isdir(self.parent) or not os.access(self.parent, os.W_OK):
            raise DatabaseError(
                f"{self.parent} is no folder that user {pwd.getpwuid(os.geteuid()).pw_name!r} may write in; make it, or"
                " name another one"
            )
        return store.need_space(
            self.parent, self.method.copy_bytes(self.receipt), self.request.reserve_mib, "the restored cluster"
        )

    def _wanted(self) -> Mapping[str, Any]:
        """The receipt, with another end of recovery where one is asked for."""
        return (
            {**self.receipt, "restore": {**self.receipt["restore"], "target": self.request.point}}
            if self.request.point
            else self.receipt
        )

    @contextlib.contextmanager
    def _restored(self) -> Any:
        """The data folder of a restored, compared and closed cluster; taken away unless it was moved meanwhile."""
        with self.method.restored_copy(
            self.request.path, self._wanted(), self.parent, self.request.timeout, self.request.jobs
        ) as scratch:
            if self.request.point:
                self._look(scratch)
            else:
                compare.none_of(
                    compare.differences(
                        self.request.path, self.receipt, scratch, self.method.unlogged, self.request.timeout
                    )
                )
            data = os.path.join(scratch.folder, "data")
            _tidy(scratch)
            _close(data, self.request.timeout)
            yield data

    def _look(self, scratch: Scratch) -> None:
        """At another point the rows are others; the row that was written for the backup is there all the same."""
        with Session(scratch.parameters(self.receipt["database"]), "gradual-restore") as session:
            if self.receipt.get("canary") and not records.has_canary(session, self.receipt["canary"]):
                raise DatabaseError(
                    f"what was restored to {self.request.point} has not the row that was written for"
                    f" {self.receipt['id']}; nothing was put in place"
                )

    def _configure(self, data: str) -> None:
        port, sockets = self.request.cluster_port, self.request.socket_directory.replace("'", "''")
        _write(
            os.path.join(data, "postgresql.conf"),
            f"# Restored from {self.receipt['id']}. Settings of the old cluster are not taken over.\nport = {port}\n"
            f"unix_socket_directories = '{sockets}'\nlisten_addresses = ''\n",
        )
        _write(os.path.join(data, "postgresql.auto.conf"), "")
        _write(os.path.join(data, "pg_hba.conf"), _HBA.format(user=pwd.getpwuid(os.geteuid()).pw_name))

    def _place(self, data: str, folder: str) -> None:
        if os.path.lexists(folder):
            raise DatabaseError(f"{folder} has appeared meanwhile, and nothing is restored over it")
        _take_along(data, f"{folder}.tablespaces-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        store.sync(data)
        os.rename(data, folder)
        os.chmod(folder, 0o700)
        receipts.sync_folder(self.parent)

    def _held(self) -> str:
        return (
            f"what was there at the restore point {self.request.point}"
            if self.request.point
            else "what its receipt says"
        )

    def _socket(self) -> str:
        return os.path.join(self.request.socket_directory, f".s.PGSQL.{self.request.cluster_port}")


class ClusterInPlace(NewCluster):
    """Restore beside a stopped cluster, and then change places; the old data folder stays, under another name."""

    def __init__(self, request: Request, receipt: Mapping[str, Any], method: Method) -> None:
        super().__init__(request, receipt, method)
        self.aside = f"{self.folder}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"

    def plan(self) -> dict[str, Any]:
        if self.method.name == "dump":
            raise DatabaseError(
                "a dump does not replace a cluster; leave out target, and in_place replaces the database"
            )
        seen = self._identifier()
        if seen != self.receipt["system_identifier"]:
            raise DatabaseError(
                f"the backup is of the cluster {self.receipt['system_identifier']}, the one in {self.folder} is {seen};"
                " name another folder"
            )
        if _runs(self.folder):
            raise DatabaseError(
                f"the cluster in {self.folder} runs; stop it first (Debian: pg_ctlcluster MAJOR NAME stop), with all"
                " that would start it again"
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
                # Where the settings are part of the data folder they are the live ones; else they lie elsewhere and
                # these files are not read.
                if os.path.exists(os.path.join(self.folder, name)):
                    shutil.copy2(os.path.join(self.folder, name), os.path.join(data, name))
            if _runs(self.folder):
                raise DatabaseError(f"the cluster in {self.folder} was started meanwhile; it is as it was")
            _archive_history(data)
            os.rename(self.folder, self.aside)
            try:
                self._place(data, self.folder)
            except BaseException:
                os.rename(self.aside, self.folder)
                raise
        return {
            "message": (
                f"{self.folder} holds {self._held()} of {self.receipt['id']}, on a new timeline; what it was until now"
                f" is in {self.aside}"
            ),
            "next": [
                "start the cluster (Debian: pg_ctlcluster MAJOR NAME start)",
                "make its standbys anew",
                "ansible-playbook playbooks/backup.yml  # migrations want a backup of what is live now",
            ],
        }

    def _identifier(self) -> str:
        told = run([server.kept_program(self.receipt, "pg_controldata"), self.folder])
        strictly(told)
        return next(
            (
                line.partition(":")[2].strip()
                for line in told.output.splitlines()
                if line.startswith("Database system identifier")
            ),
            "unknown",
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _runs(folder: str) -> bool:
    """Whether a postmaster works on the data folder."""
    try:
        with open(os.path.join(folder, "postmaster.pid"), encoding="utf-8") as file:
            os.kill(int(file.readline()), 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _tidy(scratch: Scratch) -> None:
    """Take away what comparing has made beside the databases of the backup."""
    with Session(scratch.parameters("postgres"), "gradual-restore") as session:
        session.run("DROP DATABASE IF EXISTS gradual_schema")


def _take_along(data: str, folder: str) -> None:
    """Bring tablespaces, which lie beside the data folder of the copy, to where they stay, and have the data folder
    lead there."""
    links = os.path.join(data, "pg_tblspc")
    for name in os.listdir(links):
        link = os.path.join(links, name)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        there = os.path.join(folder, name)
        os.rename(os.path.realpath(link), there)
        os.remove(link)
        os.symlink(there, link)
        store.sync(there)


def _close(data: str, timeout: float) -> None:
    """A fast shutdown, which writes everything down; then the folder needs no recovery."""
    with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + timeout
    while os.path.exists(os.path.join(data, "postmaster.pid")):
        if time.monotonic() > until:
            raise DatabaseError(f"the restored cluster did not close within {timeout:.0f} s; nothing was put in place")
        time.sleep(0.05)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _archive_history(data: str) -> None:
    """Have the new timeline's history archived, as PostgreSQL does where it archives when the timeline begins: else the
    next restore begins a timeline of
    the same number, and its segments meet others of their name in the archive."""
    folder = os.path.join(data, "pg_wal")
    newest = max((name for name in os.listdir(folder) if name.endswith(".history")), default="")
    if newest:
        with open(os.path.join(folder, "archive_status", newest + ".ready"), "w", encoding="utf-8"):
            pass
