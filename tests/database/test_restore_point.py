"""A moment that was named is restored to, out of pgBackRest's archive."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.backup import restore
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account, as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import RUN_AS, Server, Shop, programs, run_as
from .test_backup_pgbackrest import archiving, options, shop

__all__ = ["archiving", "shop"]


def test_a_cluster_with_a_tablespace_comes_back_as_it_was_at_a_named_moment(archiving: Server, shop: Shop) -> None:
    space, folder = archiving.folder / "space", Path(tempfile.mkdtemp(prefix="gradual-test-", dir="/tmp"))
    who = account(RUN_AS)
    space.mkdir()
    for one in (space, folder):
        os.chown(one, who.pw_uid, who.pw_gid)
    archiving.run(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
    there = {"dbname": "shop", "host": str(folder), "port": "5432"}
    try:
        shop.run("CREATE TABLE far (id int) TABLESPACE elsewhere", "INSERT INTO far VALUES (1)")
        path = shop.back_up("pgbackrest", options=options(shop), deadline=30)["path"]
        shop.run("INSERT INTO far VALUES (2)")
        common: dict[str, Any] = {
            "socket_directory": str(archiving.folder),
            "port": archiving.port,
            "reserve_mib": 10,
            "timeout": 60,
        }
        as_user(RUN_AS, lambda: restore.make_point(Request(path="", point="before-import", **common)))
        shop.run("INSERT INTO far VALUES (3)", "DROP TABLE orders", "SELECT pg_switch_wal()")
        told = as_user(
            RUN_AS,
            lambda: restore.restore(
                Request(
                    path=path,
                    folder=str(folder / "rescue"),
                    cluster_port=5432,
                    point="before-import",
                    **{**common, "socket_directory": str(folder)},
                )
            ),
        )
        assert "restore point before-import" in told["message"]

        def look() -> list[Any]:
            with Session(there) as session:
                return [
                    session.rows("SELECT id FROM far ORDER BY id"),
                    session.value("SELECT count(*) FROM orders"),
                    session.value("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'elsewhere'"),
                ]

        rows, orders, place = as_user(RUN_AS, look)
        assert ([row[0] for row in rows], orders) == ([1, 2], 2000)
        assert place.startswith(str(folder / "rescue.tablespaces-"))
        assert sorted(one.name.partition("-")[0] for one in folder.iterdir() if not one.name.startswith(".s.")) == [
            "rescue",
            "rescue.tablespaces",
        ]
    finally:
        with contextlib.suppress(Exception):
            run_as([str(programs() / "pg_ctl"), "-D", str(folder / "rescue"), "-m", "immediate", "stop"])
        shutil.rmtree(folder, ignore_errors=True)
        shop.run("DROP TABLE IF EXISTS far")
        archiving.run("DROP TABLESPACE elsewhere")
