# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What a host says of itself, compared with the release that it should run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.reported_release import (
    fleet_differences,
    host_differences,
    still_runs,
)

OLD, NEW = "a" * 64, "b" * 64
WANTED = {"version": "2.0.0", "digest": NEW}
RUNS: dict[str, Any] = {
    "current": {"version": "2.0.0", "digest": NEW, "directory": "/opt"}, "running": {"release": "2.0.0", "digest": NEW},
    "unit": "active", "job": None,
}  # fmt: skip


def test_a_host_that_runs_the_release_has_no_difference() -> None:
    assert host_differences(RUNS, WANTED) == []
    assert fleet_differences({"app1": RUNS, "app2": RUNS}, WANTED) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"current": {"version": "1.0.0", "digest": OLD}},
            "its link current leads to 1.0.0 (aaaaaaaaaaaa), not to 2.0.0 (bbbbbbbbbbbb)",
        ),
        ({"current": None}, "its link current leads to no release, not to 2.0.0 (bbbbbbbbbbbb)"),
        (
            {"running": {"release": "2.0.0", "digest": OLD}},
            "what answers at /version is 2.0.0 (aaaaaaaaaaaa), not 2.0.0 (bbbbbbbbbbbb)",
        ),
        ({"running": None}, "nothing that could be 2.0.0 (bbbbbbbbbbbb) answers at /version"),
        ({"unit": "deactivating"}, "its service is deactivating, not active"),
        ({"unit": None}, "its service is not known to systemd, not active"),
        ({"job": "4711"}, "systemd has a job for its service that is not done yet (4711)"),
    ],
)
def test_one_difference_is_enough_and_is_named(changed: dict[str, Any], said: str) -> None:
    assert host_differences({**RUNS, **changed}, WANTED) == [said]


@pytest.mark.parametrize(
    ("host", "why"),
    [(None, "it was not reached"), ({}, "it was not reached"), ({"failed": True, "msg": "no route"}, "no route")],
)
def test_a_host_that_said_nothing_is_not_taken_for_one_that_agrees(host: Any, why: str) -> None:
    assert fleet_differences({"app1": RUNS, "app2": host}, WANTED) == [f"app2: it could not be looked at: {why}"]
    assert still_runs(host, WANTED) == [f"it could not be looked at: {why}"]


def test_every_difference_of_every_host_is_told() -> None:
    old = {
        "current": {"version": "1.0.0", "digest": OLD},
        "running": {"release": "1.0.0", "digest": OLD},
        "unit": "active",
        "job": "7",
    }
    first, second = fleet_differences({"app1": old, "app2": {**RUNS, "unit": "failed"}, "app3": RUNS}, WANTED)
    assert first.startswith("app1: its link current leads to 1.0.0")
    assert first.count("; ") == 2
    assert second == "app2: its service is failed, not active"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"current": None, "running": None, "unit": "inactive"}, []),
        ({"current": {"version": "1.0.0", "digest": OLD}, "running": {"release": "1.0.0", "digest": OLD}}, []),
        (
            RUNS,
            [
                "its link current still leads to 2.0.0 (bbbbbbbbbbbb)",
                "what answers at /version is still 2.0.0 (bbbbbbbbbbbb)",
            ],
        ),
    ],
)
def test_what_is_taken_back_runs_nowhere(host: dict[str, Any], said: list[str]) -> None:
    assert still_runs(host, WANTED) == said
