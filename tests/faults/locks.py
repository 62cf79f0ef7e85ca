"""Faults in which somebody else holds what a migration needs."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import APPLICATION_NAME
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from tests.database.goings_on import columns, transaction, users, valid, waited, working
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import Shop, end_now, meanwhile, revision, until

from .fault import Seen, fault
from .stage import Stage, Watch, migrator, told

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")
# Longer than this no user may wait for a migration (issue: the stall bench).
STALL = 0.5


def in_the_way(shop: Shop) -> None:
    """Control: a plain ALTER does not get its lock now."""
    with shop.session() as other:
        other.run("SET lock_timeout = '20ms'")
        with pytest.raises(DatabaseError, match="lock timeout"):
            other.run("ALTER TABLE orders ADD COLUMN control int")


@fault(
    1,
    "a REPEATABLE READ transaction that has read the table stays open until the ALTER has waited for it; users read all"
    " the while",
)
def long_transaction(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, release, given = Watch(shop), shop.release(FIRST, COLUMN), receipt(shop)
        with users(shop) as took, transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader:
            in_the_way(shop)
            pid = reader.value("SELECT pg_backend_pid()")
            watch.struck()

            def leave() -> None:
                waited(shop)
                reader.run("COMMIT")

            with meanwhile(leave):
                step = shop.migrate(release, given, deadline=30)["applied"][0]
        assert step["lock_waits"] >= 1
        assert any(f"pid {pid} " in one for one in step["blockers"]), step["blockers"]
        assert max(took) < STALL, f"a user waited {max(took):.2f} s"
        assert "note" in columns(shop)
        return watch.safe(
            f"applied in attempt {step['attempts']}, after giving way {step['lock_waits']} times and naming who was in"
            f" the way; no user waited longer than {max(took):.2f} s",
            "0002",
        )


@fault(2, "a transaction that has read the table never ends; deadline of 2 s")
def never_free(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, release, given = Watch(shop), shop.release(FIRST, COLUMN), receipt(shop)
        with users(shop) as took, transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader:
            in_the_way(shop)
            pid = reader.value("SELECT pg_backend_pid()")
            watch.struck()
            with pytest.raises(MigrationFailed, match=rf"did not get its lock .* held by pid {pid} ") as failed:
                shop.migrate(release, given, deadline=2)
            seen = watch.safe(failed.value, "0001", "the same command applied it once the transaction had ended")
        assert max(took) < STALL, f"a user waited {max(took):.2f} s"
        assert (failed.value.result["to"], failed.value.result["failed_step"]["lock_waits"] >= 1) == ("0001", True)
        assert "note" not in columns(shop)
        assert shop.migrate(release, given)["to"] == "0002"
        return seen


@fault(
    13,
    "two processes migrate the same database by CREATE INDEX CONCURRENTLY at the same moment, while an old transaction"
    " holds both up",
)
def two_at_once(stage: Stage) -> Seen:
    index = revision(2, "CREATE INDEX CONCURRENTLY orders_status ON orders (status)", concurrently=True)
    with stage.shop() as shop:
        watch, release, given = Watch(shop), shop.release(FIRST, index), receipt(shop)
        with transaction(shop, "SELECT 1 FROM orders LIMIT 1") as reader:
            watch.struck()
            both = [migrator(shop, release, given, deadline=20) for _number in range(2)]
            until(lambda: working(shop, "CREATE INDEX%"))
            sessions = (
                "SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE datname = current_database() AND"
                " application_name LIKE 'gradual-migration%'"
            )
            # Two watch, and one of them works.
            until(lambda: shop.value(sessions) >= 3)
            assert (
                shop.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
                    f" '{APPLICATION_NAME}'"
                )
                == 1
            )
            reader.run("COMMIT")
        with ThreadPoolExecutor() as pool:
            ended = list(pool.map(told, both))
        assert [one.get("error") for one in ended] == [None, None]
        assert sorted(len(one["applied"]) for one in ended) == [0, 1], "applied by one, and found done by the other"
        assert valid(shop, "orders_status") is True
        return watch.safe(
            "one applied it; the other asked for the lock again and again without queueing for it, and then found"
            " nothing left to do",
            "0002",
        )


@fault(
    14, "a session of a run whose machine died sits in an open transaction with LOCK TABLE", "its session still works"
)
def orphan(stage: Stage) -> Seen:
    with stage.shop() as shop, Session({"dsn": shop.url}, APPLICATION_NAME) as dead:
        watch, release, given = Watch(shop), shop.release(FIRST, COLUMN), receipt(shop)
        dead.run("BEGIN")
        dead.run("LOCK TABLE orders")
        in_the_way(shop)
        watch.struck()
        assert shop.migrate(release, given)["to"] == "0002"
        with pytest.raises(DatabaseError):
            dead.run("SELECT 1")
        return watch.safe("ended that session, since it held Gradual's lock itself, and applied the revision", "0002")


@fault(
    14,
    "a migrator is frozen (SIGSTOP) with Gradual's lock in its hands, as when its machine hangs",
    "its process hangs",
)
def frozen(stage: Stage) -> Seen:
    slow = revision(2, "ALTER TABLE orders ADD COLUMN note text", "SELECT pg_sleep(1)")
    with stage.shop() as shop:
        watch, release, given = Watch(shop), shop.release(FIRST, slow), receipt(shop)
        first = migrator(shop, release, given)
        until(lambda: working(shop, "%pg_sleep%"))
        first.send_signal(signal.SIGSTOP)
        watch.struck()
        with pytest.raises(MigrationFailed, match=r"cannot run now: .*pid \d+.* did not end within 1 s") as failed:
            shop.migrate(release, given, deadline=1)
        end_now(first)
        seen = (
            watch.safe(failed.value, "0002", "what it had begun was finished by the tool, which was not frozen")
            if until(lambda: shop.revision() == "0002")
            else None
        )
        assert seen is not None
        assert shop.migrate(release, given)["applied"] == []
        return seen
