"""Fills the words of the products that were there before, and the index over them, without holding up anybody.

Runs outside a transaction and can be run again after a failure at any point: filled rows are skipped, and an index that a
broken attempt left behind invalid is dropped first (IF NOT EXISTS would call it done).
"""

from __future__ import annotations

import time

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"
phase = "expand"

INDEX = "products_search_words"
BATCH = 500
PATIENCE = 60.0


def fill(connection) -> None:
    """Small batches, each its own transaction; rows that somebody else holds come in a later one."""
    batch = text(
        """UPDATE products SET name = name WHERE sku IN
             (SELECT sku FROM products WHERE search_words IS NULL ORDER BY sku LIMIT :batch FOR UPDATE SKIP LOCKED)"""
    )
    until = time.monotonic() + PATIENCE
    while True:
        if connection.execute(batch, {"batch": BATCH}).rowcount:
            continue
        left = connection.execute(text("SELECT count(*) FROM products WHERE search_words IS NULL")).scalar_one()
        if not left:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"{left} products were held by other transactions for {PATIENCE:.0f} s; end those and migrate again")
        time.sleep(0.2)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        # A lock that is waited for in vain would leave an invalid index: waiting blocks nobody here.
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SET statement_timeout = 0"))
        fill(connection)
        valid = connection.execute(text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": INDEX}).scalar()
        if valid is False:
            connection.execute(text(f"DROP INDEX CONCURRENTLY {INDEX}"))
        if not valid:
            connection.execute(text(f"CREATE INDEX CONCURRENTLY {INDEX} ON products USING gin (search_words)"))
        connection.execute(text("RESET lock_timeout"))
        connection.execute(text("RESET statement_timeout"))


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
