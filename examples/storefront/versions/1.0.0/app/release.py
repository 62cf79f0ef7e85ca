"""What this release is: its features and the schema that it needs."""

from __future__ import annotations

FEATURES: dict[str, tuple[str, ...]] = {}
"""Flags that this release evaluates, and the routes on which each plays."""

NEEDS_REVISION = "0001"
"""The oldest schema revision on which this release runs; revisions sort as text."""

NEEDS_COLUMNS: dict[str, tuple[str, ...]] = {
    "products": ("sku", "kind", "name", "description", "price_cents", "price_text"),
    "accounts": ("id", "email", "name", "password", "merchant"),
    "orders": ("reference", "account_id", "visitor", "sku", "quantity", "total_cents", "created"),
}
"""Columns that the code names. A later, destructive migration may have taken one away."""
