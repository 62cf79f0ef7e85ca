"""Words of each product for the feature `search`, and whether an order was an express one.

The release before goes on writing while this schema is live, so a trigger fills the new column, whoever writes. The same
trigger keeps price_text, which only the release before reads and writes: a price that the new release changes is right
there too, should the old one come back. No existing row is touched here: both columns come without a rewrite of the table.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE products ADD COLUMN search_words tsvector")
    op.execute("ALTER TABLE orders ADD COLUMN express boolean NOT NULL DEFAULT false")
    op.execute(
        """CREATE FUNCTION products_fill() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             NEW.search_words := setweight(to_tsvector('english', NEW.name), 'A') || setweight(to_tsvector('english', NEW.description), 'B');
             NEW.price_text := '€ ' || NEW.price_cents / 100 || '.' || lpad((NEW.price_cents % 100)::text, 2, '0');
             RETURN NEW;
           END $$"""
    )
    op.execute(
        """CREATE TRIGGER products_fill BEFORE INSERT OR UPDATE OF name, description, price_cents ON products
           FOR EACH ROW EXECUTE FUNCTION products_fill()"""
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER products_fill ON products")
    op.execute("DROP FUNCTION products_fill()")
    op.execute("ALTER TABLE orders DROP COLUMN express")
    op.execute("ALTER TABLE products DROP COLUMN search_words")
