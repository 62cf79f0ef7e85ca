"""What each worker evaluates follows the file, the clock, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from examples.storefront.tests.support import FEATURES, Service, flagd, put, running, wait_for

USERS = [f"user-{number:04d}" for number in range(300)]


@pytest.fixture(scope="module")
def flagged(service_of: Callable[..., Service], database: str) -> Iterator[Service]:
    """2.0.0, started without a flag file."""
    with running(service_of("2.0.0", database)) as started:
        yield started


def have(service: Service, feature: str) -> set[str]:
    client = service.client()
    found = set()
    for user in USERS:
        client.cookies = {"visitor": user}
        if client.get("/api/features").json["features"][feature]:
            found.add(user)
    return found


def settled(service: Service, revision: int, low: float, high: float, seconds: float = 4.0) -> None:
    """Every live worker evaluates this revision, for that share of users."""

    def seen() -> bool:
        told = service.evaluated("search")
        return set(told) == service.workers() and all(
            at == revision and low <= share <= high for at, share in told.values()
        )

    wait_for(
        f"revision {revision}, share {low} to {high}, last {service.evaluated('search')}", seen, seconds, pause=0.2
    )


def test_without_a_file_every_feature_is_off_and_it_is_picked_up_when_it_comes(flagged: Service) -> None:
    assert flagged.client().get("/api/features").json["features"] == dict.fromkeys(sorted(FEATURES), False)
    assert all(share == 0 for _revision, share in flagged.evaluated("search").values())
    put(flagged.flags, flagd(10, 50))
    settled(flagged, 10, 0.33, 0.67)
    # The provider looks twice a second; its trouble is told once in each process, not at each look.
    assert flagged.log.read_text().count("Provided file path not valid") <= 2


def test_who_has_a_feature_keeps_it_and_coming_back_deals_nobody_again(flagged: Service) -> None:
    seen = {}
    for revision, percent in ((11, 25), (12, 50), (13, 100), (14, 25), (15, 0)):
        put(flagged.flags, flagd(revision, percent))
        settled(
            flagged,
            revision,
            max(0, percent / 100 - 0.17) if percent < 100 else 1,
            min(1, percent / 100 + 0.17) if percent else 0,
        )
        seen[revision] = have(flagged, "search")
    assert seen[11] < seen[12] < seen[13] == set(USERS)
    assert seen[14] == seen[11]
    assert seen[15] == set()


def test_an_uncertified_stage_ends_by_itself_in_every_worker_at_the_second(flagged: Service) -> None:
    put(flagged.flags, flagd(20, 25))
    settled(flagged, 20, 0.08, 0.42)
    certified = have(flagged, "search")
    expiry = int(time.time()) + 5
    put(flagged.flags, flagd(21, 25, baking=100, expiry=expiry))
    settled(flagged, 21, 1, 1)
    assert time.time() < expiry - 0.5, "this machine is too slow for this test"
    time.sleep(expiry - time.time() + 1.2)
    assert all(revision == 21 and 0.08 <= share <= 0.42 for revision, share in flagged.evaluated("search").values())
    assert have(flagged, "search") == certified


def test_broken_flags_leave_the_last_good_ones_and_a_kill_is_off_for_all(flagged: Service) -> None:
    put(flagged.flags, flagd(30, 100))
    settled(flagged, 30, 1, 1)
    put(flagged.flags, '{"flags": {"search":')
    time.sleep(2.2)
    settled(flagged, 30, 1, 1)
    put(flagged.flags, flagd(31, 0))
    settled(flagged, 31, 0, 0)


def test_a_flag_that_is_not_in_the_file_is_off_and_has_revision_zero(flagged: Service) -> None:
    put(flagged.flags, flagd(40, 100, features=("recommendations",)))
    settled(flagged, 0, 0, 0)
    told = wait_for(
        "recommendations at 40", lambda: all(at == (40, 1) for at in flagged.evaluated("recommendations").values())
    )
    assert told
    assert flagged.client().get("/api/features").json["features"] == {
        "express-checkout": False,
        "recommendations": True,
        "search": False,
    }


def test_two_writes_within_one_tick_of_the_clock_end_at_the_second(flagged: Service) -> None:
    """The provider compares times of the file. With equal times it would stay at the first for ever."""
    put(flagged.flags, flagd(50, 100))
    settled(flagged, 50, 1, 1)
    stamp = flagged.flags.stat().st_mtime_ns
    put(flagged.flags, flagd(51, 0))
    os.utime(flagged.flags, ns=(stamp, stamp))
    settled(flagged, 51, 0, 0, seconds=8)


def test_a_killed_worker_is_replaced_and_its_gauges_go_with_it(flagged: Service) -> None:
    put(flagged.flags, flagd(60, 100))
    settled(flagged, 60, 1, 1)
    victim = min(flagged.workers())
    os.kill(victim, signal.SIGKILL)
    wait_for("another worker", lambda: len(flagged.workers()) == 2 and victim not in flagged.workers())
    settled(flagged, 60, 1, 1, seconds=8)
    assert victim not in flagged.evaluated("search")


def test_watching_costs_next_to_nothing(flagged: Service) -> None:
    """Not a hundred evaluations a flag each second, only when something can have changed."""
    put(flagged.flags, flagd(70, 25, baking=50, expiry=time.time() + 3600))
    settled(flagged, 70, 0.33, 0.67)
    time.sleep(2)

    def ticks() -> int:
        return sum(sum(map(int, open(f"/proc/{pid}/stat").read().split()[13:15])) for pid in flagged.workers())

    before = ticks()
    time.sleep(5)
    assert ticks() - before <= 10, "hundredths of a second of CPU in 5 s by two idle workers"


def test_variants_of_the_file_are_born_at_zero_and_counted_as_evaluated(flagged: Service) -> None:
    """The A/A stage: everybody without the feature, told apart by the stage that will show it."""
    put(flagged.flags, flagd(80, 50))
    settled(flagged, 80, 0.33, 0.67)
    half = have(flagged, "search")
    put(flagged.flags, flagd(81, labels=(25, 50)))
    settled(flagged, 81, 0, 0)
    told = flagged.metrics()
    for variant in ("aa25", "aa50"):
        for feature in FEATURES:
            assert told[f'feature_requests_total{{feature="{feature}",outcome="error",variant="{variant}"}}'] == 0
            assert told[f'feature_requests_total{{feature="{feature}",outcome="ok",variant="{variant}"}}'] == 0
            assert (
                told[f'feature_request_duration_seconds_bucket{{feature="{feature}",le="0.5",variant="{variant}"}}']
                == 0
            )
            assert told[f'feature_feedback_total{{feature="{feature}",opinion="bad",variant="{variant}"}}'] == 0
            assert told[f'feature_orders_total{{feature="{feature}",variant="{variant}"}}'] == 0
    client = flagged.client()
    for user in USERS:
        client.cookies = {"visitor": user}
        assert client.get("/api/search?q=green").json["found_by"] == "name"
    seen = flagged.metrics()

    def grown(variant: str) -> float:
        key = f'feature_requests_total{{feature="search",outcome="ok",variant="{variant}"}}'
        return seen[key] - told[key]

    assert grown("aa25") + grown("aa50") == len(half)
    assert grown("aa25") > 50 < grown("aa50")
    assert grown("off") == len(USERS) - len(half)
    assert grown("on") == 0
    client.cookies = {"visitor": min(half)}
    answer = client.call("POST", "/api/feedback", {"feature": "search", "opinion": "bad"})
    assert (answer.status, answer.json["feedback"]["variant"]) == (201, "off")
    again = flagged.metrics()
    opinions = {
        variant: again[f'feature_feedback_total{{feature="search",opinion="bad",variant="{variant}"}}']
        for variant in ("aa25", "aa50", "off")
    }
    assert opinions["aa25"] + opinions["aa50"] == 1
    assert opinions["off"] == 0


def test_a_file_that_names_ever_more_variants_does_not_make_ever_more_series(flagged: Service) -> None:
    for revision in range(90, 94):
        put(flagged.flags, flagd(revision, labels=tuple(range(revision - 89, 100, 4))))
        settled(flagged, revision, 0, 0)
    counted = [
        name for name in flagged.metrics() if name.startswith('feature_requests_total{feature="search",outcome="ok"')
    ]
    # Two processes may have met the variants in another order, never in another number.
    assert 10 < len(counted) <= 2 * 24
    client = flagged.client(visitor="late")
    before = sum(flagged.metrics()[name] for name in counted)
    assert client.get("/api/search?q=green").status == 200
    assert sum(flagged.metrics()[name] for name in counted) == before + 1
