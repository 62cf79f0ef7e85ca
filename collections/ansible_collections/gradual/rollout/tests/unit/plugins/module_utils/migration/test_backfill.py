# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Definitions of backfills, their pace, which replicas are late, and the sentence: what only computes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import (
    Backfill,
    backfills,
    sentence,
    settings,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.pacing import MOST, Pace, pause
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.lag import Limits, late
from hypothesis import given
from hypothesis import strategies as st

ONE: dict[str, Any] = {"name": "cents", "table": "orders", "set": "cents = total * 100", "where": "cents IS NULL"}


def test_what_the_rows_get_decides_the_digest_and_the_pace_does_not() -> None:
    first = Backfill(**ONE)
    assert first.sha256 == Backfill(**ONE, batch=7, pause_ms=9).sha256
    for key in ("table", "set", "where"):
        assert first.sha256 != Backfill(**{**ONE, key: "else"}).sha256
    assert first.sha256 != Backfill(**ONE, key="sku").sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "orders; DROP TABLE x"}, "table and key, got .* expected plain names"),
        ({"table": "a.b.c"}, "expected plain names such as table: public.orders"),
        ({"key": "id, total"}, "and key: id"),
        ({"set": "cents = 1; DROP TABLE x"}, "set, got .* expected part of one statement"),
        ({"where": "true -- and more"}, "where, got .* expected part of one statement"),
        ({"where": " "}, "got ' '"),
    ],
)
def test_what_would_make_another_statement_is_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        backfills([{**ONE, **changes}])


def test_names_are_quoted_and_stand_for_one_backfill_each() -> None:
    assert backfills([{**ONE, "table": "Shop.Orders", "key": None}])[0] == Backfill(**{**ONE, "table": "Shop.Orders"})
    assert Backfill(**{**ONE, "table": "Shop.Orders"}).relation == '"Shop"."Orders"'
    with pytest.raises(DatabaseError, match="several backfills have the name cents"):
        backfills([ONE, {**ONE, "set": "cents = 0"}])


@given(first=st.integers(1, 100_000), seconds=st.lists(st.floats(0, 60), min_size=1, max_size=30))
def test_a_batch_has_a_row_at_least_and_never_more_than_ten_times_the_first(first: int, seconds: list[float]) -> None:
    pace = Pace(first, 0.2)
    for one in seconds:
        before = pace.rows
        pace.took(one)
        assert 1 <= pace.rows <= min(max(2 * before, 1), MOST * first)
    pace.failed()
    assert pace.rows >= 1


def test_batches_come_to_the_wanted_duration() -> None:
    pace = Pace(1000, 0.2)
    # A server that does 20 000 rows a second, then a tenth of that.
    for _number in range(6):
        pace.took(pace.rows / 20_000)
    assert pace.rows == 4000
    for _number in range(3):
        pace.took(pace.rows / 2_000)
    assert pace.rows == 400


@pytest.mark.parametrize(
    ("seconds", "changed", "least", "expected"), [(0.2, 5, 100, 0.2), (0.02, 5, 100, 0.1), (0.2, 0, 100, 0.0)]
)
def test_the_pause_is_as_long_as_the_batch_took(seconds: float, changed: int, least: int, expected: float) -> None:
    assert pause(seconds, changed, least) == expected


def replica(**changes: Any) -> dict[str, Any]:
    return {"application_name": "db2", "state": "streaming", "bytes": 0, "seconds": None, **changes}


@pytest.mark.parametrize(
    ("found", "limits", "expected"),
    [
        (replica(bytes=2048), Limits(bytes=1024), ("db2 is 2 KiB behind",)),
        (replica(bytes=512), Limits(bytes=1024), ()),
        (replica(bytes=20971520, seconds=12.04), Limits(bytes=None), ("db2 is 20 MiB and 12.0 s behind",)),
        (replica(bytes=20971520, seconds=12.0), Limits(bytes=None, seconds=None), ()),
        # The time of the last message is no lag of one that has replayed all.
        (replica(bytes=0, seconds=60.0), Limits(), ()),
        (replica(bytes=10**9, seconds=60.0), Limits(ignored=("db2",)), ()),
    ],
)
def test_who_is_late(found: dict[str, Any], limits: Limits, expected: tuple[str, ...]) -> None:
    assert late([found], limits) == expected


def test_the_sentence_says_what_is_left_and_what_is_waited_for() -> None:
    done = {"name": "a", "table": "t", "finished": True}
    assert sentence([done]) == "complete: a"
    under_way = {
        "name": "b",
        "table": "t",
        "finished": False,
        "left": {"rows": 7, "how": "counted"},
        "remaining_seconds": 3.2,
        "waits_for": "db2 is late",
    }
    assert (
        sentence([done, under_way]) == "b: 7 rows of t are left (counted), about 3 s at this pace; waiting: db2 is late"
    )


def test_an_older_server_is_not_asked_for_a_setting_that_it_does_not_know() -> None:
    assert "client_connection_check_interval" not in settings(130005, 50, 5000)
    assert "-c client_connection_check_interval=1000" in settings(150008, 50, 5000)
