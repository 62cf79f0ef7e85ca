"""Fixtures of the stories' tests: `story` is what the scenario's story left behind."""

from __future__ import annotations

import pytest

from tests.support.seen import Seen


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest) -> Seen:
    return Seen.of(request.path.parent.name)
