"""Faults of the server, and of the way to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account

from tests.database.server import PASSWORD, RUN_AS, TESTER, Server, Shop, meanwhile, programs, revision, run_as, throwaway, until

from .fault import Seen, fault
from .proxy import Cutter
from .stage import Stage, Watch, columns, receipt, working

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")


def cut(stage: Stage, answered: bool) -> tuple[Seen, dict[str, Any]]:
    """Migrate through a proxy that cuts the connection at the migration's COMMIT; what became of it."""
    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
        with Cutter(shop.server.port, b"ADD COLUMN note", answered, watch.struck) as proxy:
            url = shop.url.replace(f":{shop.server.port}/", f":{proxy.port}/")
            step = shop.migrate(release, given, variables={"DATABASE_URL": url})["applied"][0]
        assert proxy.cuts == 1, "the connection was not cut"
        assert columns(shop).count("note") == 1
        return watch.safe("", "0002"), step


@fault(12, "a proxy cuts the connection when it sees the migration's COMMIT, and keeps the COMMIT for itself", "before the server saw it")
def commit_never_arrived(stage: Stage) -> Seen:
    seen, step = cut(stage, answered=False)
    assert step["attempts"] == 2
    return Seen(f"{step['notes'][0]}; the database said that it had not moved, and the second attempt applied it", seen.state, seen.seconds)


@fault(12, "a proxy lets the COMMIT pass, and cuts the connection in place of the server's answer", "after the server did it")
def answer_never_arrived(stage: Stage) -> Seen:
    seen, step = cut(stage, answered=True)
    assert step["attempts"] == 1
    assert "but the database says that it is applied" in step["notes"][0]
    return Seen(step["notes"][0], seen.state, seen.seconds)


def restarted(stage: Stage, mode: str) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        release = shop.release(FIRST, revision(2, "ALTER TABLE orders ADD COLUMN note text", "SELECT pg_sleep(1)"))
        started = "SELECT pg_postmaster_start_time()::text"
        before = shop.value(started)

        def restart() -> None:
            until(lambda: working(shop, "%pg_sleep%"))
            watch.struck()
            shop.server.pg_ctl("restart", "-m", mode)

        with meanwhile(restart):
            step = shop.migrate(release, given, deadline=20)["applied"][0]
        assert shop.value(started) != before, "the server was not restarted"
        assert step["attempts"] == 2
        assert columns(shop).count("note") == 1
        return watch.safe(f"{step['notes'][0]}; connected and locked again when the server was back, and applied it in the second attempt", "0002")


@fault(15, "pg_ctl restart -m fast while the ALTER's transaction is open", "orderly")
def restarted_fast(stage: Stage) -> Seen:
    return restarted(stage, "fast")


@fault(15, "pg_ctl restart -m immediate while the ALTER's transaction is open: the server comes back by crash recovery", "as by a crash")
def restarted_immediate(stage: Stage) -> Seen:
    return restarted(stage, "immediate")


@contextlib.contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its streaming standby, both on loopback."""
    with throwaway() as primary:
        folder = Path(tempfile.mkdtemp(prefix="gradual-test-", dir="/tmp"))
        folder.chmod(0o755)
        os.chown(folder, account(RUN_AS).pw_uid, account(RUN_AS).pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            standby = Server(folder, free.getsockname()[1])
        way = f"host=127.0.0.1 port={primary.port} user={TESTER} password={PASSWORD} application_name=standby"
        try:
            run_as([str(programs() / "pg_basebackup"), "--dbname", way, "--pgdata", str(folder / "data"), "--write-recovery-conf", "--checkpoint", "fast",
                    "--no-sync"])
            standby.pg_ctl("start")
            until(lambda: primary.value("SELECT state FROM pg_stat_replication", "postgres") == "streaming")
            yield primary, standby
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                standby.pg_ctl("stop", "-m", "immediate")
            shutil.rmtree(folder, ignore_errors=True)


def caught_up(primary: Server) -> None:
    """Returns when the standby has replayed everything that is on the primary now."""
    here = primary.value("SELECT pg_current_wal_lsn()::text", "postgres")
    until(lambda: primary.value(f"SELECT replay_lsn >= '{here}' FROM pg_stat_replication", "postgres"))


@fault(16, "the primary of a streaming pair is stopped (immediate) while the ALTER's transaction is open, and the standby promoted elsewhere",
       "the new primary is elsewhere")
def promoted_elsewhere(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        given, release = receipt(shop), shop.release(FIRST, revision(2, "ALTER TABLE orders ADD COLUMN note text", "SELECT pg_sleep(1)"))
        there = Shop(standby, shop.name, shop.environment)
        watch = Watch(there)

        def fail_over() -> None:
            until(lambda: working(shop, "%pg_sleep%"))
            caught_up(primary)
            watch.struck()
            primary.pg_ctl("stop", "-m", "immediate")
            standby.pg_ctl("promote")

        with meanwhile(fail_over), pytest.raises(MigrationFailed, match="the server has been away for 3 s") as failed:
            shop.migrate(release, given, deadline=3)
        seen = watch.safe(failed.value, "0001", "timeline 2; nothing of the ALTER is there")
        assert "note" not in columns(there)
        assert there.value("SELECT pg_is_in_recovery()") is False
        # The receipt is of the timeline that has ended.
        with pytest.raises(MigrationFailed, match="on timeline 1, this server is on 2"):
            there.migrate(release, given)
        assert there.migrate(release, receipt(there))["to"] == "0002"
        primary.pg_ctl("start")
        return seen


@fault(16, "as before, and the promoted standby takes over the address (socket and port) of the old primary while the migrator waits",
       "the new primary takes the old address")
def promoted_here(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        given, release = receipt(shop), shop.release(FIRST, revision(2, "ALTER TABLE orders ADD COLUMN note text", "SELECT pg_sleep(1)"))
        watch = Watch(shop)

        def fail_over() -> None:
            until(lambda: working(shop, "%pg_sleep%"))
            caught_up(primary)
            watch.struck()
            primary.pg_ctl("stop", "-m", "immediate")
            standby.pg_ctl("promote")
            standby.pg_ctl("stop", "-m", "fast")
            (primary.folder / "data").rename(primary.folder / "lost")
            (standby.folder / "data").rename(primary.folder / "data")
            primary.pg_ctl("start")

        with meanwhile(fail_over), pytest.raises(MigrationFailed, match=r"on another timeline \(a failover\)") as failed:
            shop.migrate(release, given, deadline=20)
        seen = watch.safe(failed.value, "0001", "timeline 2; nothing of the ALTER is there")
        assert "note" not in columns(shop)
        with pytest.raises(MigrationFailed, match="on timeline 1, this server is on 2"):
            shop.migrate(release, given)
        assert shop.migrate(release, receipt(shop))["to"] == "0002"
        return seen
