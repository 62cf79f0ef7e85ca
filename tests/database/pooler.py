"""A real PgBouncer in the way."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import OWNER, PASSWORD, RUN_AS, Shop, demoted, until


@contextmanager
def pooler(shop: Shop, *settings: str) -> Iterator[str]:
    """A PgBouncer before the shop's server; the address of the shop through it."""
    folder = shop.server.folder / f"pooler-{shop.name}"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text(f'"{OWNER}" "{PASSWORD}"\n')
    (folder / "ini").write_text(
        "\n".join(
            [
                "[databases]",
                f"* = host=127.0.0.1 port={shop.server.port}",
                "[pgbouncer]",
                "listen_addr = 127.0.0.1",
                f"listen_port = {port}",
                "unix_socket_dir =",
                "auth_type = plain",
                f"auth_file = {folder}/users",
                f"logfile = {folder}/log",
                *settings,
                "",
            ]
        )
    )
    who = account(RUN_AS)
    for path in (folder, *folder.iterdir()):
        os.chown(path, who.pw_uid, who.pw_gid)
    process = subprocess.Popen(["/usr/sbin/pgbouncer", "-q", str(folder / "ini")], cwd="/", **demoted())
    url = shop.url.replace(f":{shop.server.port}/", f":{port}/")

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            with Session({"dsn": url}, "control") as session:
                return bool(session.value("SELECT 1"))
        except DatabaseError:
            return False

    try:
        until(answers)
        yield url
    finally:
        process.terminate()
        process.wait(10)
