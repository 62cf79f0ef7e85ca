"""What operators check backups with, each really run: True is content, False has found something."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.database.server import PASSWORD, TESTER, Server, demoted, programs

# It brings community.postgresql 4.2.0.
ANSIBLE = "ansible==12.3.0"


def passes(*argv: str) -> bool:
    """Whether it ends with 0."""
    return subprocess.run(list(argv), cwd="/", capture_output=True, check=False, **demoted()).returncode == 0


def lists(dump: Path) -> bool:
    """pg_restore --list."""
    return passes(str(programs() / "pg_restore"), "--list", str(dump))


def verifies(cluster: Path) -> bool:
    """pg_verifybackup, as it comes."""
    return passes(str(programs() / "pg_verifybackup"), str(cluster))


class Community:
    """community.postgresql.postgresql_db on this server: its dump, and its restore into a database of its own."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server

    def module(self, **arguments: object) -> bool:
        """Whether the module says that all is well."""
        given = {
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": TESTER,
            "login_password": PASSWORD,
            **arguments,
        }
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible")),
                "localhost",
                "-c",
                "local",
                "-e",
                f"ansible_python_interpreter={sys.executable}",
                "-m",
                "community.postgresql.postgresql_db",
                "-a",
                json.dumps(given),
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
                "PATH": f"{programs()}:{os.environ['PATH']}",
            },
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        told = done.stdout + done.stderr
        assert '"changed"' in told, told[-2000:]
        return done.returncode == 0

    def dump(self, database: str, target: Path) -> bool:
        return self.module(name=database, state="dump", target=str(target))

    def restores(self, dump: Path, suffix: str) -> bool:
        """state=restore into a new database, by the suffix that names the format."""
        target = self.folder / f"backup{suffix}"
        target.unlink(missing_ok=True)
        target.symlink_to(dump)
        self.server.run("CREATE DATABASE community_restore")
        try:
            return self.module(name="community_restore", state="restore", target=str(target))
        finally:
            self.server.run("DROP DATABASE community_restore WITH (FORCE)")


@contextlib.contextmanager
def community(server: Server) -> Iterator[Community]:
    """As pip brings it, for this run only."""
    folder = Path(tempfile.mkdtemp(prefix="gradual-community-", dir="/tmp"))
    try:
        subprocess.run(
            [
                str(Path(sys.executable).with_name("uv")),
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                str(folder),
                ANSIBLE,
            ],
            check=True,
        )
        yield Community(folder, server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
