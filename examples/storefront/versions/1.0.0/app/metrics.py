"""Metrics of all workers of this host (prometheus_client in multiprocess mode).

Every counter is born at 0 for every label value that can occur: the increase of a series that is born at 1 is 0, and
the first error of a release would be invisible. Which variants there are, the flag file says: their series are born when it
names them.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
VARIANTS = ("on", "off")
# Stages have few variants. A process that has seen more than this counts the rest as on or off, or its series would grow for ever.
MOST_VARIANTS = 24
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

requests = Counter("http_requests", "Requests answered.", ["method", "route", "status"])
request_duration = Histogram("http_request_duration_seconds", "Time to answer.", ["route"], buckets=BUCKETS)
in_flight = Gauge("http_requests_in_flight", "Requests being answered now.", multiprocess_mode="liveall")
errors = Counter("unhandled_errors", "Answers 500 (code) and 503 (database).", ["kind"])
pool_connections = Gauge("database_pool_connections", "Connections to the database.", ["state"], multiprocess_mode="liveall")

feature_requests = Counter(
    "feature_requests", "Requests on the routes where a feature plays, by what the user has.", ["feature", "variant", "outcome"]
)
feature_duration = Histogram(
    "feature_request_duration_seconds", "Time to answer, by what the user has.", ["feature", "variant"], buckets=BUCKETS
)
feature_feedback = Counter("feature_feedback", "What users say.", ["feature", "variant", "opinion"])
feature_orders = Counter("feature_orders", "Orders, by what the user has.", ["feature", "variant"])
feature_evaluations = Counter("feature_evaluations", "Evaluations of a flag for a user's request.", ["flag"])
flag_revision = Gauge(
    "feature_flag_revision", "Revision of the flag that this process evaluates.", ["flag"], multiprocess_mode="liveall"
)
flag_share = Gauge(
    "feature_flag_share", "Share of 100 fixed users for whom this process evaluates on.", ["flag"], multiprocess_mode="liveall"
)
_known: dict[str, set[str]] = {}


def born(features: Iterable[str], routes: Iterable[tuple[str, Iterable[str], Iterable[int]]]) -> None:
    """Make every series. routes: (route, methods, statuses)."""
    for route, methods, statuses in routes:
        request_duration.labels(route)
        for method in methods:
            for status in statuses:
                requests.labels(method, route, str(status))
    for kind in ("code", "database"):
        errors.labels(kind)
    for feature in features:
        feature_evaluations.labels(feature)
        flag_revision.labels(feature).set(0)
        flag_share.labels(feature).set(0)
        for variant in VARIANTS:
            label(feature, variant, variant == "on")


def label(feature: str, variant: str | None, value: bool) -> str:
    """The label of a variant, whose series are there from then on. Without a variant, or with too many, it is on or off."""
    plain = VARIANTS[0] if value else VARIANTS[1]
    known = _known.setdefault(feature, set())
    if variant is None or (variant not in known and len(known) >= MOST_VARIANTS):
        return plain
    if variant not in known:
        feature_duration.labels(feature, variant)
        feature_orders.labels(feature, variant)
        for outcome in ("ok", "error"):
            feature_requests.labels(feature, variant, outcome)
        for opinion in ("good", "bad"):
            feature_feedback.labels(feature, variant, opinion)
        known.add(variant)
    return variant


def text() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
