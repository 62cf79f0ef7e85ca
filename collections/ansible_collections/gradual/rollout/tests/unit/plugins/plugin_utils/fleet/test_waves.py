"""How many hosts are switched at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import least_of
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.waves import (
    host_events,
    switched_to,
    wave_sizes,
    waves_of,
)
from hypothesis import given
from hypothesis import strategies as some

CANARY_FIRST: list[int | str] = [1, "100%"]


def named(count: int) -> list[str]:
    return [f"app{number}" for number in range(1, count + 1)]


def up(count: int, *down: str) -> dict[str, str]:
    return {host: "down" if host in down else "ready" for host in named(count)}


@pytest.mark.parametrize(
    ("hosts", "wanted", "least", "sizes"),
    [
        (1, CANARY_FIRST, 0, [1, 1]),
        (2, CANARY_FIRST, None, [1, 1]),
        (3, CANARY_FIRST, None, [1, 1]),
        (3, CANARY_FIRST, 1, [1, 2]),
        (6, CANARY_FIRST, None, [1, 2]),
        (6, CANARY_FIRST, "2", [1, 4]),  # as -e gives it
        (6, CANARY_FIRST, 5, [1, 1]),
        (6, CANARY_FIRST, 9, [1, 1]),  # nobody may leave: the balancer refuses the drain and says why
        (300, CANARY_FIRST, None, [1, 100]),
        (300, [1, "10%", "50%"], None, [1, 30, 100]),
        (300, [1, 5, "20"], None, [1, 5, 20]),
        (6, ["1%"], None, [1]),
        (6, [], None, [1]),
        (3, CANARY_FIRST, 0, [1, 1]),  # 0 accepts that the only host restarts, not that three do at once
    ],
)
def test_a_wave_is_as_large_as_wanted_and_as_the_balancer_can_spare(
    hosts: int, wanted: list[int | str], least: int | str | None, sizes: list[int]
) -> None:
    assert wave_sizes({"lb1": up(hosts)}, named(hosts), wanted, least) == sizes


def test_the_balancer_with_the_fewest_servers_counts() -> None:
    assert wave_sizes({"lb1": up(6), "lb2": up(6, "app1", "app2", "app3")}, named(6)) == [1]
    assert wave_sizes({"lb1": up(6), "lb2": up(6, *named(6))}, named(6)) == [1]


def test_hosts_without_users_are_switched_at_once() -> None:
    assert wave_sizes({"lb1": up(6, *named(6))}, named(6), CANARY_FIRST) == [1, 6]


def test_other_servers_of_the_backend_do_not_count() -> None:
    assert wave_sizes({"lb1": {**up(3), "another": "ready", "one-more": "ready"}}, named(3)) == [1]


def test_without_a_record_every_host_counts_as_up() -> None:
    assert wave_sizes({}, named(6)) == [2]


def test_hosts_are_dealt_as_serial_deals_them() -> None:
    assert waves_of(named(6), [1, 2]) == [["app1"], ["app2", "app3"], ["app4", "app5"], ["app6"]]
    assert waves_of([], [1]) == []


OLD, NEW = ({"version": version, "digest": version, "directory": f"/opt/shop/{version}"} for version in ("1.0", "2.0"))


def test_only_hosts_that_run_the_release_count_as_switched() -> None:
    results: dict[str, dict[str, Any]] = {
        "app1": {"after": NEW, "failed": False},
        "app2": {"after": NEW, "failed": True},  # it was switched, and its smoke tests failed
        "app3": {"after": OLD},
        "app4": {},
        "app5": {"after": None},
        "app6": {"after": NEW},
    }
    assert switched_to(results, "2.0") == ["app1", "app6"]


def test_each_host_has_an_event_with_what_it_was_switched_to() -> None:
    results = {"app1": {"before": OLD, "after": NEW, "seconds": 1.5}, "app2": {}}
    assert host_events(["app1", "app2"], "host.drained") == [
        {"event": "host.drained", "data": {"host": "app1"}},
        {"event": "host.drained", "data": {"host": "app2"}},
    ]
    assert host_events(["app1"], "host.released", results) == [
        {"event": "host.released", "data": {"host": "app1", "from": OLD, "to": NEW, "seconds": 1.5}}
    ]
    assert host_events([], "host.released", {}) == []


@given(
    servers=some.dictionaries(
        some.sampled_from(["lb1", "lb2"]),
        some.fixed_dictionaries({host: some.sampled_from(["ready", "down", "drained"]) for host in named(9)}),
        min_size=1,
    ),
    wanted=some.lists(some.one_of(some.integers(1, 20), some.integers(1, 100).map("{}%".format)), max_size=4),
    least=some.one_of(some.none(), some.integers(1, 9)),
)
def test_no_wave_takes_more_than_must_stay(
    servers: dict[str, dict[str, str]], wanted: list[int | str], least: int | None
) -> None:
    sizes = wave_sizes(servers, named(9), wanted, least)
    assert all(size >= 1 for size in sizes)
    for states in servers.values():
        in_traffic = sum(state == "ready" for state in states.values())
        if in_traffic:
            assert all(size == 1 or in_traffic - size >= (least or least_of(in_traffic)) for size in sizes)
