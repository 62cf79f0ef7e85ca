"""Waiting on a condition; never on a clock alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Seconds after which something counts as hanging. Durations are measured by benchmarks, so a slow machine must pass.
HANGS = 1500.0


def until(condition: Callable[[], Any], what: str, timeout: float = HANGS, every: float = 0.3) -> Any:
    """Wait until the condition is true and return its value; a failure says what was waited for."""
    end = time.monotonic() + timeout
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:.0f} s in vain until {what}")
        time.sleep(every)
