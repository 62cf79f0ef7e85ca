"""Level `sound`: releases and migrations tried on a restored copy, by processes that can reach nothing else."""

from __future__ import annotations

import os
import pwd
import signal
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import dump
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.verify import (
    copy_access,
    lock_recorder,
    rehearsal,
    root_helper,
    soundness,
)

from .server import OWNER, RUN_AS, UNPRIVILEGED, Shop, revision, until

# A web application in a few lines, as a release carries one: it reads two columns, tells who it is, and writes a row
# for whoever posts.
APPLICATION = """#!.venv/bin/python
import json, os, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import psycopg

database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
print("listening with", os.environ["DATABASE_URL"], file=sys.stderr, flush=True)

def outside():
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["LIVE_PORT"])), 2).close()
        return True
    except OSError:
        return False

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/readyz":
            return self.answer(200, {})
        try:
            rows, total = database.execute("SELECT count(*), sum(total) FROM orders WHERE extra IS NOT NULL").fetchone()
            told = {"rows": rows, "uid": os.getuid(), "reaches_live": outside(), "children": 1}
            status = 200
        except psycopg.Error as error:
            told, status = {"problem": str(error)}, 500
        self.answer(status, told)

    def answer(self, status, told):
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        database.execute("INSERT INTO orders (status, total) VALUES ('new', 1)")
        self.do_GET()

    def log_message(self, *words):
        pass

if os.fork() == 0:
    import time
    open(os.path.join(os.environ["MARKS"], "child"), "w").write(str(os.getpid()))
    time.sleep(600)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Wanted:
    """What a drill is asked to prove."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.sound = options


def previous(shop: Shop, text: str = APPLICATION, **changes: Any) -> dict[str, Any]:
    """The release before, as an option of the drill."""
    folder = shop.release(revision(1))
    (folder / "serve").write_text(text.replace("#!.venv", f"#!{folder}/.venv"))
    (folder / "serve").chmod(0o755)
    marks = shop.server.folder / f"marks-{shop.name}"
    marks.mkdir(exist_ok=True)
    marks.chmod(0o777)
    return {
        "directory": str(folder),
        "command": ["./serve"],
        "run_as": UNPRIVILEGED,
        "version": "1.0.0",
        "timeout": 10,
        "environment": {"DATABASE_URL": shop.url, "LIVE_PORT": str(shop.server.port), "MARKS": str(marks)},
        "probes": [{"name": "orders", "path": "/", "json": {"rows": 2000}}],
        **changes,
    }


def pending(shop: Shop, *statements: str, **changes: Any) -> dict[str, Any]:
    """A release that brings one revision for each statement, as an option of the drill."""
    revisions = [
        revision(1),
        *(revision(number, one, concurrently="CONCURRENTLY" in one) for number, one in enumerate(statements, 2)),
    ]
    return {
        "adapter": "alembic",
        "directory": str(shop.release(*revisions)),
        "path": "migrations",
        "target": "head",
        "phase": "expand",
        "environment": {"DATABASE_URL": shop.url},
        "migrate_as": UNPRIVILEGED,
        **changes,
    }


def prove(shop: Shop, **options: Any) -> dict[str, Any]:
    """Restore a fresh backup into a throwaway cluster, as the module does, and prove it sound there."""
    taken = shop.back_up()
    receipt = shop.digested(taken)

    def work() -> dict[str, Any]:
        with dump.Dump().restored_copy(taken["path"], receipt, str(shop.server.folder), 60) as scratch:
            before = os.stat(scratch.folder).st_mode
            try:
                return {**soundness.prove(Wanted(options), receipt, scratch), "folder": scratch.folder}
            finally:
                assert os.stat(scratch.folder).st_mode == before

    with soundness.root_helper_running(options):
        proven: dict[str, Any] = as_user(RUN_AS, work)
    return proven


def runs(pid: int) -> bool:
    """Whether that process does anything still; what has ended may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever became of a drill, its application, its copy and its folders are gone, and the live database is as it
    was."""
    if "shop" not in request.fixturenames:
        yield
        return
    shop: Shop = request.getfixturevalue("shop")
    rows = shop.value("SELECT count(*) FROM orders")
    yield
    mark = shop.server.folder / f"marks-{shop.name}" / "child"
    until(lambda: not mark.exists() or not runs(int(mark.read_text())))
    assert not list(shop.server.folder.glob("gradual-drill-*"))
    assert shop.value("SELECT count(*) FROM orders") == rows
    assert shop.revision() == "0001"


def test_each_migration_tells_its_locks_and_the_release_before_works_after_them(shop: Shop) -> None:
    shop.as_owner(
        "CREATE TABLE small (id int)",
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN $1;"
        " END'",
    )
    found = prove(
        shop,
        smoke=previous(shop),
        pending=pending(
            shop,
            "ALTER TABLE orders ADD COLUMN note text",
            "ALTER TABLE orders ALTER COLUMN total TYPE numeric(20, 4)",
            "CREATE INDEX CONCURRENTLY orders_slow ON orders (slow(id::int)) WHERE id < 300",
            "UPDATE orders SET note = 'x' WHERE id < 10",
            "LOCK TABLE small IN SHARE MODE",
        ),
    )
    first, second, third, fourth, fifth = found["rehearsal"]
    assert [one["revision"] for one in found["rehearsal"]] == ["0002", "0003", "0004", "0005", "0006"]
    assert first["locks"] == [{"table": "public.orders", "mode": "AccessExclusiveLock"}]
    assert (first["exact"], first["rewrote"], first["phase"]) == (True, [], "expand")
    assert 0 <= first["held_seconds"] <= first["seconds"]
    assert (second["exact"], second["rewrote"]) == (True, ["public.orders"])
    # In no transaction that could tell, so it was looked at from outside.
    assert third["locks"] == [{"table": "public.orders", "mode": "ShareUpdateExclusiveLock"}]
    assert (third["exact"], third["held_seconds"]) == (False, None)
    assert (fourth["exact"], fourth["locks"]) == (True, [{"table": "public.orders", "mode": "RowExclusiveLock"}])
    # Held for a moment, and told by no command of the schema's language: only the transaction itself can tell.
    assert (fifth["exact"], fifth["locks"]) == (True, [{"table": "public.small", "mode": "ShareLock"}])
    assert [(one["when"], one["version"]) for one in found["smoke"]] == [("restored", "1.0.0"), ("migrated", "1.0.0")]
    assert set(found["durations"]) == {"smoke", "rehearsal", "smoke_migrated"}


@pytest.mark.skipif(UNPRIVILEGED is None, reason="only root can give the release to another user and another network")
def test_the_release_runs_as_an_ordinary_user_who_can_reach_the_copy_and_nothing_live(shop: Shop) -> None:
    uid = pwd.getpwnam(str(UNPRIVILEGED)).pw_uid
    found = prove(
        shop,
        smoke=previous(
            shop,
            probes=[
                {"name": "who", "path": "/", "json": {"uid": uid, "reaches_live": False}},
                {"name": "write", "path": "/", "method": "POST", "status": 200},
            ],
        ),
    )
    assert found["smoke"][0]["isolated"]
    assert [one["name"] for one in found["smoke"][0]["probes"]] == ["who", "write"]
    assert found["rehearsal"] is None


def test_a_migration_that_the_release_before_cannot_live_with_is_not_sound(shop: Shop) -> None:
    with pytest.raises(
        DatabaseError, match=r"the previous release 1\.0\.0 does not work after the pending migrations \(0002\): .*500"
    ) as caught:
        prove(shop, smoke=previous(shop), pending=pending(shop, "ALTER TABLE orders DROP COLUMN extra"))
    assert "A rollback to this release would fail" in str(caught.value)


def test_a_release_that_does_not_work_on_the_restored_copy_is_found_before_anything_is_rehearsed(shop: Shop) -> None:
    with pytest.raises(
        DatabaseError,
        match=r"does not work on the restored copy, before any migration: "
        r"it failed 1 of 1 smoke tests of the manifest of 2\.0\.0: orders: json\.rows is 2000 and not 1999",
    ):
        prove(
            shop,
            smoke=previous(
                shop,
                probes_from="of the manifest of 2.0.0",
                probes=[{"name": "orders", "path": "/", "json": {"rows": 1999}}],
            ),
            pending=pending(shop, "SELECT 1/0"),
        )


def test_a_release_that_does_not_start_says_its_last_words_and_no_password(shop: Shop) -> None:
    text = APPLICATION.replace(
        'print("listening', 'sys.exit("no way with " + os.environ["DATABASE_URL"])\nprint("listening'
    )
    with pytest.raises(
        DatabaseError, match=r"ended with status 1 before it was ready; last output: no way with \*\*\*"
    ) as caught:
        prove(shop, smoke=previous(shop, text))
    assert "://" not in str(caught.value)


def test_a_migration_that_fails_on_the_copy_says_the_tools_own_sentence(shop: Shop) -> None:
    with pytest.raises(
        DatabaseError,
        match=(
            r'fail on a restored copy .*: Revision 0002 .*check constraint "dear" of relation "orders" is'
            r" violated"
        ),
    ):
        prove(shop, pending=pending(shop, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total > 5)"))


def test_a_run_that_is_killed_takes_the_release_and_the_copy_with_it(shop: Shop) -> None:
    never = APPLICATION.replace("HTTPServer((", "import time; time.sleep(600); HTTPServer((")
    options = {"smoke": previous(shop, never, timeout=60)}
    mark = shop.server.folder / f"marks-{shop.name}" / "child"
    child = os.fork()
    if child == 0:
        try:
            prove(shop, **options)
        finally:
            os._exit(0)
    until(mark.exists)
    until(mark.read_text)
    application = int(mark.read_text())
    assert runs(application)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not runs(application))
    until(lambda: not list(shop.server.folder.glob("gradual-drill-*")))


def test_a_copy_is_open_to_those_with_its_password_only(shop: Shop) -> None:
    taken = shop.back_up()

    def work() -> list[Any]:
        with (
            dump.Dump().restored_copy(taken["path"], shop.digested(taken), str(shop.server.folder), 60) as scratch,
            copy_access.opened(scratch, [OWNER]) as passwords,
        ):
            seen: list[Any] = []
            for role in (OWNER, "shop_app", "tester"):
                try:
                    Session({**scratch.plain_parameters(shop.name, role), "password": "guess"}).close()
                    seen.append("let in")
                except DatabaseError:
                    seen.append("refused")
            with Session({"dsn": copy_access.rewritten(shop.url, scratch.folder, 5432, passwords[OWNER])}) as session:
                seen.append(session.value("SELECT count(*) FROM orders"))
            seen.append(stat.S_IMODE(os.stat(os.path.join(scratch.folder, "data")).st_mode) & 0o077)
            return seen

    assert as_user(RUN_AS, work) == ["refused", "refused", "refused", 2000, 0]


def test_nothing_asked_for_is_not_measured() -> None:
    nowhere = Scratch("/nonexistent", "/nonexistent", "nobody")
    assert soundness.prove(Wanted({}), {}, nowhere) == {"rehearsal": None, "smoke": None, "durations": {}}


@pytest.mark.parametrize(
    ("url", "there"),
    [
        (
            "postgresql://app:p%40ss@db1,db2:5432/shop?target_session_attrs=read-write&connect_timeout=3",
            "postgresql://app:new@/shop?connect_timeout=3&host=%2Fcopy&port=5432",
        ),
        (
            "postgresql+psycopg://a%2Fb@/shop?host=/run/postgresql&sslmode=verify-full",
            "postgresql+psycopg://a%2Fb:new@/shop?host=%2Fcopy&port=5432",
        ),
    ],
)
def test_an_address_leads_to_the_copy_whatever_way_it_went(url: str, there: str) -> None:
    assert copy_access.rewritten(url, "/copy", 5432, "new") == there


def test_no_variable_of_libpq_leads_elsewhere() -> None:
    given = {"DATABASE_URL": "postgresql://app@db1/shop", "PGSERVICE": "live", "PGHOSTADDR": "192.0.2.1", "OTHER": "x"}
    assert copy_access.environment(given, "/copy", 5432, {"app": "new"}) == {
        "DATABASE_URL": "postgresql://app:new@/shop?host=%2Fcopy&port=5432",
        "OTHER": "x",
        "PGHOST": "/copy",
        "PGPORT": "5432",
    }


RECORD = ("public.orders", "AccessExclusiveLock", "record", 7)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([RECORD], True),
        (
            [
                RECORD,
                ("public.orders", "AccessExclusiveLock", "command", 7),
                ("public.orders", "AccessExclusiveLock", "watch", 0),
            ],
            True,
        ),
        ([RECORD, ("public.orders", "AccessExclusiveLock", "command", 6)], False),  # another transaction did it
        ([RECORD, ("public.orders", "ShareLock", "watch", 0)], False),  # somebody saw what the transaction did not tell
        ([RECORD, (None, "ShareLock", "watch", 0)], True),  # a table that is new concerns nobody
        ([("public.orders", "ShareLock", "watch", 0)], False),
        ([], False),
    ],
)
def test_locks_are_exact_only_if_one_transaction_told_all_of_them(rows: list[tuple[Any, ...]], wanted: bool) -> None:
    assert lock_recorder.exact(rows) is wanted


def test_warnings_are_about_large_tables() -> None:
    step = {
        "revision": "0007",
        "seconds": 9.0,
        "held_seconds": 4.24,
        "rewrote": ["public.big"],
        "locks": [
            {"table": name, "mode": mode}
            for name, mode in (
                ("public.big", "AccessExclusiveLock"),
                ("public.wide", "ShareLock"),
                ("public.small", "AccessExclusiveLock"),
                ("public.read", "RowExclusiveLock"),
            )
        ],
    }
    rows = {"public.big": 100_000, "public.wide": 2_000_000, "public.small": 99_999, "public.read": 5_000_000}
    assert rehearsal.warnings(step, rows) == [
        "0007 rewrites the table public.big (100000 rows); nobody can use it meanwhile, for at most 4.2 s",
        "0007 holds ShareLock on public.wide (2000000 rows); nobody can write it meanwhile, for at most 4.2 s",
    ]


def test_who_asks_an_assistant_that_was_ended_is_told() -> None:
    if os.geteuid() != 0:
        pytest.skip("the root helper is started by root only; run this test as root")
    with root_helper.running(lambda _told: os._exit(1)), pytest.raises(DatabaseError, match="was killed"):
        root_helper.ask({}, lambda told: told)
