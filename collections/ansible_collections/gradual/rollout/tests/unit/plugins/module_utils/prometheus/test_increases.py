"""What counters grew by: scrapes that failed, restarts, births and samples that are no numbers; and nothing is counted
twice."""

from __future__ import annotations

import random

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import (
    LONGEST_STEP,
    Grid,
    Growth,
    Key,
    Target,
)
from hypothesis import given
from hypothesis import strategies as st

GOOD, BAD = ("good",), ("bad",)
Pairs = list[tuple[float, float]]


def target(host: str = "app1", **samples: Pairs) -> Target:
    return Target(host, {(part,): [Series.of({}, pairs)] for part, pairs in samples.items()})


def grid(length: int, since: float = 0.0, seconds: float = 1.0) -> Grid:
    return Grid(since, seconds, length, LONGEST_STEP * seconds)


def line(*values: float, start: float = 0.0) -> Pairs:
    return [(start + place, value) for place, value in enumerate(values)]


@pytest.mark.parametrize(
    ("pairs", "increases", "seen"),
    [
        (line(5, 6, 8, 11, 15), [0, 1, 2, 3], [0, 1, 2, 3]),
        (line(5, 6, 8, 11, 15, start=0.4), [0, 1, 2, 3], [0, 1, 2, 3]),
        (line(1, 2, 5, 6, 8, 11, 15, start=-1.6), [0, 1, 2, 3], [0, 1, 2, 3]),
        ([(0, 5), (1, 6), (3, 9), (4, 10)], [0, 1, 0, 3], [0, 1, 2, 3]),
        ([(0, 5), (1, 6), (3.6, 9), (4.4, 10)], [0, 1, 0, 0], [0, 1, 3]),
        (line(5, 6, 2, 3), [0, 1, 2, 1], [0, 1, 2, 3]),
        ([(0, 5), (1, 6)], [0, 1, 0, 0], [0, 1]),
        ([(9, 5), (10, 6)], [0, 0, 0, 0], []),
        ([(-9, 5), (-8, 6)], [0, 0, 0, 0], []),
        ([(2, 5)], [0, 0, 0, 0], []),
        ([], [0, 0, 0, 0], []),
    ],
)
def test_growth_of_one_counter(pairs: Pairs, increases: list[float], seen: list[int]) -> None:
    growth = Growth([target(good=pairs)], grid(4))
    assert growth.total((GOOD,)) == increases
    assert sorted(growth.seen()) == seen


def test_a_restart_that_one_counter_shows_is_one_of_all() -> None:
    growth = Growth([target(good=line(5, 9, 1, 2), bad=line(0, 0, 3, 4))], grid(4))
    assert growth.total((GOOD, BAD)) == [0, 4, 4, 2]
    assert growth.total((BAD,)) == [0, 0, 3, 1]


def test_a_restart_in_a_gap_that_is_too_long_is_left_out_with_it() -> None:
    growth = Growth([target(good=[(0, 5), (1, 9), (5, 2), (6, 3)])], grid(8))
    assert growth.total((GOOD,)) == [0, 4, 0, 0, 0, 0, 1, 0]


def test_a_counter_that_is_born_late_was_at_0() -> None:
    growth = Growth([target(good=line(5, 9, 10, 11), bad=[(2, 2), (3, 5)])], grid(4))
    assert growth.total((BAD,)) == [0, 0, 2, 3]


def test_a_counter_that_goes_and_comes_back_grew_by_the_difference() -> None:
    growth = Growth([target(good=line(5, 9, 10, 11), bad=[(0, 7), (1, 8), (3, 9)])], grid(4))
    assert growth.total((BAD,)) == [0, 1, 0, 1]


def test_a_counter_that_a_restart_took_away_begins_at_0() -> None:
    growth = Growth([target(good=line(5, 9, 1, 2), bad=[(0, 7), (1, 8), (3, 9)])], grid(4))
    assert growth.total((BAD,)) == [0, 1, 0, 9]


def test_hosts_are_added_and_one_that_is_not_seen_is_told() -> None:
    growth = Growth([target(good=line(0, 1, 2, 3, 4)), target("app2", good=[(0.5, 0), (1.5, 10), (2.5, 20)])], grid(4))
    assert growth.total((GOOD,)) == [0, 11, 11, 1]
    assert growth.seen() == {0, 1, 2, 3}
    assert growth.unseen_by_host(4) == {"app1": 0, "app2": 1}


def test_two_processes_on_one_host_are_scraped_each_at_its_time() -> None:
    growth = Growth([target(good=line(100, 101, 102, 103)), target(good=line(7, 9, 11, 13, start=0.5))], grid(4))
    assert growth.total((GOOD,)) == [0, 3, 3, 3]
    assert growth.unseen_by_host(4) == {"app1": 0}


def test_a_scrape_with_what_is_no_number_is_left_out_for_the_counters_that_it_concerns() -> None:
    table: dict[Key, list[Series]] = {
        GOOD: [Series.of({}, line(0, 1, 2, 3, 4))],
        BAD: [Series.of({}, [(0, "1"), (1, "2"), (2, "NaN"), (3, "4"), (4, "5")])],
    }
    whole = Target("app1", table)
    assert whole.readable([GOOD]) is whole
    part = whole.readable([GOOD, BAD])
    assert part.times == [0, 1, 3, 4]
    assert Growth([part], grid(5)).total((GOOD,)) == [0, 1, 0, 2, 1]
    assert Growth([part], grid(5)).total((BAD,)) == [0, 1, 0, 2, 1]


@given(
    st.lists(
        st.tuples(st.floats(0.01, 4.0), st.integers(0, 50), st.sampled_from(["", "", "", "restart", "lost"])),
        max_size=40,
    ),
    st.integers(0, 12),
    st.floats(0.3, 3.0),
)
def test_no_growth_is_counted_twice_or_below_nothing(
    steps: list[tuple[float, int, str]], length: int, seconds: float
) -> None:
    """The sum over the intervals is at most what the counter ever counted, whatever happened to it and to its
    scrapes."""
    at, value, counted, pairs = -1.0, 0, 0, []
    for pause, by, what in steps:
        at, value, counted = at + pause, (0 if what == "restart" else value) + by, counted + by
        if what != "lost":
            pairs.append((at, float(value)))
    growth = Growth([target(good=pairs)], grid(length, seconds=seconds))
    total = growth.total((GOOD,))
    assert len(total) == length
    assert all(each >= 0 for each in total)
    assert sum(total) <= counted
    assert all(total[index] == 0 for index in set(range(length)) - growth.seen())


def test_intervals_add_up_to_what_was_scraped() -> None:
    dice, at, value, pairs = random.Random(3), -20.0, 0, []
    for _scrape in range(300):
        at, value = at + dice.uniform(0.9, 1.1), value + dice.randrange(9)
        pairs.append((at, float(value)))
    inside = [value for at, value in pairs if 0 <= at < 200]
    assert sum(Growth([target(good=pairs)], grid(200)).total((GOOD,))) == inside[-1] - inside[0]
