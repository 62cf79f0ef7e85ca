"""What this release is: its features and the schema that it needs."""

from __future__ import annotations

FEATURES: dict[str, tuple[str, ...]] = {
    "search": ("GET /api/search",),
    "recommendations": ("GET /api/products/<sku>",),
    "express-checkout": ("GET /api/checkout", "POST /api/orders"),
}
"""Flags that this release evaluates, and the routes on which each plays: Epic 21."""

NEEDS_REVISION = "0005"
"""The oldest schema revision on which this release runs; revisions sort as text."""

NEEDS_COLUMNS: dict[str, tuple[str, ...]] = {
    "products": ("sku", "kind", "name", "description", "price_cents", "search_words"),
    "accounts": ("id", "email", "name", "password", "merchant"),
    "orders": ("reference", "account_id", "visitor", "sku", "quantity", "total_cents", "express", "created"),
}
"""Columns that the code names. A later, destructive migration may have taken one away."""
