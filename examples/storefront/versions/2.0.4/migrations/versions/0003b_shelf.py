"""The shelf of each product, and that no two products share one."""

from __future__ import annotations

from alembic import op

revision = "0003b"
down_revision = "0003"
phase = "expand"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE products ADD COLUMN IF NOT EXISTS shelf text NOT NULL DEFAULT 'unsorted'")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY products_shelf ON products (shelf)")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS products_shelf")
        op.execute("ALTER TABLE products DROP COLUMN IF EXISTS shelf")
