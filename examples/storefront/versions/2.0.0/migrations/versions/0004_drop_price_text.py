"""Drops products.price_text, which only 1.0.0 reads: after this, 1.0.0 cannot come back."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
phase = "contract"


def upgrade() -> None:
    op.execute(
        """CREATE OR REPLACE FUNCTION products_fill() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             NEW.search_words := setweight(to_tsvector('english', NEW.name), 'A') || setweight(to_tsvector('english', NEW.description), 'B');
             RETURN NEW;
           END $$"""
    )
    op.execute("ALTER TABLE products DROP COLUMN price_text")


def downgrade() -> None:
    raise NotImplementedError("what was dropped does not come back: restore a backup instead")
