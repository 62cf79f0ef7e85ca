"""What goes on in a shop's database: transactions that stay open, users, a migration at work; and what is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import APPLICATION_NAME
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import Shop, meanwhile, until


def receipt_by_hand(shop: Shop, **changes: Any) -> dict[str, Any]:
    """What a proven backup of the shop as it is now would have, written by hand: quicker than a restore where the
    backup is not the matter."""
    with shop.session() as session:
        identity = live.identity(session)
    kept = {key: identity[key] for key in ("database", "system_identifier", "timeline", "server_version")}
    return receipts.sealed(
        {
            "schema": 1,
            "id": "by-hand",
            "host": "elsewhere",
            "path": "/nowhere",
            "revision": shop.revision(),
            "level": "restored",
            "taken_at": receipts.now(),
            "files": {},
            **kept,
            **changes,
        }
    )


@contextmanager
def transaction(shop: Shop, *statements: str) -> Iterator[Session]:
    """A transaction that stays open, with the snapshot of its first statement."""
    with shop.session() as session:
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        for statement in statements:
            session.run(statement)
        yield session


@contextmanager
def users(shop: Shop) -> Iterator[list[float]]:
    """Short reads, one after the other; seconds that each took."""
    took: list[float] = []
    ended = threading.Event()

    def read() -> None:
        with shop.session() as session:
            while not ended.is_set():
                begun = time.monotonic()
                session.run("SELECT count(*) FROM orders WHERE id = 5")
                took.append(time.monotonic() - begun)
                ended.wait(0.01)

    with meanwhile(read):
        try:
            yield took
        finally:
            ended.set()


@contextmanager
def writing(shop: Shop, rows: int) -> Iterator[None]:
    """Orders are added and changed all the while; begins when there are more than `rows` of them."""
    ended = threading.Event()

    def write() -> None:
        with shop.session() as session:
            while not ended.is_set():
                session.run("INSERT INTO orders (status) VALUES ('new')")
                session.run("UPDATE orders SET total = total + 1 WHERE id = 1")

    with meanwhile(write):
        until(lambda: shop.value(f"SELECT count(*) > {rows} FROM orders"))
        try:
            yield
        finally:
            ended.set()


def working(shop: Shop, query: str = "%") -> Any:
    """The server process of a migration whose statement is like that; None when there is none."""
    return shop.value(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name = '{APPLICATION_NAME}' AND query ILIKE '{query}'"
    )


def waited(shop: Shop) -> None:
    """Returns when the migration has waited for a lock once and has gone out of the queue again."""
    waits = (
        f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{APPLICATION_NAME}' AND wait_event_type ="
        " 'Lock'"
    )
    until(lambda: shop.value(waits), 60)
    until(lambda: not shop.value(waits), 60)


def columns(shop: Shop, table: str = "orders") -> list[str]:
    with shop.session() as session:
        return [
            row[0]
            for row in session.rows(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = %s ORDER BY 1", (table,)
            )
        ]


def valid(shop: Shop, index: str) -> Any:
    """Whether the index is valid; None when there is none of the name."""
    return shop.value(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')")
