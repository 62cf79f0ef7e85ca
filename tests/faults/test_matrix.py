"""Gradual accepts no damaged backup, and every undamaged one."""

from __future__ import annotations

import pytest

from .matrix import OURS, Row, rows
from .stage import Stage


@pytest.fixture(scope="module")
def found(stage: Stage) -> list[Row]:
    return list(rows(stage, None))


def test_no_damage_is_accepted(found: list[Row]) -> None:
    accepted = [
        row.damage for row in found if not row.damage.startswith("nothing") and row.accepted["Gradual: restored"]
    ]
    assert accepted == []
    assert len(found) > 10


def test_what_is_whole_is_accepted_at_every_level(found: list[Row]) -> None:
    for row in found:
        if row.damage.startswith("nothing"):
            assert row.accepted == {f"Gradual: {level}": True for level in OURS}, row.damage


def test_what_happened_after_the_checksums_is_found_by_them(found: list[Row]) -> None:
    for row in found:
        if not row.damage.startswith("nothing") and "before" not in row.damage:
            assert not row.accepted["Gradual: intact"], row.damage
