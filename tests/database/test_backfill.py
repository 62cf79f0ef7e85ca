"""A backfill touches every row once, wherever it is ended; it waits for replicas, for a busy server and for migrations,
and loses no row to writers."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import backfills
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_runner import Run, Runner
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_sessions import (
    APPLICATION_NAME,
    Request,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import lag, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .pooler import pooler
from .server import OWNER, PASSWORD, RUN_AS, TESTER, Server, Shop, end_now, meanwhile, programs, run_as, until

# It counts how often each row is touched, so that a row done twice or not at all is seen.
TWICE = {
    "name": "total-in-cents",
    "table": "orders",
    "set": "cents = total * 100, touched = touched + 1",
    "where": "cents IS NULL",
    "batch": 50,
    "pause_ms": 1,
}


def wanted(shop: Shop, **changes: Any) -> Request:
    return Request(
        **{
            "database": shop.name,
            "variables": {"DATABASE_URL": shop.url},
            "run_as": RUN_AS,
            "socket_directory": str(shop.server.folder),
            "port": shop.server.port,
            "deadline": 30,
            "limits": lag.Limits(),
            "active_sessions": 50,
            **changes,
        }
    )


def fill(shop: Shop, *given: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Run the backfills; what the module returns."""
    with Runner(wanted(shop, **changes), backfills(given or [TWICE])) as runner:
        return runner.run()


def fill_until(
    shop: Shop, enough: Callable[[Run], bool], given: dict[str, Any] = TWICE, **changes: Any
) -> dict[str, Any]:
    """Run the backfill, and have its deadline pass when that is so."""
    passed = [0.0]
    with Runner(
        wanted(shop, **{"deadline": 600, **changes}), backfills([given]), lambda: time.monotonic() + passed[0]
    ) as runner:

        def end() -> None:
            try:
                until(lambda: runner.at and enough(runner.at), 60)
            finally:
                passed[0] = 1000.0

        with meanwhile(end):
            return runner.run()[0]


def in_a_process(shop: Shop) -> subprocess.Popen[str]:
    """The same in a process of its own, which can be killed; it prints what it did."""
    code = (
        f"import json, sys\nsys.path[:0] = {[*sys.path, str(Path(__file__).parents[2])]!r}\nfrom pathlib import"
        " Path\nfrom tests.database.server import Server, Shop\nfrom tests.database.test_backfill import fill\nshop ="
        f" Shop(Server(Path({str(shop.server.folder)!r}), {shop.server.port}), {shop.name!r},"
        f" Path('/'))\nprint(json.dumps(fill(shop, { ({**TWICE, 'batch': 20, 'pause_ms': 30})!r}, batch_ms=20)))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def touched(shop: Shop) -> list[tuple[int, int]]:
    """[(times, rows)]: how many rows were touched so often."""
    with shop.session() as session:
        return [
            (int(times), int(rows))
            for times, rows in session.rows("SELECT touched, count(*) FROM orders GROUP BY 1 ORDER BY 1")
        ]


def record(shop: Shop) -> tuple[Any, ...]:
    with shop.session() as session:
        return session.rows("SELECT rows, finished_at IS NOT NULL, position FROM gradual.backfill")[0]


@pytest.fixture
def orders(shop: Shop) -> Shop:
    """2000 orders whose cents have to be filled in."""
    shop.as_owner("ALTER TABLE orders ADD COLUMN cents bigint, ADD COLUMN touched int NOT NULL DEFAULT 0")
    return shop


def test_every_row_once_and_nothing_the_second_time(orders: Shop) -> None:
    done = fill(orders)[0]
    assert (done["finished"], done["rows"], done["left"]) == (True, 2000, {"rows": 0, "how": "proven"})
    assert done["batches"] > 1
    assert touched(orders) == [(1, 2000)]
    assert orders.value("SELECT sum(cents) = sum(total * 100) FROM orders")
    assert record(orders) == (2000, True, None)
    again = fill(orders)[0]
    assert (again["finished"], again["rows"], again["batches"]) == (True, 0, 0)
    # A row that appears later is seen although the record says that all is done.
    orders.as_owner("INSERT INTO orders (status, total) VALUES ('new', 5)")
    with Runner(wanted(orders), backfills([TWICE])) as runner:
        assert runner.info(prove=False)[0]["finished"]
        assert not runner.info(prove=True)[0]["finished"]
    assert fill(orders)[0]["rows"] == 1
    assert touched(orders) == [(1, 2001)]


def test_killed_anywhere_it_resumes_and_no_row_is_done_twice(orders: Shop) -> None:
    chance = random.Random(4)
    orders.as_owner(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END'",
        "CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    at_work = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
        f" '{APPLICATION_NAME}'"
    )
    seen: list[int] = []
    for number in range(1, 5):
        process = in_a_process(orders)
        try:
            # It has come further than the one before; now somewhere in a batch, at its commit, or in the pause after
            # it.
            until(lambda: there(orders) and rows_of(orders) > (seen or [0])[-1])
            time.sleep(chance.uniform(0, 0.1))
        finally:
            end_now(process)
        until(lambda: not orders.value(at_work))
        rows = rows_of(orders)
        assert rows == orders.value("SELECT count(*) FROM orders WHERE touched = 1"), (
            f"after kill {number} the record says otherwise than the rows"
        )
        seen.append(rows)
    assert seen == sorted(set(seen))
    assert seen[-1] < 2000
    assert fill(orders)[0]["rows"] == 2000 - seen[-1]
    assert touched(orders) == [(1, 2000)]
    assert record(orders) == (2000, True, None)


def test_a_session_that_is_ended_by_the_server_is_opened_again(orders: Shop) -> None:
    ended = []

    def end() -> None:
        until(lambda: there(orders) and rows_of(orders) > 100)
        ended.append(
            orders.value(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name ="
                f" '{APPLICATION_NAME}' AND datname = current_database()"
            )
        )

    with meanwhile(end):
        done = fill(orders, {**TWICE, "pause_ms": 40})[0]
    assert ended == [1]
    assert (done["finished"], done["rows"]) == (True, 2000)
    assert done["retries"] >= 1
    assert touched(orders) == [(1, 2000)]


def rows_of(shop: Shop) -> int:
    return int(shop.value("SELECT coalesce(sum(rows), 0) FROM gradual.backfill"))


def there(shop: Shop) -> bool:
    return shop.value("SELECT to_regclass('gradual.backfill')") is not None


def test_concurrent_writers_lose_nothing_and_rows_held_by_them_come_later(orders: Shop) -> None:
    ended = threading.Event()
    written: list[int] = []

    def write() -> None:
        with orders.session() as session:
            while not ended.is_set():
                # As old code does: it knows nothing of the new column.
                written.append(
                    session.value(
                        "UPDATE orders SET total = total + 1 WHERE id = %s RETURNING id", (random.randint(1, 2000),)
                    )
                )
                session.run(
                    "UPDATE orders SET extra = jsonb_build_object('kept', coalesce((extra ->> 'kept')::int, 0) + 1)"
                    " WHERE id = %s",
                    (written[-1],),
                )

    with orders.session() as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM orders WHERE id IN (7, 700) FOR UPDATE")

        def let_go() -> None:
            until(lambda: runner.at and runner.at.paused["held rows"] > 0)
            holder.run("COMMIT")

        with Runner(wanted(orders), backfills([TWICE])) as runner, meanwhile(write), meanwhile(let_go):
            try:
                done = runner.run()[0]
            finally:
                ended.set()
    assert (done["finished"], done["rows"]) == (True, 2000)
    assert done["passes"] >= 2
    assert done["paused"]["held rows"] > 0
    assert touched(orders) == [(1, 2000)]
    assert len(written) == orders.value("SELECT sum((extra ->> 'kept')::int) FROM orders")


def test_rows_that_stay_held_are_told_with_who_holds_them(orders: Shop) -> None:
    with orders.session() as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM orders WHERE id = 7 FOR UPDATE")
        pid = holder.value("SELECT pg_backend_pid()")
        done = fill_until(orders, lambda run: run.paused["held rows"] > 0)
        assert (done["finished"], done["rows"], done["left"]) == (False, 1999, {"rows": 1, "how": "counted"})
        assert f"locked by others (pid {pid} (test, user {TESTER}" in done["waits_for"]
        holder.run("COMMIT")
    assert fill(orders)[0]["rows"] == 1


def test_at_its_deadline_it_says_how_far_it_is_and_goes_on_from_there(orders: Shop) -> None:
    done = fill_until(orders, lambda run: run.rows > 0, {**TWICE, "pause_ms": 400})
    assert not done["finished"]
    assert 0 < done["rows"] < 2000
    assert done["left"] == {"rows": 2000 - done["rows"], "how": "counted"}
    assert done["remaining_seconds"] > 0
    # How fast it goes may change on the way; what it does may not.
    assert fill(orders, {**TWICE, "batch": 500})[0]["rows"] == 2000 - done["rows"]
    with pytest.raises(DatabaseError, match="total-in-cents was begun with another table, key, set or where"):
        fill(orders, {**TWICE, "set": "cents = total * 1000"})


def test_it_waits_while_the_server_is_busy(orders: Shop) -> None:
    with orders.session() as busy:
        pid = busy.value("SELECT pg_backend_pid()")
        with meanwhile(lambda: _sleep(busy)):
            until(lambda: orders.value(f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}"))
            waiting = fill_until(orders, lambda run: run.paused["load"] >= 1, active_sessions=0)
            assert (waiting["finished"], waiting["rows"]) == (False, 0)
            assert waiting["paused"]["load"] >= 1
            assert waiting["waits_for"].endswith("active sessions, more than 0")
            orders.run(f"SELECT pg_cancel_backend({pid})")
    assert fill(orders, active_sessions=0)[0]["finished"]


def _sleep(session: Session) -> None:
    with contextlib.suppress(DatabaseError):
        session.run("SELECT pg_sleep(30)")


def test_it_waits_while_a_migration_runs_and_another_runner_goes_away(orders: Shop) -> None:
    with orders.session() as migration:
        assert server.try_lock(migration, shared=False)
        waiting = fill_until(orders, lambda run: run.paused["migration"] >= 1)
        assert (waiting["rows"], waiting["waits_for"]) == (0, "a migration of this database is running")
        assert waiting["paused"]["migration"] >= 1
    with Runner(wanted(orders), backfills([TWICE])) as first:
        first.sessions.prepare()
        with pytest.raises(
            DatabaseError,
            match=rf"another backfill of this database is running \({APPLICATION_NAME}, pid \d+, since .*run this",
        ):
            fill(orders, deadline=0.5)
    # While one of its batches is under way, no migration begins: both can never be at it.
    with orders.session() as migration, orders.session() as batch:
        batch.run("BEGIN")
        assert batch.value("SELECT pg_try_advisory_xact_lock_shared(%s::int, %s::int)", server.LOCK)
        assert not server.try_lock(migration, shared=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"where": "total > 0"}, r"would never end: \d+ rows, such as id = 1, still match where \(total > 0\)"),
        ({"key": "total"}, "orders.total cannot order the batches"),
        ({"table": "ordres"}, "there is no table ordres; if a pending migration makes it"),
        ({"set": "cents = 1 / (id - 60)"}, "division by zero"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_no_half_batch(orders: Shop, changes: dict[str, str], said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        fill(orders, {**TWICE, **changes})
    done = orders.value("SELECT count(*) FROM orders WHERE cents IS NOT NULL")
    assert done == (rows_of(orders) if there(orders) else 0)
    assert done in (0, 50)


def test_it_does_not_go_through_a_pooler(orders: Shop) -> None:
    # The role has by chance what we would ask for, so that nothing that is dropped on the way is missed.
    orders.run(f"ALTER ROLE {OWNER} IN DATABASE {orders.name} SET lock_timeout = 50")
    with pooler(orders, "pool_mode = transaction", "ignore_startup_parameters = options") as url:
        with pytest.raises(DatabaseError, match=r"or through a pooler .*write the server's own address") as seen:
            fill(orders, variables={"DATABASE_URL": url})
        assert PASSWORD not in str(seen.value)
    assert not there(orders)


def test_conditions_run_with_the_owners_rights_only(orders: Shop) -> None:
    orders.run("CREATE TABLE secret (id int)", "INSERT INTO secret VALUES (1)")
    with pytest.raises(DatabaseError, match="permission denied for table secret"):
        fill(orders, {**TWICE, "where": "cents IS NULL AND EXISTS (SELECT FROM secret)"})
    assert orders.value(f"SELECT has_table_privilege('{OWNER}', 'gradual.backfill', 'DELETE')") is False


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", "gen_random_uuid()"),
        ("text", "'ä%s' || random()"),
        ("timestamptz", "now() - random() * interval '9 years'"),
    ],
)
def test_keys_of_any_type_and_percent_signs(orders: Shop, kind: str, value: str) -> None:
    orders.as_owner(
        f"CREATE TABLE notes (code {kind} PRIMARY KEY, text text, done text)",
        f"INSERT INTO notes SELECT {value}, '5 %' FROM generate_series(1, 300)",
    )
    done = fill(
        orders,
        {
            "name": "notes",
            "table": "public.notes",
            "key": "code",
            "set": "done = text || ' %s'",
            "where": "text LIKE '%' AND done IS NULL",
            "batch": 20,
            "pause_ms": 1,
        },
    )[0]
    assert (done["finished"], done["rows"], done["passes"]) == (True, 300, 1)
    assert orders.value("SELECT count(*) FROM notes WHERE done = '5 % %s'") == 300


@pytest.fixture
def standby(server: Server) -> Iterator[Server]:
    """A streaming replica named `late1`."""
    folder = server.folder / "standby"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        replica = Server(folder, free.getsockname()[1])
    run_as(["mkdir", str(folder)])
    try:
        run_as(
            [
                str(programs() / "pg_basebackup"),
                "-D",
                str(folder / "data"),
                "-R",
                "-c",
                "fast",
                "-X",
                "stream",
                "-d",
                f"host=127.0.0.1 port={server.port} user={TESTER} password={PASSWORD} application_name=late1",
            ]
        )
        replica.pg_ctl("start")
        yield replica
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            replica.pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


def test_it_waits_for_a_replica_that_is_late(orders: Shop, standby: Server) -> None:
    def behind() -> list[dict[str, Any]]:
        with orders.session() as session:
            return lag.behind(session)

    # What Gradual's own tables take in WAL is not what is measured here.
    with Runner(wanted(orders), []) as runner:
        runner.sessions.prepare()
    until(
        lambda: (
            [(one["application_name"], one["state"], one["bytes"]) for one in behind()] == [("late1", "streaming", 0)]
        )
    )
    standby.run("SELECT pg_wal_replay_pause()")
    limits = lag.Limits(bytes=131072, seconds=None)
    waiting = fill_until(orders, lambda run: run.paused["lag"] >= 0.5, limits=limits)
    assert not waiting["finished"]
    assert 0 < waiting["rows"] < 2000, waiting["waits_for"]
    assert waiting["paused"]["lag"] >= 0.5
    assert waiting["waits_for"].startswith("late1 is ")
    with orders.session() as session:
        waited = lag.wait(session, limits, 0.3)
        assert waited.late
        assert waited.seconds >= 0.3
        # One that is meant to be late is not waited for.
        assert lag.wait(session, lag.Limits(bytes=131072, ignored=("late1",)), 10).late == ()

    def resume() -> None:
        until(
            lambda: orders.value(
                f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{APPLICATION_NAME}'"
            )
        )
        standby.run("SELECT pg_wal_replay_resume()")

    with meanwhile(resume):
        done = fill(orders, limits=limits)[0]
    assert done["finished"]
    assert touched(orders) == [(1, 2000)]
    # Nothing can be filled in on the replica itself.
    replica = Shop(standby, orders.name, orders.environment)
    with pytest.raises(DatabaseError, match="this server is a standby"):
        fill(replica)
