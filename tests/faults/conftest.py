"""One cluster for all faults that leave it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database import server as support

from .stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A running PostgreSQL, and what a release carries as its .venv."""
    with support.throwaway() as running:
        yield Stage(running, support.environment(running.folder / "venv"))
