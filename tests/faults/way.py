"""Faults of what stands beside the database: dumps, poolers, settings of roles."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from tests.database.goings_on import columns, users
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.pooler import pooler
from tests.database.server import OWNER, PASSWORD, Shop, demoted, meanwhile, programs, revision, until

from .fault import NotHere, Seen, fault
from .locks import in_the_way
from .stage import Stage, Watch

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")


@contextlib.contextmanager
def dumping(shop: Shop) -> Iterator[subprocess.Popen[bytes]]:
    """A pg_dump whose reader has stopped reading, so that it stays in the middle with all of its locks."""
    shop.as_owner(
        "CREATE TABLE noise AS SELECT gen_random_uuid() a, gen_random_uuid() b FROM generate_series(1, 200000)"
    )
    argv = [str(programs() / "pg_dump"), "--host", str(shop.server.folder), "--port", str(shop.server.port), shop.name]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/", **demoted())
    try:
        until(
            lambda: shop.value(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
                " 'pg_dump' AND query LIKE 'COPY%noise%'"
            )
        )
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@fault(
    18,
    "a pg_dump, not of Gradual's, is in the middle of its work and stays there; deadline of 2 s",
    "longer than the deadline",
)
def long_dump(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
        with users(shop) as took, dumping(shop):
            in_the_way(shop)
            watch.struck()
            with pytest.raises(
                MigrationFailed,
                match=r"a dump of this database is running \(pg_dump, pid \d+, .*not end within 2 s",
            ) as failed:
                shop.migrate(release, given, deadline=2)
            seen = watch.safe(failed.value, "0001", "the dump goes on")
        assert max(took) < 0.5, f"a user waited {max(took):.2f} s"
        return seen


@fault(
    18,
    "a pg_dump, not of Gradual's, is in the middle of its work when the migration begins, and ends while that waits",
    "ends in time",
)
def short_dump(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
        with dumping(shop) as dump:
            in_the_way(shop)
            watch.struck()

            def read_on() -> None:
                until(
                    lambda: shop.value(
                        "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'gradual-migration-watcher'"
                        " AND query LIKE '%pg_dumpall%'"
                    )
                )
                dump.communicate()

            with meanwhile(read_on):
                step = shop.migrate(release, given, deadline=20)["applied"][0]
            assert dump.returncode == 0, "the dump was not disturbed"
        assert (step["attempts"], step["lock_waits"]) == (1, 0), "it did not even ask for its lock before"
        return watch.safe(
            "waited for the dump to end, without asking for a lock, and applied it in the first attempt",
            "0002",
            "the dump ended with 0",
        )


def pooled(stage: Stage, said: str, *settings: str) -> Seen:
    if not Path("/usr/sbin/pgbouncer").exists():
        raise NotHere("there is no pgbouncer on this machine: apt-get install pgbouncer")
    # A pooler's idle connections keep the name of whoever used them last; these go soon.
    with stage.shop() as shop, pooler(shop, "pool_mode = transaction", "server_idle_timeout = 1", *settings) as url:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
        watch.struck()
        with pytest.raises(MigrationFailed, match=said) as failed:
            shop.migrate(release, given, variables={"DATABASE_URL": url})
        assert PASSWORD not in str(failed.value)
        seen = watch.safe(failed.value, "0001")
        assert "note" not in columns(shop)
        # Control: the server itself lets the same migration through.
        assert shop.migrate(release, given)["to"] == "0002"
        return seen


@fault(19, "DATABASE_URL leads to a PgBouncer in transaction mode, as Debian configures it", "as it comes")
def pooler_as_it_comes(stage: Stage) -> Seen:
    return pooled(stage, "unsupported startup parameter.*write the server's own")


@fault(
    19,
    "DATABASE_URL leads to a PgBouncer in transaction mode with ignore_startup_parameters = options, which drops the"
    " timeouts without a word",
    "that drops settings",
)
def pooler_that_drops(stage: Stage) -> Seen:
    return pooled(stage, "write the server's own", "ignore_startup_parameters = options,extra_float_digits")


@fault(20, "ALTER ROLE … SET statement_timeout = '200ms' on the owner; the migration needs longer")
def role_timeout(stage: Stage) -> Seen:
    with stage.shop() as shop:
        shop.run(f"ALTER ROLE {OWNER} IN DATABASE {shop.name} SET statement_timeout = '200ms'")
        with Session({"dsn": shop.url}, "control") as session, pytest.raises(DatabaseError, match="statement timeout"):
            session.run("SELECT pg_sleep(0.5)")
        watch, given = Watch(shop), receipt(shop)
        release = shop.release(FIRST, revision(2, "SELECT pg_sleep(0.5)", "ALTER TABLE orders ADD COLUMN note text"))
        watch.struck()
        step = shop.migrate(release, given)["applied"][0]
        assert (step["attempts"], step["notes"]) == (1, [])
        return watch.safe(
            "set its own timeouts in the session of the step, and applied it in the first attempt", "0002"
        )
