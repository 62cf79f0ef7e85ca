# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""A good release manifest, and how tests change it."""

from __future__ import annotations

import copy
from typing import Any

DIGEST = "ab" * 32
GOOD: dict[str, Any] = {
    "application": "storefront",
    "version": "2.0.0",
    "artifact": {"url": "http://mon1:8000/artifacts/storefront-2.0.0.tar.gz", "sha256": DIGEST},
    "features": [
        {
            "flag": "search",
            "smoke": [{"name": "by words", "path": "/api/search?q=a", "flag": "on", "json": {"found_by": "words"}}],
        },
        {"flag": "cart"},
    ],
    "smoke": [{"name": "page", "path": "/"}],
    "stages": [25, 50, 100],
    "bake": {"min": 30, "max": 120, "look": 10, "expiry": 60},
    "migrations": {"target": "0003"},
}
METRIC = {"labels": {}, "harm": "more", "role": "guardrail", "weight": 1.0}
ORDERS = {"name": "orders", "counter": "feature_orders_total"}
GROUPS = {
    "application": ["app1"],
    "database": ["db1"],
    "balancer": ["lb1"],
    "monitoring": ["mon1"],
    "spare": [],
    "postgres": ["db1"],
}


def changed(**changes: Any) -> dict[str, Any]:
    """GOOD with some keys changed; the value `...` takes one away; a__b reaches inside."""
    values = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, key = path.split("__")
        place: Any = values
        for parent in parents:
            place = place[int(parent)] if parent.isdigit() else place.setdefault(parent, {})
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return values
