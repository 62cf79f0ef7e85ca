# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What became of a kill, from the results of the hosts, and the words for it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.filter.failure import failure
from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill_result
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import kill

EARLY = {"at": "2026-09-21T14:13:20Z", "by": "mia", "reason": "wrong prices", "showed": "50 % of users"}
LATE = {**EARLY, "at": "2026-09-21T15:00:00Z"}
PROCESSES = [{"pid": pid, "flag": "search"} for pid in ("1", "2")]
DONE = {"changed": True, "verified": True, "processes": PROCESSES, "killed": {"search": LATE}, "unknown": []}
BEFORE = {**DONE, "changed": False, "killed": {"search": EARLY}}
UNSEEN = {"failed": True, "written": True, "changed": True, "killed": {"search": LATE}, "msg": "process 1 is behind"}
LOST = {"failed": True, "lost_host": "app3", "msg": "Host app3 was lost.\n  No route to host. "}
UNKNOWN = {"changed": False, "unknown": ["search"], "killed": {}, "document": {"flags": {"cart": {}}}}


def summary(killing: bool = True, **results: Any) -> dict[str, Any]:
    return kill_result.summary("search", results, killing)


def test_done_on_every_host() -> None:
    told = summary(app1=DONE, app2=BEFORE)
    assert (told["hosts"], told["changed_hosts"], told["changed"]) == (["app1", "app2"], ["app1"], True)
    assert (told["mark"], told["problem"]) == (EARLY, "")


def test_a_host_without_the_flag_among_others_is_no_problem() -> None:
    told = summary(app1=DONE, app2=UNKNOWN)
    assert (told["hosts"], told["unknown"], told["problem"]) == (["app1"], ["app2"], "")


def test_a_lost_host_is_told_with_what_it_shows() -> None:
    told = summary(app1=DONE, app3=LOST)
    assert told["lost"] == ["app3"]
    assert told["problem"] == (
        "app3: Host app3 was lost. No route to host. Meanwhile app3 shows search as it was written last: 50 % of users."
        " That stays until the host is reached. When this is mended, run the same command again."
    )


def test_a_stage_on_a_lost_host_ends_by_itself() -> None:
    stage = {**EARLY, "showed": "50 % of users until 2026-09-21T14:14:20Z, then 25 % of users"}
    told = summary(app1={**DONE, "killed": {"search": stage}}, app3=LOST)["problem"]
    assert "then 25 % of users. That end comes by itself, on each host; what comes then stays until" in told


def test_no_host_at_all() -> None:
    told = summary(app3=LOST)
    assert (told["mark"], told["changed"]) == (None, False)
    assert "Meanwhile app3 shows what was written there last; what that is could be read on no host." in told["problem"]


def test_what_was_written_and_not_seen_is_no_success() -> None:
    told = summary(app1=DONE, app2=UNSEEN)
    assert (told["hosts"], told["unverified"], told["lost"]) == (["app1"], ["app2"], [])
    assert told["problem"] == "app2: process 1 is behind. When this is mended, run the same command again."


def test_a_misspelt_flag_is_told_though_a_host_is_lost() -> None:
    told = summary(app1=UNKNOWN, app3=LOST)["problem"]
    assert told.startswith(
        "No flag search is in the flag file of app1, so nothing was changed there; got flag=search, expected one of:"
        " cart."
    )
    assert "app3: Host app3 was lost." in told


@pytest.mark.parametrize(
    ("result", "killing", "check_mode", "said"),
    [
        (DONE, True, False, "search is off in 2 processes"),
        (BEFORE, True, False, "search is off in 2 processes, as before"),
        (DONE, True, True, "search would be turned off"),
        (BEFORE, True, True, "search is killed already"),
        (UNKNOWN, True, False, "it has no flag search"),
        (UNSEEN, True, False, "written, but NOT VERIFIED"),
        (LOST, True, False, "NOT DONE"),
        (DONE, False, False, "search is allowed again, and stays off"),
        (DONE, False, True, "search would be allowed again, and stays off"),
        (BEFORE, False, False, "search is not killed"),
    ],
)
def test_the_line_of_a_host(result: dict[str, Any], killing: bool, check_mode: bool, said: str) -> None:
    assert kill.line("search", "app1", result, killing, check_mode, 1.26) == f"app1: {said}, after 1.3 s"


def test_a_step_that_failed_because_its_feature_was_killed_says_so_once() -> None:
    said = "the flag search was killed at 2026-09-21T14:13:20Z by mia: wrong prices"
    killed = {"search": EARLY}
    found = failure({"msg": "the answer lacks lamp"}, "verify", "app1", "Probe", killed)
    assert found["error"] == f"{said}. the answer lacks lamp"
    found = failure({"msg": f"The rollout stops: {said}"}, "ramp", "app1", "Bake", killed)
    assert found["error"] == f"The rollout stops: {said}"
