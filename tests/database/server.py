"""A throwaway PostgreSQL, and databases and releases to try backups and migrations on."""

from __future__ import annotations

import contextlib
import getpass
import glob
import importlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, live_contents, registry, store
from ansible_collections.gradual.rollout.plugins.module_utils.migration import runner
from ansible_collections.gradual.rollout.plugins.module_utils.migration.alembic import Alembic
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    account,
    as_user,
    effective_user,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.verify import restore_test

OWNER = "shop_owner"
TESTER = "tester"
PASSWORD = "correct-horse-battery"
# PostgreSQL does not run as root.
RUN_AS = "postgres" if os.geteuid() == 0 else getpass.getuser()
UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None


def programs() -> Path:
    """The newest server's programs on this machine."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4]))
    if not found:
        raise RuntimeError("these tests need PostgreSQL's server programs: apt-get install postgresql")
    return Path(found[-1]).parent


def demoted() -> dict[str, Any]:
    """What makes a program run as the user that owns the cluster."""
    who = account(RUN_AS)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def run_as(argv: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run as the user that owns the cluster."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/", **demoted(), **more)


@dataclass
class Server:
    """A cluster in a folder of its own."""

    folder: Path
    port: int

    def pg_ctl(self, *words: str) -> None:
        options = f"-c unix_socket_directories={self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -p {self.port}"
        run_as(
            [
                str(programs() / "pg_ctl"),
                "-D",
                str(self.folder / "data"),
                "-w",
                "-l",
                str(self.folder / "log"),
                "-o",
                options,
                *words,
            ]
        )

    def session(self, database: str = "postgres") -> Session:
        """By password, so that a thread of a test needs to be nobody else."""
        return Session(
            {"dbname": database, "host": "127.0.0.1", "port": str(self.port), "user": TESTER, "password": PASSWORD},
            "test",
        )

    def run(self, *statements: str, database: str = "postgres") -> None:
        with self.session(database) as session:
            for statement in statements:
                session.run(statement)

    def value(self, statement: str, database: str) -> Any:
        with self.session(database) as session:
            return session.value(statement)


@contextlib.contextmanager
def throwaway(*words: str) -> Iterator[Server]:
    """Make a cluster, run it, take it away. words: for initdb, such as --data-checksums."""
    folder = Path(tempfile.mkdtemp(prefix="gradual-test-", dir="/tmp"))
    folder.chmod(0o755)
    who = account(RUN_AS)
    os.chown(folder, who.pw_uid, who.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(folder, free.getsockname()[1])
    try:
        run_as(
            [
                str(programs() / "initdb"),
                "-D",
                str(folder / "data"),
                "-U",
                RUN_AS,
                "--auth-local=peer",
                "--auth-host=scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                *words,
            ]
        )
        server.pg_ctl("start")
        with (
            effective_user(RUN_AS),
            Session({"dbname": "postgres", "host": str(folder), "port": str(server.port), "user": RUN_AS}) as session,
        ):
            session.run(f"CREATE ROLE {TESTER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        server.run(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'", "CREATE ROLE shop_app LOGIN")
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Shop:
    """One database with its backups and its releases."""

    server: Server
    name: str
    environment: Path
    releases: list[Path] = field(default_factory=list)

    @property
    def backups(self) -> str:
        return str(self.server.folder / "backups" / self.name)

    @property
    def url(self) -> str:
        return f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{self.server.port}/{self.name}"

    def session(self) -> Session:
        return self.server.session(self.name)

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.name)

    def value(self, statement: str) -> Any:
        return self.server.value(statement, self.name)

    def as_owner(self, *statements: str) -> None:
        with Session({"dsn": self.url}, "owner") as session:
            for statement in statements:
                session.run(statement)

    def back_up(self, method: str = "dump", wait: bool = True, **changes: Any) -> dict[str, Any]:
        """Take a backup; what the module returns. wait: until its digest is there too."""
        request = base.Request(
            **{
                "application": "shop",
                "database": self.name,
                "destination": self.backups,
                "socket_directory": str(self.server.folder),
                "port": self.server.port,
                "format": "custom",
                "jobs": 2,
                "keep": 5,
                "reserve_mib": 10,
                "deadline": 3,
                **changes,
            }
        )
        who = account(RUN_AS)
        store.prepare(request.destination, who.pw_uid, who.pw_gid)
        # Names have the second in them.
        while os.path.exists(base.plan_path(request)):
            time.sleep(0.1)
        taken: dict[str, Any] = as_user(RUN_AS, lambda: registry.of(method).take(request))
        if wait:
            # Why there is no digest is told by whoever needs it.
            with contextlib.suppress(DatabaseError):
                self.digested(taken)
        return taken

    def digested(self, taken: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt of a taken backup with the digest of the live database, which is computed after the backup."""
        return live_contents.joined(taken["receipt"], taken["path"], 60)

    def prove(self, path: str, level: str = "restored", **changes: Any) -> dict[str, Any]:
        """Prove a backup; its receipt."""
        wanted = restore_test.RestoreTest(
            **{
                "path": path,
                "level": level,
                "scratch": str(self.server.folder),
                "reserve_mib": 10,
                "jobs": 2,
                "timeout": 60,
                **changes,
            }
        )
        receipt: dict[str, Any] = as_user(RUN_AS, lambda: restore_test.prove(wanted))["receipt"]
        return receipt

    def proven(self) -> dict[str, Any]:
        return self.prove(self.back_up()["path"])

    def release(self, *revisions: str, env: str = "") -> Path:
        """Stage a release with these revision files; `env` goes into its env.py before the migrations run."""
        folder = self.server.folder / f"release-{self.name}-{len(self.releases)}"
        versions = folder / "migrations" / "versions"
        versions.mkdir(parents=True)
        (folder / ".venv").symlink_to(self.environment)
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
        (folder / "migrations" / "env.py").write_text(ENV.replace("# more", env))
        for number, text in enumerate(revisions):
            (versions / f"{number:04}.py").write_text(text)
        self.releases.append(folder)
        return folder

    def request(self, **changes: Any) -> runner.Request:
        return replace(
            runner.Request(
                database=self.name,
                target="head",
                phase="expand",
                variables={"DATABASE_URL": self.url},
                receipt=None,
                max_age=3600,
                run_as=RUN_AS,
                migrate_as=UNPRIVILEGED,
                socket_directory=str(self.server.folder),
                port=self.server.port,
                lock_timeout_ms=50,
                pause_ms=100,
                deadline=8,
                timeout=60,
            ),
            **changes,
        )

    def migrate(self, release: Path, receipt: Any, **changes: Any) -> dict[str, Any]:
        """Apply what a release brings; what the module returns."""
        with runner.Migrator(self.request(receipt=receipt, **changes), Alembic(str(release), "migrations")) as migrator:
            return migrator.apply()

    def revision(self) -> str | None:
        with self.session() as session:
            if session.value("SELECT to_regclass('alembic_version')") is None:
                return None
            found: str | None = session.value("SELECT version_num FROM alembic_version")
            return found


ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, make_url, pool

url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
# As applications do: a name and settings of their own, which must not get the better of Gradual's.
options = {"application_name": "shop-migrate", "options": "-c lock_timeout=0"}
engine = create_engine(url, poolclass=pool.NullPool, connect_args=options)
# more
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def revision(number: int, *statements: str, phase: str | None = "expand", concurrently: bool = False) -> str:
    """A revision file that follows the one numbered before it."""
    lines = [f'revision = "{number:04}"', f"down_revision = {f'{number - 1:04}' if number > 1 else None!r}"]
    lines += [f"phase = {phase!r}"] if phase else []
    lines += ["from alembic import op", "def upgrade():"]
    lines += ["    with op.get_context().autocommit_block():"] if concurrently else ["    if True:"]
    lines += ["        pass"] + [f"        op.execute({statement!r})" for statement in statements]
    return "\n".join(lines) + "\n"


def environment(folder: Path) -> Path:
    """An environment as a release carries it, readable by everybody: this one's Alembic and Django under the system's
    Python."""
    python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else shutil.which("python3") or "python3"
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in (
        "alembic",
        "sqlalchemy",
        "mako",
        "markupsafe",
        "psycopg",
        "psycopg_binary",
        "typing_extensions",
        "django",
        "asgiref",
        "sqlparse",
    ):
        with contextlib.suppress(ImportError):
            origin = Path(str(importlib.import_module(name).__file__))
            if origin.name != "__init__.py":
                shutil.copy(origin, packages)
                continue
            shutil.copytree(
                origin.parent, packages / name, ignore=shutil.ignore_patterns("__pycache__", "testing", "tests")
            )
            for told in origin.parent.parent.glob(f"{name}-*.dist-info"):
                shutil.copytree(told, packages / told.name)
            for libraries in origin.parent.parent.glob(f"{name}.libs"):
                shutil.copytree(libraries, packages / libraries.name)
    return folder


@contextlib.contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Do that in a thread while the block runs, and wait for it."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(60)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until the condition holds; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not come true within {seconds} s")


def end_now(process: subprocess.Popen[Any]) -> None:
    """kill -9, and what is left of it collected."""
    process.send_signal(signal.SIGKILL)
    process.wait()
