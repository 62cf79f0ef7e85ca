"""Faults of a streaming pair: its primary goes, or its standby falls behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import backfills
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_runner import Runner
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_sessions import Request
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import lag
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account

from tests.database.goings_on import columns, working
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import (
    PASSWORD,
    RUN_AS,
    TESTER,
    Server,
    Shop,
    meanwhile,
    programs,
    revision,
    run_as,
    throwaway,
    until,
)

from .fault import Seen, fault
from .stage import Stage, Watch

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")
SLOW = revision(2, "ALTER TABLE orders ADD COLUMN note text", "SELECT pg_sleep(1)")
CENTS = {
    "name": "cents",
    "table": "orders",
    "set": "cents = total * 100",
    "where": "cents IS NULL",
    "batch": 50,
    "pause_ms": 1,
}
# What a standby may be behind here.
LATE = 131072


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
            run_as(
                [
                    str(programs() / "pg_basebackup"),
                    "--dbname",
                    way,
                    "--pgdata",
                    str(folder / "data"),
                    "--write-recovery-conf",
                    "--checkpoint",
                    "fast",
                    "--no-sync",
                ]
            )
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


def fail_over(shop: Shop, primary: Server, standby: Server, watch: Watch) -> None:
    """Once the migration is in its step and the standby has all of it: the primary ends, the standby is promoted."""
    until(lambda: working(shop, "%pg_sleep%"))
    caught_up(primary)
    watch.struck()
    primary.pg_ctl("stop", "-m", "immediate")
    standby.pg_ctl("promote")


@fault(
    16,
    "the primary of a streaming pair is stopped (immediate) while the ALTER's transaction is open, and the standby"
    " promoted elsewhere",
    "the new primary is elsewhere",
)
def promoted_elsewhere(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        given, release = receipt(shop), shop.release(FIRST, SLOW)
        there = Shop(standby, shop.name, shop.environment)
        watch = Watch(there)

        with (
            meanwhile(lambda: fail_over(shop, primary, standby, watch)),
            pytest.raises(MigrationFailed, match="does not answer for 3 s") as failed,
        ):
            shop.migrate(release, given, deadline=3)
        seen = watch.safe(failed.value, "0001", "timeline 2; nothing of the ALTER is there")
        assert "note" not in columns(there)
        assert there.value("SELECT pg_is_in_recovery()") is False
        # The receipt is of the timeline that has ended.
        with pytest.raises(MigrationFailed, match="on timeline 1, this server is on 2"):
            there.migrate(release, given)
        assert there.migrate(release, receipt(there))["to"] == "0002"
        return seen


@fault(
    16,
    "as before, and the promoted standby takes over the address (socket and port) of the old primary while the migrator"
    " waits",
    "the new primary takes the old address",
)
def promoted_here(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        given, release = receipt(shop), shop.release(FIRST, SLOW)
        watch = Watch(shop)

        def take_over() -> None:
            fail_over(shop, primary, standby, watch)
            standby.pg_ctl("stop", "-m", "fast")
            (primary.folder / "data").rename(primary.folder / "lost")
            (standby.folder / "data").rename(primary.folder / "data")
            primary.pg_ctl("start")

        with meanwhile(take_over), pytest.raises(MigrationFailed, match="there was a failover: ") as failed:
            shop.migrate(release, given, deadline=20)
        seen = watch.safe(failed.value, "0001", "timeline 2; nothing of the ALTER is there")
        assert "note" not in columns(shop)
        with pytest.raises(MigrationFailed, match="on timeline 1, this server is on 2"):
            shop.migrate(release, given)
        assert shop.migrate(release, receipt(shop))["to"] == "0002"
        return seen


def behind(primary: Server) -> int:
    """Bytes that the standby has not replayed yet."""
    return int(
        primary.value("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication", "postgres")
    )


def backfill(shop: Shop, deadline: float, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run that backfill, of the cents as a rule; what the module tells of it."""
    request = Request(
        database=shop.name,
        variables={"DATABASE_URL": shop.url},
        run_as=RUN_AS,
        socket_directory=str(shop.server.folder),
        port=shop.server.port,
        deadline=deadline,
        limits=lag.Limits(bytes=LATE, seconds=None),
        active_sessions=50,
    )
    with Runner(request, backfills([wanted or CENTS])) as runner:
        return runner.run()[0]


@fault(17, "the standby stops replaying while a backfill runs; it may be 128 KiB behind here", "backfill")
def late_for_backfill(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        shop.as_owner("ALTER TABLE orders ADD COLUMN cents bigint")
        caught_up(primary)
        watch = Watch(shop)
        standby.run("SELECT pg_wal_replay_pause()")
        watch.struck()
        waited = backfill(shop, 2)
        done = shop.value("SELECT count(*) FROM orders WHERE cents IS NOT NULL")
        assert not waited["finished"]
        assert behind(primary) > LATE, "control: it is late"
        assert 0 < done < 2000
        assert waited["waits_for"].startswith("standby is ")
        seen = watch.safe(
            f"paused after {done} of 2000 rows since {waited['waits_for']}; went on from there and finished when the"
            " standby replayed again",
            "0001",
            "each batch is whole",
        )
        standby.run("SELECT pg_wal_replay_resume()")
        assert backfill(shop, 30)["finished"]
        assert shop.value("SELECT count(*) FROM orders WHERE cents IS DISTINCT FROM total * 100") == 0
        return seen


@fault(
    17,
    "the standby does not replay, and is more than the allowed 128 KiB behind when a migration is to begin; deadline"
    " of 2 s",
    "migration",
)
def late_for_migration(stage: Stage) -> Seen:
    with pair() as (primary, standby), stage.shop(primary) as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
        standby.run("SELECT pg_wal_replay_pause()")
        shop.as_owner("UPDATE orders SET total = total + 1")
        assert behind(primary) > LATE, "control: it is late"
        watch.struck()
        with pytest.raises(MigrationFailed, match=r"standby is .* behind") as failed:
            shop.migrate(release, given, deadline=2, max_lag_bytes=LATE)
        assert "note" not in columns(shop)
        seen = watch.safe(failed.value, "0001", "the same command applied it once the standby had caught up")
        standby.run("SELECT pg_wal_replay_resume()")
        assert shop.migrate(release, given, deadline=20, max_lag_bytes=LATE)["to"] == "0002"
        return seen
