# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The contract's metrics, of all processes of this host together (prometheus_client in multiprocess mode).

Every counter is created at 0 for every label value that can occur: the increase of a series that is created at 1 is 0,
and the first error of a release would be invisible. The flag file says which variants there are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from . import multiprocess, routes

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES, OPINIONS = ("ok", "error"), ("good", "bad")
MOST_VARIANTS = 24
"""A process that has seen more variants of a feature counts the rest as on or off: no file makes series without end."""


def text() -> bytes:
    registry = CollectorRegistry()
    with multiprocess.alone():
        multiprocess.bury()
        MultiProcessCollector(registry, str(multiprocess.DIRECTORY))  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Metrics:
    """The series of one process; made in the process that counts.

    counters: {name without _total: help} of the application's own counters by feature and variant.
    """

    def __init__(self, features: Sequence[str], counters: Mapping[str, str], buckets: Sequence[float]) -> None:
        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, registry=None)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(name, documentation, labels, registry=None, multiprocess_mode="liveall")

        def histogram(name: str, documentation: str, *labels: str) -> Histogram:
            return Histogram(name, documentation, labels, registry=None, buckets=buckets)

        self.requests = counter("http_requests", "Requests answered.", "method", "route", "status")
        self.duration = histogram("http_request_duration_seconds", "Time until the answer begins.", "route")
        self.feature_requests = counter(
            "feature_requests", "Requests on the routes of a feature.", "feature", "variant", "outcome"
        )
        self.feature_duration = histogram(
            "feature_request_duration_seconds", "Time until the answer begins, by variant.", "feature", "variant"
        )
        self.feedback = counter("feature_feedback", "What users say.", "feature", "variant", "opinion")
        self.evaluations = counter("feature_evaluations", "Evaluations of a flag for a request.", "flag")
        self.revision = gauge("feature_flag_revision", "Revision of the flag that this process evaluates.", "flag")
        self.share = gauge("feature_flag_share", "Share of 100 fixed users who have the feature.", "flag")
        self.readable = gauge("feature_flag_file_readable", "1 while the flag file can be read, else 0.")
        self.own = {
            name: counter(name, documentation, "feature", "variant") for name, documentation in counters.items()
        }
        self._known: dict[str, set[str]] = {feature: set() for feature in features}
        self._lock = threading.Lock()
        self._children: dict[tuple[object, ...], tuple[Counter, Histogram]] = {}
        """By labels: finding a child costs more than counting."""

    def create(self, table: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
        """Make every series of the routes and features. table: {route: {method: statuses}}."""
        for route, methods in table.items():
            self.duration.labels(route)
            for method, statuses in methods.items():
                for status in statuses:
                    self.requests.labels(method, route, str(status))
        for feature in self._known:
            self.evaluations.labels(feature)
            self.revision.labels(feature).set(0)
            self.share.labels(feature).set(0)
            for variant in ("on", "off"):
                self.variant(feature, variant, variant == "on")

    def variant(self, feature: str, variant: str | None, on: bool) -> str:
        """The label of a variant, whose series are there from then on; without one, or with too many, on or off."""
        known = self._known[feature]
        if variant in known:
            return variant
        with self._lock:
            if variant is None or (variant not in known and len(known) >= MOST_VARIANTS):
                return "on" if on else "off"
            self.feature_duration.labels(feature, variant)
            for own in self.own.values():
                own.labels(feature, variant)
            for outcome in OUTCOMES:
                self.feature_requests.labels(feature, variant, outcome)
            for opinion in OPINIONS:
                self.feedback.labels(feature, variant, opinion)
            known.add(variant)
        return variant

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        method = routes.method_label(method)
        key = (method, route, status)
        if key not in self._children:
            request = self.requests.labels(method, route, str(status))
            self._children[key] = request, self.duration.labels(route)
        request, duration = self._children[key]
        request.inc()
        duration.observe(seconds)

    def count_feature(self, feature: str, variant: str, status: int, seconds: float) -> None:
        outcome = "error" if status >= 500 else "ok"
        key = (feature, variant, outcome)
        if key not in self._children:
            request = self.feature_requests.labels(feature, variant, outcome)
            self._children[key] = request, self.feature_duration.labels(feature, variant)
        request, duration = self._children[key]
        request.inc()
        duration.observe(seconds)
