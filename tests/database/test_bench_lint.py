"""The truth of the lint bench, on cases whose effect PostgreSQL's documentation tells: each way to do harm, and a
harmless case beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench.lint import databases
from tests.bench.lint.cases import Case, split
from tests.bench.lint.databases import Kept
from tests.bench.lint.truth import truth

from . import server as support


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """On a cluster of its own, since it wants another library loaded and makes roles."""
    with support.throwaway() as server:
        databases.prepare(server, SHOP)
        made = Kept(server)
        yield made
        made.close()


# The tables of Django's shop, which the old code reads too.
SHOP = "CREATE TABLE shop_customer (id int); CREATE TABLE shop_purchase (id int);"
OUTSIDE: dict[str, Any] = {"transaction": False}
TICKET = ("ALTER TABLE items ADD COLUMN ticket bigint",)
NOT_VALID = ("ALTER TABLE items ADD CONSTRAINT later CHECK (line > 0) NOT VALID",)


@pytest.mark.parametrize(
    ("sql", "more", "wanted"),
    [
        ("ALTER TABLE orders ADD COLUMN colour text", {}, ""),
        ("ALTER TABLE orders ADD COLUMN colour uuid DEFAULT gen_random_uuid()", {}, "blocks for as long"),
        ("CREATE INDEX i ON orders (total)", {}, "blocks for as long"),
        ("CREATE INDEX CONCURRENTLY i ON orders (total)", OUTSIDE, ""),
        (
            "CREATE INDEX CONCURRENTLY i ON orders (total)",
            {},
            "PostgreSQL refuses it: CREATE INDEX CONCURRENTLY cannot",
        ),
        ("VACUUM orders", OUTSIDE, ""),
        ("VACUUM FULL orders", OUTSIDE, "blocks for as long"),
        ("LOCK TABLE orders", {}, ""),
        ("CREATE INDEX i ON sales (sold)", {}, ""),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY sales", {}, ""),
        ("REFRESH MATERIALIZED VIEW sales", {}, "blocks for as long"),
        (
            "ALTER TABLE items ADD CONSTRAINT t FOREIGN KEY (ticket) REFERENCES tickets NOT VALID",
            {"earlier": TICKET},
            "old",
        ),
        ("LOCK TABLE orders; SELECT count(*) FROM orders WHERE note LIKE '%x%'", {}, "blocks for as long"),
        ("ALTER TABLE items VALIDATE CONSTRAINT later", {"earlier": NOT_VALID}, ""),
        ("ALTER TABLE items ADD CHECK (line > 0)", {}, "blocks for as long"),
        ("UPDATE orders SET note = 'x' WHERE id < 50", {}, ""),
        ("UPDATE orders SET note = note", {}, "changes or locks 100% of orders"),
        ("UPDATE orders SET note = note", OUTSIDE, "changes or locks 100% of orders"),
        ("SELECT id FROM orders FOR UPDATE", {}, "changes or locks 100% of orders"),
        ("SELECT id FROM orders WHERE id < 50 FOR UPDATE", {}, ""),
        ("ALTER TABLE orders DROP COLUMN code", {}, "old code: "),
        ("DROP TABLE carts; ALTER TABLE never_there ADD b int", OUTSIDE, "PostgreSQL refuses it"),
        ("BEGIN; DROP TABLE carts; ROLLBACK", OUTSIDE, ""),
        ("REVOKE INSERT ON orders FROM shop_app", {}, "old code: INSERT"),
        ("REVOKE SELECT ON orders FROM shop_reader", {}, "old code: SELECT"),
        ("ALTER SEQUENCE invoice_numbers RESTART", {}, "old code: SELECT nextval"),
    ],
)
def test_truth_as_the_server_has_it(sql: str, more: dict[str, Any], wanted: str, kept: Kept) -> None:
    found = truth(kept, Case("columns", sql, split(sql), **more))
    assert found.harmful == bool(wanted)
    assert any(one.startswith(wanted) for one in found.reasons) or not wanted


def test_what_a_half_done_file_leaves_behind_counts(kept: Kept) -> None:
    sql = "DROP TABLE carts; ALTER TABLE never_there ADD b int"
    found = truth(kept, Case("columns", sql, split(sql), transaction=False))
    assert any("carts" in one for one in found.reasons if one.startswith("old code"))
    again = truth(kept, Case("columns", sql, split(sql)))
    assert not any(one.startswith("old code") for one in again.reasons)


def test_a_case_leaves_nothing_behind_for_the_next(kept: Kept) -> None:
    sql = "DROP TABLE carts"
    first, second = (truth(kept, Case("columns", sql, split(sql))) for _number in range(2))
    assert first.reasons == second.reasons
    assert not truth(kept, Case("columns", "ANALYZE", ("ANALYZE",))).harmful


def test_the_strongest_lock_and_what_was_rewritten_are_told(kept: Kept) -> None:
    sql = "ALTER TABLE orders ALTER COLUMN quantity TYPE bigint"
    found = truth(kept, Case("columns", sql, (sql,)))
    assert (found.lock, found.rewritten) == ("AccessExclusiveLock on orders", ("orders",))
    assert found.indexes == 4


def test_what_must_run_before_a_case_must_not_fail(kept: Kept) -> None:
    with pytest.raises(ValueError, match="columns: x: what runs before it fails: table"):
        truth(kept, Case("columns", "x", ("SELECT 1",), earlier=("DROP TABLE never_there",)))
