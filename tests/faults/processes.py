"""Faults in which a process dies: the server's, the tool's, or the one that drives it."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed

from tests.database.goings_on import columns, transaction, valid, working
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import end_now, meanwhile, revision, until

from .fault import Seen, fault
from .stage import Stage, Watch, migrator

FIRST = revision(1)
SLOW = "SELECT pg_sleep({})"
COLUMN = "ALTER TABLE orders ADD COLUMN note text"
INDEX = revision(2, "CREATE INDEX CONCURRENTLY orders_status ON orders (status)", concurrently=True)


@fault(8, "pg_terminate_backend on the migration's session after its ALTER and before its COMMIT")
def backend_in_transaction(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        release = shop.release(FIRST, revision(2, COLUMN, SLOW.format(1)))

        def kill() -> None:
            pid = until(lambda: working(shop, "%pg_sleep%"))
            assert shop.value(f"SELECT pg_terminate_backend({pid})") is True
            watch.struck()

        with meanwhile(kill):
            step = shop.migrate(release, given)["applied"][0]
        assert step["attempts"] == 2
        assert "terminating connection due to administrator command" in step["notes"][0]
        assert columns(shop).count("note") == 1
        return watch.safe(f"{step['notes'][0]}; the second attempt applied it", "0002")


@fault(
    9, "pg_terminate_backend while CREATE INDEX CONCURRENTLY waits for an older transaction with its index half made"
)
def backend_in_concurrently(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, INDEX)
        with transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader:

            def kill() -> None:
                pid = until(lambda: valid(shop, "orders_status") is False and working(shop, "CREATE INDEX%"))
                assert shop.value(f"SELECT pg_terminate_backend({pid})") is True
                watch.struck()
                reader.run("COMMIT")

            with meanwhile(kill):
                step = shop.migrate(release, given)["applied"][0]
        assert step["attempts"] == 2
        assert valid(shop, "orders_status") is True
        dropped = [note for note in step["notes"] if note.startswith("dropped the invalid index")]
        assert dropped, step["notes"]
        return watch.safe(f"{dropped[0]}; the second attempt built it", "0002", "index orders_status is valid")


@fault(10, "kill -9 of the migrator while the ALTER's transaction is open", "in a transaction")
def migrator_in_transaction(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        release = shop.release(FIRST, revision(2, COLUMN, SLOW.format(20)))
        process = migrator(shop, release, given)
        until(lambda: working(shop, "%pg_sleep%"))
        end_now(process)
        watch.struck()
        seen = watch.safe(
            "its tool died with it, and the server ended the statement whose client was gone; the next run applied it",
            "0001",
            "nothing of the ALTER is left",
        )
        assert "note" not in columns(shop)
        (release / "migrations" / "versions" / "0001.py").write_text(revision(2, COLUMN))
        assert shop.migrate(release, given)["to"] == "0002"
        return seen


@fault(
    10,
    "kill -9 of the migrator while CREATE INDEX CONCURRENTLY waits for an older transaction",
    "in CREATE INDEX CONCURRENTLY",
)
def migrator_in_concurrently(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, INDEX)
        with transaction(shop, "SELECT 1 FROM orders LIMIT 1"):
            process = migrator(shop, release, given)
            until(lambda: valid(shop, "orders_status") is False and working(shop, "CREATE INDEX%"))
            end_now(process)
            watch.struck()
            until(lambda: not working(shop), 6)
        assert valid(shop, "orders_status") is False, "the half-made index is what the next run has to see"
        step = shop.migrate(release, given)["applied"][0]
        assert valid(shop, "orders_status") is True
        (dropped,) = [note for note in step["notes"] if note.startswith("dropped the invalid index")]
        return watch.safe(f"the next run {dropped}, and built it", "0002", "index orders_status is valid")


@fault(11, "kill -9 of the migrator between two CREATE INDEX CONCURRENTLY of one revision")
def between_statements(stage: Stage) -> Seen:
    def text(seconds: int) -> str:
        return revision(
            2,
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_status ON orders (status)",
            SLOW.format(seconds),
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_total ON orders (total)",
            concurrently=True,
        )

    with stage.shop() as shop:
        watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, text(20))
        process = migrator(shop, release, given)
        until(lambda: working(shop, "%pg_sleep%"))
        end_now(process)
        watch.struck()
        until(lambda: not working(shop), 6)
        assert (valid(shop, "orders_status"), valid(shop, "orders_total"), shop.revision()) == (True, None, "0001")
        (release / "migrations" / "versions" / "0001.py").write_text(text(0))
        assert shop.migrate(release, given)["to"] == "0002"
        assert (valid(shop, "orders_status"), valid(shop, "orders_total")) == (True, True)
        return watch.safe(
            "the next run took the revision as not applied, ran it from its beginning, kept the index that was there"
            " and built the other",
            "0002",
            "both indexes are valid",
        )


@fault(21, "the release's env.py ends with status 0 before it has migrated anything")
def no_movement(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        release = shop.release(FIRST, revision(2, COLUMN), env="raise SystemExit(0)")
        watch.struck()
        with pytest.raises(MigrationFailed, match="ended with status 0, but is not applied") as failed:
            shop.migrate(release, given)
        assert "note" not in columns(shop)
        return watch.safe(failed.value, "0001")
