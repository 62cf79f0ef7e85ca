"""The claims of the scale benchmark, on figures with known results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import scale

WAYS = (scale.WAVES, scale.SERIAL, scale.THEIRS_SERIAL, scale.THEIRS_PARALLEL)


def step(seconds: float, failed: int = 0) -> dict[str, Any]:
    return {"seconds": seconds, "controller_cpu": 1.0, "sent": 1000, "failed": failed}


def rows(hosts: int, *seconds: float, failed: int = 0) -> list[dict[str, Any]]:
    """One row a way; only the rollback in waves has failed requests."""
    found = [{"hosts": hosts, "way": way, "release": step(took)} for way, took in zip(WAYS, seconds, strict=True)]
    found[0]["rollback"], found[1]["rollback"] = step(5, failed), step(5)
    return found


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (rows(3, 20, 21, 40, 10), [True, True]),
        (rows(3, 20, 21, 39, 10), [True, False]),
        (rows(3, 20, 21, 40, 10, failed=1), [False, True]),
        (rows(10, 40, 90, 100, 50), [True, True, True]),
        (rows(10, 41, 41, 100, 50), [True, False, False]),
    ],
)
def test_a_claim_holds_only_where_its_figures_do(found: list[dict[str, Any]], holds: list[bool]) -> None:
    assert [held for held, _claim, _figures in scale.checks(found)] == holds


def test_the_page_has_each_figure() -> None:
    text = scale.page({"rate": 40.0, "machine": "2 cores", "rows": rows(10, 40.4, 90, 100, 50, failed=7)})
    assert "| 10 | Gradual, in waves | release | 40 | 1 | 1,000 | 0 |" in text
    assert "| 10 | Gradual, in waves | rollback | 5 | 1 | 1,000 | 7 |" in text
    assert "| **no** | 10 hosts: no request fails |" in text
    assert text.count("| rollback |") == 2
