"""What this release is: its features and the schema that it needs."""

from __future__ import annotations

FEATURES: tuple[str, ...] = ("search", "recommendations", "express-checkout")
"""Flags that this release evaluates: Epic 21."""

NEEDS_REVISION = "0003"
"""The oldest schema revision on which this release runs; revisions sort as text."""

NEEDS_COLUMNS: dict[str, tuple[str, ...]] = {
    "products": ("sku", "kind", "name", "description", "price_cents", "search_words"),
    "accounts": ("id", "email", "name", "password", "merchant"),
    "orders": ("reference", "account_id", "visitor", "sku", "quantity", "total_cents", "express", "created"),
}
"""Columns that the code names. A later, destructive migration may have taken one away."""
