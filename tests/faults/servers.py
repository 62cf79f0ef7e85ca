"""Faults of the server, and of the way to it."""

from __future__ import annotations

from typing import Any

from tests.database.goings_on import columns, working
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import meanwhile, revision, until

from .fault import Seen, fault
from .proxy import Cutter
from .stage import Stage, Watch

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")


def cut(stage: Stage, answered: bool) -> tuple[Seen, dict[str, Any]]:
    """Migrate through a proxy that cuts the connection at the migration's COMMIT; what became of it. A fault that was
    not caused is caused again."""
    passed = []
    for _try in range(3):
        with stage.shop() as shop:
            watch, given, release = Watch(shop), receipt(shop), shop.release(FIRST, COLUMN)
            with Cutter(shop.server.port, b"ADD COLUMN note", answered, watch.struck) as proxy:
                url = shop.url.replace(f":{shop.server.port}/", f":{proxy.port}/")
                step = shop.migrate(release, given, variables={"DATABASE_URL": url})["applied"][0]
            assert columns(shop).count("note") == 1
            if proxy.cuts == 1:
                return watch.safe("", "0002"), step
            passed.append(f"{proxy.cuts} cuts of {proxy.passed}; {step}")
    raise AssertionError(f"the connection was not cut, three times: {passed}")


@fault(
    12,
    "a proxy cuts the connection when it sees the migration's COMMIT, and keeps the COMMIT for itself",
    "before the server saw it",
)
def commit_never_arrived(stage: Stage) -> Seen:
    seen, step = cut(stage, answered=False)
    assert step["attempts"] == 2
    return Seen(
        f"{step['notes'][0]}; the database said that it had not moved, and the second attempt applied it",
        seen.state,
        seen.seconds,
    )


@fault(
    12,
    "a proxy lets the COMMIT pass, and cuts the connection in place of the server's answer",
    "after the server did it",
)
def answer_never_arrived(stage: Stage) -> Seen:
    seen, step = cut(stage, answered=True)
    assert step["attempts"] == 1
    assert "but according to the database it is applied" in step["notes"][0]
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
        return watch.safe(
            f"{step['notes'][0]}; connected and locked again when the server was back, and applied it in the second"
            " attempt",
            "0002",
        )


@fault(15, "pg_ctl restart -m fast while the ALTER's transaction is open", "orderly")
def restarted_fast(stage: Stage) -> Seen:
    return restarted(stage, "fast")


@fault(
    15,
    "pg_ctl restart -m immediate while the ALTER's transaction is open: the server comes back by crash recovery",
    "as by a crash",
)
def restarted_immediate(stage: Stage) -> Seen:
    return restarted(stage, "immediate")
