"""Flags for this process: an OpenFeature client on a flagd file, and what it evaluates told as metrics.

The provider must be made after the fork: one that is made before never sees a change of the file. So nothing
here happens on import; `start` is called in each worker.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from . import metrics

log = logging.getLogger("storefront.flags")
PROBES = tuple(f"share-probe-{number:03d}" for number in range(100))
POLL_MS = 500
STALE_SECONDS = 3.0


class OnceFilter(logging.Filter):
    """The provider tells its trouble at each poll; a person wants to read it once."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message != self._last
        self._last = message
        record.exc_info = None
        return new


def expiries(targeting: Any) -> Iterator[float]:
    """Every moment (epoch seconds) with which the targeting compares the clock."""
    if isinstance(targeting, dict):
        for operator, values in targeting.items():
            if operator in ("<", "<=", ">", ">=") and isinstance(values, list) and {"var": "$flagd.timestamp"} in values:
                yield from (float(value) for value in values if isinstance(value, (int, float)))
            yield from expiries(values)
    elif isinstance(targeting, list):
        for value in targeting:
            yield from expiries(value)


class Has(NamedTuple):
    """What a user has of a feature: whether it is on, and the variant to count the user's requests by."""

    on: bool
    variant: str


class Flags:
    def __init__(self, features: tuple[str, ...], path: str) -> None:
        self.features = features
        self.path = path
        self._client = api.get_client()

    def start(self) -> None:
        """Make the provider and the thread that watches what it evaluates."""
        logging.getLogger("openfeature.contrib").addFilter(OnceFilter())
        self._provide()
        Watch(self).start()

    def _provide(self) -> None:
        provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=self.path, deadline_ms=POLL_MS)
        try:
            api.set_provider_and_wait(provider)
        except OpenFeatureError:
            log.warning("no flags from %s yet: every feature is off until there are", self.path)

    def has(self, feature: str, visitor: str) -> Has:
        """What this visitor has. Whatever is wrong with the file, the answer is the code's default: off."""
        metrics.feature_evaluations.labels(feature).inc()
        details = self._client.get_boolean_details(feature, False, EvaluationContext(targeting_key=visitor))
        return Has(details.value, metrics.label(feature, details.variant or None, details.value))

    def revision(self, feature: str) -> float:
        details = self._client.get_boolean_details(feature, False, EvaluationContext(targeting_key=PROBES[0]))
        value = details.flag_metadata.get("revision", 0)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def share(self, feature: str) -> float:
        on = sum(self._client.get_boolean_value(feature, False, EvaluationContext(targeting_key=probe)) for probe in PROBES)
        return on / len(PROBES)


class Watch(threading.Thread):
    """Tells each second what this process evaluates.

    The revision comes from one evaluation a flag. The share costs a hundred, so it is taken again only when it can have
    changed: another file, another revision, a moment passed with which the targeting compares the clock.
    """

    def __init__(self, flags: Flags) -> None:
        super().__init__(name="flags-watch", daemon=True)
        self._flags = flags
        self._file: tuple[int, int, int] | None = None
        self._file_seen = 0.0
        self._settled = False
        self._moments: list[float] = []
        self._wanted: dict[str, float] = {}

    def run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("could not look at the flags")
            # On the second, because an expiry is a whole second.
            time.sleep(1.02 - time.time() % 1.0)

    def look(self) -> None:
        now = time.time()
        changed = self._read_file(now)
        passed = any(moment <= now for moment in self._moments)
        self._moments = [moment for moment in self._moments if moment > now]
        revisions = {feature: self._flags.revision(feature) for feature in self._flags.features}
        if changed or passed or not self._settled:
            for feature in self._flags.features:
                metrics.flag_share.labels(feature).set(self._flags.share(feature))
        for feature, revision in revisions.items():
            metrics.flag_revision.labels(feature).set(revision)
        # The provider reads the file on its own clock: look on until it evaluates what the file says.
        self._settled = revisions == self._wanted and now - self._file_seen > 2 * POLL_MS / 1000
        if self._wanted and revisions != self._wanted and now - self._file_seen > STALE_SECONDS:
            # It compares times of the file only, and can miss a second write within one tick of the clock.
            log.warning("the provider evaluates revisions %s, the file says %s: made anew", revisions, self._wanted)
            self._file_seen = now
            self._flags._provide()

    def _read_file(self, now: float) -> bool:
        try:
            stat = os.stat(self._flags.path)
        except FileNotFoundError:
            return False
        identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if identity == self._file:
            return False
        self._file, self._file_seen = identity, now
        try:
            with open(self._flags.path, encoding="utf-8") as file:
                told = json.load(file)
            flags = told["flags"]
            # Before the revision is told: who sees it knows that these series are there.
            for feature in self._flags.features:
                for variant, value in ((flags.get(feature) or {}).get("variants") or {}).items():
                    metrics.label(feature, variant, value is True)
            common = (told.get("metadata") or {}).get("revision", 0)
            self._wanted = {
                feature: float((flags[feature].get("metadata") or {}).get("revision", common)) if feature in flags else 0.0
                for feature in self._flags.features
            }
            self._moments = sorted({moment for flag in flags.values() for moment in expiries(flag.get("targeting"))})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._wanted = {}
            log.warning("cannot read %s (%s): the last good flags stay", self._flags.path, error)
        return True
