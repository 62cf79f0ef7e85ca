"""What the lock bench computes from what it saw, and the strategies as tables."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench import locks, strategies
from tests.bench.strategies import STRATEGIES
from tests.bench.tables import check_lines, table
from tests.bench.transactions import Sent, quantile

MODULE = Path(__file__).parents[2] / "collections/ansible_collections/gradual/rollout/plugins/modules/migration.py"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.99, 0.0),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(number) for number in range(1, 101)], 0.99, 99.0),
        ([float(number) for number in range(1, 1001)], 0.99, 990.0),
        ([1.0, 2.0], 1.0, 2.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_a_quantile_is_a_value_that_was_seen(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_figures_count_from_the_migration_on_and_their_p99_over_the_same_time_for_everybody() -> None:
    calm = [Sent(95.0 + number / 200, 0.002) for number in range(900)]
    # Still under way when the migration begins, so it is neither calm nor the migration's.
    straddling = [Sent(99.9, 0.3)]
    stalled = [Sent(100.0 + number / 200, 1.0 - number / 200) for number in range(200)]
    after = [Sent(101.0 + number / 200, 0.002) for number in range(1800)]
    late = [Sent(150.0, 9.0, "AdminShutdown: gone")]
    found = locks.figures(calm + straddling + stalled + after + late, 95.0, 100.0)
    assert found["longest_before"] == 0.002
    assert (found["transactions"], found["in_window"]) == (2001, 2000)
    assert found["longest"] == 9.0
    # 20 of the 2,000 in the window took longer: those of the first 0.1 s.
    assert found["p99"] == pytest.approx(0.9)
    assert found["slow"] == 181
    assert (found["failed"], found["errors"]) == (1, ["AdminShutdown: gone"])


def one_round(longest: float, **changes: Any) -> dict[str, Any]:
    return {
        "round": 1,
        "longest": longest,
        "p99": longest / 2,
        "slow": 3,
        "transactions": 2400,
        "in_window": 2000,
        "errors": [],
        "failed": 0,
        "longest_before": 0.01,
        "done": True,
        "attempts": 6,
        "seconds": 7.5,
        **changes,
    }


def results(ours: list[dict[str, Any]], none: list[dict[str, Any]]) -> dict[str, Any]:
    return {"conditions": "here", "rounds": len(ours), "seed": 1, "strategies": {"none": none, strategies.OURS: ours}}


GOOD, STALLED = [one_round(0.1) for _round in range(5)], [one_round(7.05) for _round in range(5)]


def test_every_check_holds_for_what_should_be_seen() -> None:
    assert [claim for holds, claim, _seen in locks.check(results(GOOD, STALLED)) if not holds] == []


@pytest.mark.parametrize(
    ("ours", "none", "what"),
    [
        (GOOD[:4], STALLED[:4], "at least 5 rounds"),
        ([*GOOD[:4], one_round(0.1, longest_before=0.7)], STALLED, "before the migration"),
        ([*GOOD[:4], one_round(0.1, in_window=1800)], STALLED, "200 transactions a second"),
        (GOOD, [one_round(2.0)] * 5, "without a timeout"),
        ([one_round(0.6)] * 3 + GOOD[:2], STALLED, "longest stall"),
        ([*GOOD[:4], one_round(0.1, done=False)], STALLED, "the ALTER is done"),
        ([*GOOD[:4], one_round(0.1, failed=1)], STALLED, "no transaction fails"),
    ],
)
def test_what_should_not_be_seen_is_told(ours: list[dict[str, Any]], none: list[dict[str, Any]], what: str) -> None:
    broken = [claim for holds, claim, _seen in locks.check(results(ours, none)) if not holds]
    assert len(broken) == 1
    assert what in broken[0]


def test_one_bad_round_of_five_does_not_move_the_median_but_is_told_as_the_worst() -> None:
    found = locks.medians([*GOOD[:4], one_round(0.9)])
    assert (found["longest"], found["worst"]) == (0.1, 0.9)


def test_the_page_has_every_strategy_and_every_check() -> None:
    text = locks.page(results(GOOD, STALLED), "bench-locks/results.json")
    assert "| no timeout | 7.05 s | 7.05 s |" in text
    assert "| Gradual | 0.10 s | 0.10 s | 0.05 s | 3 | 7.5 s | 5 of 5 | 6 | 0 |" in text
    assert "| yes | Gradual: longest stall ≤ 0.5 s in the median round | 0.100 s, worst 0.100 s |" in text
    assert "**no**" not in text


def test_attempts_of_other_tools() -> None:
    def tries(name: str) -> list[strategies.Try]:
        make = STRATEGIES[name].tries
        assert make is not None
        return list(itertools.islice(make(random.Random(1)), 100))

    assert [one.lock_timeout_ms for one in tries("none")] == [0]
    assert tries("safe-pg-migrations") == [strategies.Try(5000, 60.0)] * 5
    ladder = tries("gitlab")
    # 41 steps of about 40 minutes in all, as its comment says, and a last one without a timeout.
    assert len(ladder) == 42
    assert [one.lock_timeout_ms for one in ladder[:10]] == [100, 100, 200, 300, 400, 500, 500, 500, 500, 1000]
    assert 35 * 60 < sum(one.pause + one.lock_timeout_ms / 1000 for one in ladder) < 60 * 60
    assert ladder[-1] == strategies.Try(0, 0)
    pauses = [one.pause for one in tries("pgroll")]
    assert all(0 <= pause <= min(60.0, 2.0**number) for number, pause in enumerate(pauses))
    assert max(pauses) > 30


def test_what_is_left_of_a_pause_when_nothing_is_in_the_way_any_more_is_counted_and_not_slept() -> None:
    begun = time.monotonic()
    answers = iter([False, False, True])
    left = strategies.paused(600.0, lambda: next(answers))
    assert 590 < left < 600
    assert time.monotonic() - begun < 100
    assert strategies.paused(0.01, lambda: False) == 0.0


def test_gradual_is_measured_with_its_modules_defaults() -> None:
    told = MODULE.read_text(encoding="utf-8").split('DOCUMENTATION = r"""')[1].split('"""')[0]
    options = yaml.safe_load(told)["options"]
    measured = strategies.LOCK_TIMEOUT_MS, strategies.PAUSE_MS, strategies.DEADLINE
    assert measured == tuple(options[name]["default"] for name in ("lock_timeout_ms", "pause_ms", "deadline"))


def test_a_table_refuses_rows_that_do_not_fit() -> None:
    assert table(["a", "b"], [["1", "x|y"]]).splitlines() == ["| a | b |", "|---|---|", "| 1 | x\\|y |"]
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        table(["a", "b"], [["1"]])


def test_checks_for_a_terminal_say_which_does_not_hold() -> None:
    assert check_lines([(True, "one", "1 s"), (False, "other", "2 s")]) == [
        "holds          one: 1 s",
        "DOES NOT HOLD  other: 2 s",
    ]
