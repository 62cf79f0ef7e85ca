from __future__ import annotations

from tests.support.canary_story import StoppedAtTheCanary


class TestNeverReady(StoppedAtTheCanary):
    error = "ready"
