"""Metrics of the shop's own. Those of the contract are the library's, which collects these too."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

errors = Counter("unhandled_errors", "Answers 500 (code) and 503 (database).", ["kind"])
pool_connections = Gauge("database_pool_connections", "Connections to the database.", ["state"], multiprocess_mode="liveall")


def create() -> None:
    """Make the series at 0."""
    for kind in ("code", "database"):
        errors.labels(kind)
