"""Ways to take a backup: ours, and the raw tool of each, run as the cluster's user on the same server."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user, run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import PORT, scratch_cluster
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from tests.database.server import OWNER, RUN_AS, TESTER, Shop, programs, run_as


class Way(NamedTuple):
    """title for people; raw: the way (a key of WAYS) that ours is held against, "" for a raw tool."""

    title: str
    raw: str = ""


# In the order of the page: ours, the raw tool at the same settings, the raw tool as it comes.
WAYS = {
    "custom": Way("Gradual: dump, one file", "pg_dump-custom"),
    "pg_dump-custom": Way("pg_dump -Fc -Z1"),
    "pg_dump-default": Way("pg_dump -Fc"),
    "postgresql_db": Way("community.postgresql.postgresql_db, state=dump, target=….pgc"),
    "directory": Way("Gradual: dump, directory, 2 jobs", "pg_dump-directory"),
    "pg_dump-directory": Way("pg_dump -Fd -j2 -Z1"),
    "basebackup": Way("Gradual: basebackup", "pg_basebackup"),
    "pg_basebackup": Way("pg_basebackup -Fp -X stream -c fast --manifest-checksums=SHA256"),
    "pg_basebackup-default": Way("pg_basebackup -Fp -X stream -c fast"),
    "pgbackrest": Way("Gradual: pgbackrest, full", "pgbackrest-raw"),
    "pgbackrest-raw": Way("pgbackrest backup --type=full"),
}


@dataclass
class Taken:
    """Seconds, bytes at the destination, the parts of ours (name to seconds), and where it is.

    The part `digest` is no part of the seconds: it begins when the backup is taken.
    """

    seconds: float
    bytes: int
    parts: dict[str, float] = field(default_factory=dict)
    path: str = ""


# Raw ways that are restored too.
RESTORED = ("pg_dump-custom", "postgresql_db", "pg_basebackup", "pgbackrest-raw")


def size(path: Path) -> int:
    """Bytes of a file or of all files below a folder."""
    return (
        path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    )


def settle() -> None:
    """Write out what earlier work has left dirty, so that nobody pays for somebody else."""
    subprocess.run(["sync"], check=True)


# Its own defaults (gz), but for two processes, as the other tools have, and for the checkpoint, which no tool here
# waits for at leisure.
PGBACKREST = """[global]
repo1-path={folder}/repository
repo1-retention-full=2
lock-path={folder}/lock
spool-path={folder}/spool
start-fast=y
process-max=2
[shop]
pg1-path={folder}/data
pg1-port={port}
pg1-socket-path={folder}
"""


@dataclass
class Site:
    """The shop that is backed up; archived: whether pgBackRest keeps its write-ahead log, and so can back it up."""

    shop: Shop
    archived: bool = False

    @classmethod
    def made(cls, shop: Shop, fill: Callable[[Session], object]) -> Site:
        """The shop's database, filled and vacuumed, so that reading it writes nothing; archived by pgBackRest from then
        on where that is installed."""
        shop.server.run(f"CREATE DATABASE {shop.name} OWNER {OWNER}")
        with shop.session() as session:
            fill(session)
            session.run("VACUUM (ANALYZE, FREEZE)")
        site = cls(shop, shutil.which("pgbackrest") is not None)
        if site.archived:
            site.config.write_text(PGBACKREST.format(folder=shop.server.folder, port=shop.server.port))
            command = " ".join(site.pgbackrest("archive-push", "%p"))
            shop.server.run("ALTER SYSTEM SET archive_mode = on", f"ALTER SYSTEM SET archive_command = '{command}'")
            shop.server.pg_ctl("-m", "fast", "restart")
            run_as(site.pgbackrest("stanza-create"))
        return site

    @property
    def config(self) -> Path:
        return self.shop.server.folder / "pgbackrest.conf"

    def pgbackrest(self, *words: str) -> list[str]:
        """The argv of a pgBackRest command."""
        return ["pgbackrest", f"--config={self.config}", "--stanza=shop", "--log-level-file=off", *words]

    @property
    def folder(self) -> Path:
        return self.shop.server.folder / "raw"

    def ways(self) -> list[str]:
        """The names of the ways that can be taken here."""
        return [name for name in WAYS if self.archived or not name.startswith("pgbackrest")]

    def take(self, name: str) -> Taken:
        """One backup, by ours or by the raw tool; the one before it is removed first, outside the time."""
        settle()
        if WAYS[name].raw:
            return self._ours(name)
        shutil.rmtree(self.folder, ignore_errors=True)
        run_as(["mkdir", str(self.folder)])
        argv = self.command(name)
        begun = time.monotonic()
        run_as(argv)
        return Taken(time.monotonic() - begun, size(self.folder))

    def command(self, name: str) -> list[str]:
        """The argv of a raw tool."""
        server = self.shop.server
        address = ["--host", str(server.folder), "--port", str(server.port), "--no-password"]
        dump, base, target = str(programs() / "pg_dump"), str(programs() / "pg_basebackup"), str(self.folder / "backup")
        if name == "pgbackrest-raw":
            return self.pgbackrest("backup", "--type=full")
        if name == "postgresql_db":
            # The line that the module's db_dump() makes (github.com/ansible-collections/community.postgresql,
            # plugins/modules/postgresql_db.py).
            return [
                "/bin/sh",
                "-c",
                f"{dump} {self.shop.name} --host={server.folder} --port={server.port} --format=c > {target}.pgc",
            ]
        options = {
            "pg_dump-custom": [dump, "--format=custom", "--compress=1"],
            "pg_dump-default": [dump, "--format=custom"],
            "pg_dump-directory": [dump, "--format=directory", "--jobs=2", "--compress=1"],
            "pg_basebackup": [
                base,
                "--format=plain",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--manifest-checksums=SHA256",
            ],
            "pg_basebackup-default": [base, "--format=plain", "--wal-method=stream", "--checkpoint=fast"],
        }[name]
        return [
            *options,
            *address,
            *(["--pgdata", target] if options[0] == base else ["--file", target, self.shop.name]),
        ]

    def _ours(self, name: str) -> Taken:
        changes: dict[str, Any]
        method, changes = ("dump", {"format": name}) if name in ("custom", "directory") else (name, {})
        if name == "pgbackrest":
            changes = {"options": {"stanza": "shop", "config": str(self.config)}, "deadline": 60}
        shutil.rmtree(self.shop.backups, ignore_errors=True)
        # The name of a backup has the second in it; waiting for a free one is no part of taking.
        time.sleep(1.1)
        begun = time.monotonic()
        told = self.shop.back_up(method, wait=False, **changes)
        seconds = time.monotonic() - begun
        # Digested afterwards, by a process that must not slow down whoever comes next.
        parts = self.shop.digested(told)["durations"]
        return Taken(seconds, told["size"], parts, told["path"])

    def restore(self, name: str) -> float:
        """Seconds that the raw tool needs to bring its newest backup into a running throwaway cluster, with the
        settings that our drills have."""
        parent = str(self.shop.server.folder)
        if name.startswith("pg_dump") or name == "postgresql_db":
            return float(as_user(RUN_AS, lambda: self._pg_restore(name, parent)))
        data = self.shop.server.folder / "restored"
        run_as(["mkdir", "--mode=700", str(data)])
        begun = time.monotonic()
        run_as(
            self.pgbackrest("restore", f"--pg1-path={data}", "--archive-mode=off")
            if name == "pgbackrest-raw"
            else ["cp", "--archive", "--reflink=auto", "--no-target-directory", str(self.folder / "backup"), str(data)]
        )
        options = f"-c listen_addresses= -c unix_socket_directories={data} -c archive_mode=off -c fsync=off"
        run_as(
            [
                str(programs() / "pg_ctl"),
                "-D",
                str(data),
                "-w",
                "-t",
                "300",
                "-l",
                str(data / "log"),
                "-o",
                options,
                "start",
            ]
        )
        seconds = time.monotonic() - begun
        run_as([str(programs() / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop"])
        shutil.rmtree(data)
        return seconds

    def _pg_restore(self, name: str, parent: str) -> float:
        begun = time.monotonic()
        with scratch_cluster(parent, str(programs()), RUN_AS) as scratch:
            address = ["--host", scratch.folder, "--port", str(PORT), "--no-password"]
            for role in (OWNER, "shop_app", TESTER):
                run([str(programs() / "createuser"), *address, role])
            program = str(programs() / "pg_restore")
            if name == "postgresql_db":
                # As db_restore() does, into a database that is there.
                strictly(run([str(programs() / "createdb"), *address, "shop"]))
                line = (
                    f"{program} --dbname=shop --host={scratch.folder} --port={PORT} --format=Custom <"
                    f" {self.folder}/backup.pgc"
                )
                strictly(run(["/bin/sh", "-c", line]))
            else:
                strictly(
                    run(
                        [
                            program,
                            *address,
                            "--create",
                            "--exit-on-error",
                            "--jobs=2",
                            "--dbname=postgres",
                            str(self.folder / "backup"),
                        ]
                    )
                )
            return time.monotonic() - begun
