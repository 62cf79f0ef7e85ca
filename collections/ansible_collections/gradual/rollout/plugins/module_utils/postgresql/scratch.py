# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A throwaway PostgreSQL cluster beside the live one: no connections, no archive, no jobs. It ends with its
process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import neutral, seclusion
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    clean_environment,
    die_with_parent,
    run,
    strictly,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, conninfo

PREFIX = "gradual-drill-"
_OWNER = "owner.pid"
PORT = 5432
# Bytes of an empty cluster, its WAL, and the temporary files of a restore's sorts.
OVERHEAD = 400 * 1024 * 1024
# Speed over durability, because the cluster is temporary; and no archive, no replication, no jobs.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "archive_mode": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "max_connections": "20",
    "max_logical_replication_workers": "0",
    "logging_collector": "off",
    "jit": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    "huge_pages": "off",
    "shared_preload_libraries": "",
    "client_min_messages": "warning",
}


@dataclass(frozen=True)
class Scratch:
    """A running throwaway cluster. not_refreshed: its materialized views that read another system, quoted names."""

    folder: str
    programs: str
    superuser: str
    major: int = 0
    not_refreshed: tuple[str, ...] = ()

    def parameters(self, database: str) -> dict[str, str]:
        """Of a session of the superuser, which no setting of the database or of the role reaches."""
        return {**self.plain_parameters(database, self.superuser), "options": neutral.of_copy(self.major)}

    def plain_parameters(self, database: str, role: str) -> dict[str, str]:
        """Of a session with the settings that the database and the role have."""
        return {"dbname": database, "host": self.folder, "port": str(PORT), "user": role}

    def conninfo(self, database: str) -> str:
        return conninfo(self.parameters(database))

    def program(self, name: str) -> str:
        return os.path.join(self.programs, name)


def orphans(parent: str) -> list[str]:
    """Folders of restore tests whose process died before it could clean up (kill -9, power loss)."""
    found = []
    for name in os.listdir(parent) if os.path.isdir(parent) else []:
        folder = os.path.join(parent, name)
        if not name.startswith(PREFIX) or not os.path.isdir(folder) or os.stat(folder).st_uid != os.geteuid():
            continue
        try:
            with open(os.path.join(folder, _OWNER), encoding="utf-8") as file:
                os.kill(int(file.read()), 0)
        except (OSError, ValueError):
            found.append(folder)
    return sorted(found)


def sweep(parent: str) -> None:
    """Remove the folders that dead restore tests left."""
    for orphan in orphans(parent):
        shutil.rmtree(orphan, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(parent: str) -> Iterator[str]:
    """A new folder below `parent`, removed at the end of the block; removes those of dead restore tests first."""
    sweep(parent)
    with contextlib.ExitStack() as made:
        try:
            folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            made.callback(shutil.rmtree, folder, ignore_errors=True)
            with open(os.path.join(folder, _OWNER), "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
        except OSError as error:
            raise DatabaseError(
                f"no throwaway cluster can be made below {parent}: {error.strerror}; write another folder as scratch"
            ) from None
        yield folder


@contextlib.contextmanager
def scratch_cluster(
    parent: str, programs: str, superuser: str, timeout: float = 60, settings: Mapping[str, str] | None = None
) -> Iterator[Scratch]:
    """Make an empty cluster in a new folder below `parent` and run it; both are gone at the end of the block.

    settings: additional ones.
    """
    with scratch_folder(parent) as folder:
        strictly(
            run(
                [
                    os.path.join(programs, "initdb"),
                    "--pgdata",
                    os.path.join(folder, "data"),
                    "--username",
                    superuser,
                    "--auth",
                    "trust",
                    "--encoding",
                    "UTF8",
                    "--no-locale",
                    "--no-sync",
                ],
                timeout=timeout,
            )
        )
        with running(folder, programs, superuser, timeout, settings) as scratch:
            yield scratch


@contextlib.contextmanager
def running(
    folder: str,
    programs: str,
    superuser: str,
    timeout: float,
    settings: Mapping[str, str] | None = None,
    secluded: bool = True,
) -> Iterator[Scratch]:
    """Run the cluster in `folder`/data; it ends with the block, or with this process.

    settings: additional ones. secluded: it and its programs can connect to nothing.
    """
    data = os.path.join(folder, "data")
    instructions = seclusion.program() if secluded else b""
    server: subprocess.Popen[bytes] | None = None
    try:
        with open(os.path.join(folder, "log"), "wb") as log:
            server = subprocess.Popen(
                [
                    os.path.join(programs, "postgres"),
                    "-D",
                    data,
                    "-c",
                    f"unix_socket_directories={folder}",
                    *(
                        part
                        for name, value in {**SETTINGS, **(settings or {})}.items()
                        for part in ("-c", f"{name}={value}")
                    ),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                cwd=data,
                preexec_fn=lambda: _prepare(instructions),  # noqa: PLW1509 (a module has no threads)
            )
        scratch = Scratch(folder, programs, superuser, _major(data))
        _wait(server, scratch, timeout)
        yield scratch
    finally:
        if server is not None:
            _stop(server)


def _major(data: str) -> int:
    with open(os.path.join(data, "PG_VERSION"), encoding="utf-8") as file:
        return int(file.read().split(".")[0])


def _prepare(instructions: bytes) -> None:
    """In the server's process, before it begins. An error goes into the server's log."""
    die_with_parent(signal.SIGQUIT)
    try:
        if instructions:
            seclusion.enter(instructions)
    except OSError as error:
        os.write(2, f"FATAL: {error.strerror}\n".encode())
        os._exit(1)


def shut_down(data: str, timeout: float) -> None:
    """A fast shutdown of the cluster in the folder `data`, which then needs no recovery."""
    with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + timeout
    while os.path.exists(os.path.join(data, "postmaster.pid")):
        if time.monotonic() > until:
            raise DatabaseError(f"the restored cluster did not shut down within {timeout:.0f} s; raise timeout")
        time.sleep(0.05)


def _wait(server: subprocess.Popen[bytes], scratch: Scratch, timeout: float) -> None:
    until = time.monotonic() + timeout
    while True:
        try:
            with Session(scratch.parameters("postgres"), "gradual-drill"):
                return
        except DatabaseError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise DatabaseError(
                    f"the throwaway cluster did not start; its log says: {_said(scratch.folder) or error}"
                ) from None
        time.sleep(0.05)


def _said(folder: str) -> str:
    """Why the server ended, from its log, without its answers to our connection attempts."""
    with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
        lines = [line for line in log.read().split("\n") if "the database system is" not in line]
    told = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR|WARN|WARNING)\b", line)]
    return " / ".join((told or lines)[-5:])


def _stop(server: subprocess.Popen[bytes]) -> None:
    """SIGQUIT is an immediate shutdown, which ends every backend too and is fine for a throwaway cluster."""
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
