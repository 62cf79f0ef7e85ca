from __future__ import annotations

from tests.support.canary_story import StoppedAtTheCanary


class TestDoesNotStart(StoppedAtTheCanary):
    error = "2.0.3 does not run"
