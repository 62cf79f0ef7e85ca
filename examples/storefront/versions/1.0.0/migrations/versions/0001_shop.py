"""The schema of 1.0.0, and its catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from migrations.catalogue import PRODUCTS
from migrations.grants import grant

revision = "0001"
down_revision = None
phase = "expand"


def upgrade() -> None:
    op.execute(
        """CREATE TABLE products (
             sku text PRIMARY KEY,
             kind text NOT NULL,
             name text NOT NULL,
             description text NOT NULL,
             price_cents integer NOT NULL CHECK (price_cents > 0),
             price_text text NOT NULL)"""
    )
    op.execute(
        """CREATE TABLE accounts (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             email text NOT NULL UNIQUE,
             name text NOT NULL,
             password text NOT NULL,
             merchant boolean NOT NULL DEFAULT false,
             created timestamptz NOT NULL DEFAULT now())"""
    )
    op.execute(
        """CREATE TABLE orders (
             reference bigint PRIMARY KEY CHECK (reference > 0),
             account_id bigint NOT NULL REFERENCES accounts,
             visitor text NOT NULL,
             sku text NOT NULL REFERENCES products,
             quantity integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
             total_cents bigint NOT NULL,
             created timestamptz NOT NULL DEFAULT now())"""
    )
    op.execute("CREATE INDEX orders_by_account ON orders (account_id, created DESC)")
    op.execute(
        """CREATE TABLE feedback (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             visitor text NOT NULL,
             feature text NOT NULL,
             variant text NOT NULL CHECK (variant IN ('on', 'off')),
             opinion text NOT NULL CHECK (opinion IN ('good', 'bad')),
             comment text,
             created timestamptz NOT NULL DEFAULT now())"""
    )
    products = sa.table("products", *(sa.column(name) for name in ("sku", "kind", "name", "description", "price_cents", "price_text")))
    op.bulk_insert(products, PRODUCTS)
    for statement in grant(
        "SELECT ON products, accounts, orders, alembic_version",
        "UPDATE (name, description, price_cents, price_text) ON products",
        "INSERT ON accounts, orders, feedback",
    ):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first schema is not taken back: restore a backup instead")
