# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Flags in this process: OpenFeature's flagd provider on a file, and what it evaluates shown as metrics.

A provider that is made before a fork never sees a change of the file. So nothing happens before `start`, which each
process calls for itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails

from . import flag_file
from .metrics import Metrics
from .request import Details

log = logging.getLogger("gradual_contract")
DOMAIN = "gradual"
"""Of the provider, so that one of the application's own stays as it is."""
PROBES = tuple(f"share-probe-{number:03d}" for number in range(100))
POLL_MS = 200
"""How often the file's time is looked at: a feature that is turned off is shown for so long."""
STALE_SECONDS = 3.0


class OnceFilter(logging.Filter):
    """The provider logs its trouble at each poll; a person wants to read it once."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message != self._last
        self._last = message
        record.exc_info = None
        return new


class Flags:
    """The provider of one process, and the thread that watches what it evaluates."""

    def __init__(self, features: Sequence[str], path: str, metrics: Metrics) -> None:
        self.features, self.path, self._metrics = tuple(features), path, metrics
        self._provider: FlagdProvider
        self._watch = Watch(self, metrics)
        self._logged: set[str] = set()

    def start(self) -> None:
        """Return when the series of the file's variants are there and the flags are evaluated."""
        logging.getLogger("openfeature.contrib").addFilter(OnceFilter())
        self.provide()
        self._watch.look()
        self._watch.start()

    def stop(self) -> None:
        self._watch.stopped.set()
        self._provider.shutdown()

    def provide(self) -> None:
        """Make the provider, or make it anew."""
        provider = FlagdProvider(
            resolver_type=ResolverType.FILE, offline_flag_source_path=self.path, deadline_ms=POLL_MS
        )
        try:
            api.set_provider_and_wait(provider, DOMAIN)
        except OpenFeatureError:
            log.warning("no flags from %s yet: every feature is off until there are", self.path)
        self._provider = provider

    def details(self, feature: str, key: str) -> Details:
        """What the user with this targeting key has. Whatever is wrong with the file: off."""
        self._metrics.evaluations.labels(feature).inc()
        told = self._evaluate(feature, key)
        on = told is not None and told.value
        return Details(on, self._metrics.variant(feature, (told and told.variant) or None, on))

    def revision(self, feature: str) -> float:
        """metadata.revision of what this process evaluates; 0 where the flag is not there."""
        told = self._evaluate(feature, PROBES[0])
        value = told.flag_metadata.get("revision", 0) if told else 0
        return float(value) if isinstance(value, (int, float)) else 0.0

    def share(self, feature: str) -> float:
        found = [self._evaluate(feature, probe) for probe in PROBES]
        return sum(told is not None and told.value for told in found) / len(PROBES)

    def _evaluate(self, feature: str, key: str) -> FlagResolutionDetails[bool] | None:
        """What the provider says; None where it has no such flag, or the flag is wrong.

        The provider is asked itself: a client of OpenFeature around it costs twice as much again, for each request."""
        try:
            told = self._provider.resolve_boolean_details(feature, False, EvaluationContext(key))
        except OpenFeatureError:
            return None
        except Exception as error:
            self._once(f"cannot evaluate {feature}: {type(error).__name__}: {error}")
            return None
        return told if told.error_code is None and isinstance(told.value, bool) else None

    def _once(self, sentence: str) -> None:
        if sentence not in self._logged:
            self._logged.add(sentence)
            log.error("%s", sentence)


class Watch(threading.Thread):
    """Shows at each poll what this process evaluates.

    The revision comes from one evaluation a flag. The share costs a hundred, so it is taken again only when it can have
    changed: another file, another revision, a moment passed with which a rule compares the clock.
    """

    def __init__(self, flags: Flags, metrics: Metrics) -> None:
        super().__init__(name="gradual-flags", daemon=True)
        self.stopped = threading.Event()
        self._flags, self._metrics = flags, metrics
        self._identity: flag_file.Identity | None = None
        self._seen_at = 0.0
        self._settled = False
        self._moments: list[float] = []
        self._wanted: dict[str, float] = {}

    def run(self) -> None:
        # On the second and its parts, because an expiry is a whole second.
        period = POLL_MS / 1000
        while not self.stopped.wait(period - (time.time() - 0.02) % period):
            try:
                self.look()
            except Exception:
                log.exception("could not look at the flags")

    def look(self) -> None:
        now = time.time()
        changed = self._read(now)
        passed = any(moment <= now for moment in self._moments)
        self._moments = [moment for moment in self._moments if moment > now]
        revisions = {feature: self._flags.revision(feature) for feature in self._flags.features}
        if changed or passed or not self._settled:
            for feature in self._flags.features:
                self._metrics.share.labels(feature).set(self._flags.share(feature))
        for feature, revision in revisions.items():
            self._metrics.revision.labels(feature).set(revision)
        # The provider reads the file on its own clock: look on until it evaluates what the file says.
        self._settled = revisions == self._wanted and now - self._seen_at > 2 * POLL_MS / 1000
        if self._wanted and revisions != self._wanted and now - self._seen_at > STALE_SECONDS:
            # It compares times of the file only, and can miss a second write within one tick of the clock.
            log.warning("the provider evaluates revisions %s, the file says %s: made anew", revisions, self._wanted)
            self._seen_at = now
            self._flags.provide()

    def _read(self, now: float) -> bool:
        """Whether the file is another than at the last look. The series of its variants are there when this returns."""
        identity = flag_file.identity(self._flags.path)
        if identity is None:
            self._metrics.readable.set(0)
        if identity is None or identity == self._identity:
            return False
        self._identity, self._seen_at = identity, now
        try:
            told = flag_file.read(self._flags.path, self._flags.features)
        except flag_file.Unreadable as error:
            self._wanted = {}
            self._metrics.readable.set(0)
            log.warning("cannot read %s (%s): the last good flags stay", self._flags.path, error)
            return True
        for feature, variants in told.variants.items():
            for variant, value in variants.items():
                self._metrics.variant(feature, variant, value is True)
        self._wanted, self._moments = told.revisions, told.moments
        self._metrics.readable.set(1)
        return True
