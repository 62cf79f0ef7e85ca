"""No fault ends in lost data, a false "ok" or a stalled site."""

from __future__ import annotations

import pytest

from .fault import ROWS, Fault, NotHere
from .stage import Stage
from .table import faults


@pytest.mark.parametrize("fault", faults(), ids=lambda one: f"{one.number} {one.name}")
def test_a_fault_ends_in_a_safe_state(stage: Stage, fault: Fault) -> None:
    try:
        seen = fault.cause(stage)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert seen.did
    assert seen.seconds > 0


def test_every_fault_is_caused() -> None:
    assert sorted({one.number for one in faults()}) == list(ROWS)
