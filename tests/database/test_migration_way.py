"""A pooler between the migration and the server is found by what it cannot hide, whatever its configuration."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import guards, way
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import OWNER, PASSWORD, RUN_AS, Shop, until

SETTINGS = guards.settings(50, 60000, 150000)


@contextmanager
def pooler(shop: Shop, *settings: str) -> Iterator[str]:
    """A PgBouncer before the shop's server; the address of the shop through it."""
    folder = shop.server.folder / f"pooler-{shop.name}"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text(f'"{OWNER}" "{PASSWORD}"\n')
    (folder / "ini").write_text("\n".join([
        "[databases]", f"* = host=127.0.0.1 port={shop.server.port}", "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
        "auth_type = plain", f"auth_file = {folder}/users", f"logfile = {folder}/log", *settings, ""]))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = account(RUN_AS)
        identity = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        for path in (folder, *folder.iterdir()):
            os.chown(path, who.pw_uid, who.pw_gid)
    process = subprocess.Popen(["/usr/sbin/pgbouncer", "-q", str(folder / "ini")], cwd="/", **identity)
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


@pytest.mark.parametrize(("mode", "settings", "said"), [
    ("transaction", [], "unsupported startup parameter.*If a pooler is in the way, name the server itself"),
    ("transaction", ["ignore_startup_parameters = options"], "goes through a pooler: it calls itself process"),
    ("session", ["ignore_startup_parameters = options"], "goes through a pooler: it calls itself process"),
])
def test_a_pooler_is_refused(empty: Shop, mode: str, settings: list[str], said: str) -> None:
    # The role has by chance what we would ask for, so nothing that is dropped on the way is missed.
    for name, value in SETTINGS.items():
        if name != "client_connection_check_interval":
            empty.run(f"ALTER ROLE {OWNER} IN DATABASE {empty.name} SET {name} = {value}")
    with pooler(empty, f"pool_mode = {mode}", *settings) as url, empty.session() as ours:
        with pytest.raises(DatabaseError, match=said) as seen:
            way.check(ours, {"DATABASE_URL": url}, RUN_AS, SETTINGS, empty.name)
        assert PASSWORD not in str(seen.value)
        # Control: the server itself.
        way.check(ours, {"DATABASE_URL": empty.url}, RUN_AS, SETTINGS, empty.name)
