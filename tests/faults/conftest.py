"""One stage for all faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import stage as stages


@pytest.fixture(scope="session")
def stage() -> Iterator[stages.Stage]:
    with stages.stage() as ready:
        yield ready
