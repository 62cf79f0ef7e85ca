# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The replay: stories as lists of events in, what became of the rollout out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import stamp
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import (
    durations,
    outcome_of,
    owed,
    rollout_state,
)

Event = tuple[str, dict[str, Any]]
NOON = 1_790_000_000.0
STEPS = ("backup", "migrate", "release", "ramp", "verify")
STARTED: Event = (
    "rollout.started",
    {"manifest": {"version": "2"}, "digest": "d", "hosts": {"app1": {"version": "1"}, "app2": {"version": "1"}}},
)


def done(*steps: str) -> list[Event]:
    return [(f"step.{did}", {"step": step}) for step in steps for did in ("started", "finished")]


def failed(step: str, error: str = "slow") -> list[Event]:
    return [
        ("step.started", {"step": step}),
        ("step.failed", {"step": step, "host": "app1", "task": "Start", "error": error}),
    ]


def state(*events: Event | list[Event], rollout: str = "r1") -> dict[str, Any]:
    """What a ledger of these events says, an event every ten seconds."""
    flat = [event for part in events for event in (part if isinstance(part, list) else [part])]
    lines = [
        {"time": stamp(NOON + 10 * at), "rollout": rollout, "event": name, "data": data}
        for at, (name, data) in enumerate(flat)
    ]
    found = rollout_state(lines, now=NOON)
    assert found is not None
    return found


KILLED: Event = ("flag.killed", {"flag": "search", "at": "noon", "by": "mia", "reason": "wrong prices"})
SEARCH: Event = ("rollout.started", {"manifest": {"version": "2", "features": [{"flag": "search"}]}, "hosts": {}})
COMPLETED: Event = ("rollout.finished", {"outcome": "completed"})


def test_a_rollout_whose_feature_is_killed_is_not_with_all_users() -> None:
    seen = state(SEARCH, COMPLETED, KILLED)
    assert seen["killed"] == {"search": {"at": "noon", "by": "mia", "reason": "wrong prices"}}
    assert (seen["completed"], seen["open"], seen["outcome"]) == (False, False, "completed")
    allowed = state(SEARCH, COMPLETED, KILLED, ("flag.allowed", {"flag": "search"}))
    assert (allowed["killed"], allowed["completed"]) == ({}, False), "the feature is off until a rollout shows it"
    assert state(SEARCH, KILLED, ("flag.allowed", {"flag": "search"}), COMPLETED)["completed"]


def test_a_kill_of_another_flag_is_not_of_this_rollout() -> None:
    seen = state(STARTED, COMPLETED, KILLED)
    assert (seen["killed"], seen["completed"]) == ({}, True)


def test_no_ledger_no_rollout() -> None:
    assert rollout_state([]) is None


def test_a_rollout_that_is_not_known() -> None:
    assert rollout_state([{"time": stamp(NOON), "rollout": "r1", "event": "flags.off", "data": {}}], "r2") is None


STORIES: dict[str, tuple[list[Event], str, bool, str | None]] = {
    # what happened → how it would end now, whether it is open, the step that failed
    "nothing yet": ([], "incomplete", True, None),
    "all steps": (done(*STEPS), "completed", True, None),
    "verify is missing": (done(*STEPS[:-1]), "incomplete", True, None),
    "a step failed": ([*done("backup"), *failed("migrate")], "incomplete", True, "migrate"),
    "a step failed, then went well": ([*failed("backup"), *done(*STEPS)], "completed", True, None),
    "it went back by itself": (
        [*done("backup", "migrate", "release"), *failed("ramp"), ("flags.off", {}), ("return.finished", {"left": []})],
        "returned",
        True,
        "ramp",
    ),
    "a host was left behind": (
        [*failed("release"), ("host.lost", {"host": "app2"}), ("return.finished", {"left": ["app2"]})],
        "incomplete",
        True,
        "release",
    ),
    "the way back failed too": ([*failed("ramp"), *failed("rollback", "no balancer")], "incomplete", True, "ramp"),
    "completed": ([*done(*STEPS), ("rollout.finished", {"outcome": "completed"})], "completed", False, None),
    "incomplete is still open": (
        [*failed("ramp"), ("rollout.finished", {"outcome": "incomplete"})],
        "incomplete",
        True,
        "ramp",
    ),
    "resumed after it went back": (
        [
            *failed("ramp"),
            ("return.finished", {"left": []}),
            ("rollout.finished", {"outcome": "returned"}),
            ("rollout.resumed", {}),
        ],
        "incomplete",
        True,
        None,
    ),
    "resumed before it went back": ([*failed("ramp"), ("rollout.resumed", {})], "incomplete", True, "ramp"),
    "killed on the way back": (
        [("step.started", {"step": "rollback"}), ("rollout.resumed", {})],
        "incomplete",
        True,
        "rollback",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_stories(story: str) -> None:
    events, outcome, is_open, step = STORIES[story]
    found = state(STARTED, events)
    assert outcome_of(found) == outcome
    assert found["open"] is is_open
    assert (found["failed"] or {}).get("step") == step


def test_the_first_failure_is_the_cause() -> None:
    found = state(STARTED, failed("ramp", "too slow"), failed("rollback", "no balancer"))
    assert (found["failed"]["step"], found["failed"]["error"], found["steps"]["rollback"]["error"]) == (
        "ramp",
        "too slow",
        "no balancer",
    )


def test_what_was_taken_back_is_to_be_done_again() -> None:
    found = state(STARTED, done("backup", "migrate", "release"), failed("ramp"), ("return.finished", {"left": []}))
    assert sorted(found["steps"]) == ["backup", "migrate"]
    kept = state(
        STARTED,
        done("backup", "migrate", "release"),
        failed("ramp"),
        ("return.finished", {"left": [], "hosts_kept": True}),
    )
    assert sorted(kept["steps"]) == ["backup", "migrate", "release"]


def test_flags_that_are_on_again_are_not_off() -> None:
    off = state(STARTED, ("stage.set", {"percent": 25}), ("stage.certified", {"percent": 25}), ("flags.off", {}))
    assert (off["certified"], off["stage"], bool(off["flags_off"])) == (0, 0, True)
    again = state(STARTED, ("flags.off", {}), ("stage.set", {"percent": 25}))
    assert (again["certified"], again["stage"], again["flags_off"]) == (0, 25, None)


BEGAN: Event = ("aa.began", {"since": NOON, "until": NOON + 300, "variants": ["aa25", "aa50"]})
ENDED: Event = ("aa.ended", {"since": NOON, "until": NOON + 301.5})


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ([], None),
        ([BEGAN], None),
        ([BEGAN, ENDED], {"since": NOON, "until": NOON + 301.5}),
        ([BEGAN, ENDED, ("rollout.resumed", {})], {"since": NOON, "until": NOON + 301.5}),
        ([BEGAN, ("rollout.resumed", {}), BEGAN], None),
        ([BEGAN, ENDED, ("flags.off", {}), ("return.finished", {"left": []})], None),
        ([BEGAN, ("aa.ended", {"since": NOON + 300, "until": NOON})], None),
        ([BEGAN, ("aa.ended", {"since": "noon", "until": None})], None),
    ],
)
def test_only_an_aa_stage_that_was_seen_to_its_end_counts(events: list[Event], wanted: dict[str, float] | None) -> None:
    assert state(STARTED, events)["aa"] == wanted


PASSED: Event = ("canary.passed", {"host": "app1", "verdict": "continue"})


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ([], None),
        ([("canary.began", {"host": "app1"}), ("canary.looked", {"host": "app1", "verdict": "hold"})], None),
        ([PASSED], "passed"),
        ([("canary.skipped", {"host": "app1"})], "skipped"),
        ([PASSED, ("rollout.resumed", {})], "passed"),
        ([PASSED, ("return.finished", {"left": [], "hosts_kept": True})], "passed"),
        ([PASSED, ("return.finished", {"left": []})], None),
    ],
)
def test_a_canary_that_has_passed_is_not_watched_again_unless_it_went_back(
    events: list[Event], ended: str | None
) -> None:
    assert (state(STARTED, events)["canary"] or {"ended": None})["ended"] == ended


def test_a_host_that_was_not_there_at_the_start_is_known_by_what_it_ran() -> None:
    found = state(STARTED, ("host.released", {"host": "app9", "from": {"version": "1"}, "to": {"version": "2"}}))
    assert (found["hosts"]["app9"]["before"], found["hosts"]["app9"]["now"]) == ({"version": "1"}, "released")


def test_durations_are_medians_of_completed_rollouts() -> None:
    lines = []
    for number, (seconds, outcome) in enumerate(
        [(10, "completed"), (30, "completed"), (20, "completed"), (500, "returned")]
    ):
        began = NOON + 1000 * number
        for at, name, data in (
            (0.0, "step.started", {"step": "backup"}),
            (seconds, "step.finished", {"step": "backup"}),
            (seconds, "rollout.finished", {"outcome": outcome}),
        ):
            lines.append({"time": stamp(began + at), "rollout": f"r{number}", "event": name, "data": data})
    assert durations(lines) == {"backup": 20.0}


@pytest.mark.parametrize(("now", "held"), [(NOON + 5, True), (NOON + 89, True), (NOON + 91, False), (None, True)])
def test_a_lease_ends_by_the_clock(now: float | None, held: bool) -> None:
    lines = [{"time": stamp(NOON), "rollout": "r1", "event": "lease.taken", "data": {"holder": "ann", "seconds": 90}}]
    found = rollout_state(lines, now=now)
    assert found is not None
    assert (found["lease"]["held"], found["lease"]["until"]) == (held, stamp(NOON + 90))


CONTRACTING: Event = ("contract.began", {"from": "0003"})
CONTRACTED: Event = ("contract.applied", {"from": "0003", "to": "0004"})


@pytest.mark.parametrize(
    ("events", "contracted"),
    [
        ([], False),
        # Who died on the way cannot say how far it came.
        ([CONTRACTING], True),
        ([CONTRACTING, CONTRACTED], True),
        ([CONTRACTING, ("contract.ended", {})], False),
        ([CONTRACTING, CONTRACTING, ("contract.ended", {})], True),
        ([CONTRACTING, CONTRACTED, CONTRACTING, ("contract.ended", {})], True),
        ([CONTRACTED], True),
        ([("contract.ended", {})], False),
    ],
)
def test_contracted_from_its_beginning_on_unless_nothing_was_touched(events: list[Event], contracted: bool) -> None:
    assert state(STARTED, events)["contracted"] is contracted


def test_the_record_says_from_where_to_where() -> None:
    found = state(STARTED, CONTRACTING, CONTRACTED)["contract"]
    assert (found["began"], found["applied"], found["from"], found["to"]) == (
        stamp(NOON + 10),
        stamp(NOON + 20),
        "0003",
        "0004",
    )


def test_since_when_no_old_code_can_have_run_on_a_host() -> None:
    events: list[Event] = [
        ("host.drained", {"host": "app1"}),
        ("host.admitted", {"host": "app1"}),
        ("host.released", {"host": "app1", "to": {}}),
    ]
    assert state(STARTED, events)["hosts"]["app1"]["switched"] == stamp(NOON + 10)
    assert state(STARTED, events)["hosts"]["app2"]["switched"] is None
    back: list[Event] = [("host.drained", {"host": "app1"}), ("host.returned", {"host": "app1", "to": {}})]
    assert state(STARTED, events, back)["hosts"]["app1"]["switched"] is None


def test_a_backfill_neither_needs_the_lease_nor_renews_it() -> None:
    taken: Event = ("lease.taken", {"holder": "a", "seconds": 30})
    until = state(STARTED, taken)["lease"]["until"]
    assert state(STARTED, taken, ("backfill.finished", {"backfills": []}))["lease"]["until"] == until


def owed_by(*rollouts: list[Event]) -> list[str]:
    """What one rollout after the other leaves to fill in, as `name of set`."""
    lines = [
        {"time": stamp(NOON), "rollout": f"r{number}", "event": name, "data": data}
        for number, events in enumerate(rollouts)
        for name, data in events
    ]
    return [f"{one['name']} of {one['set']}" for one in owed(lines)]


def listing(*names: str, assigns: str = "a") -> Event:
    return (
        "rollout.started",
        {"manifest": {"version": "2", "migrations": {"backfills": [{"name": name, "set": assigns} for name in names]}}},
    )


EXPANDED: Event = ("migration.applied", {"from": "1", "to": "2"})
POINT: Event = ("contract.began", {"from": "2"})


def test_rows_are_owed_until_a_contract_has_begun() -> None:
    first, code_only = [listing("cents", "names"), EXPANDED], [listing(), EXPANDED]
    assert owed_by() == owed_by([STARTED]) == owed_by([listing("cents")]) == []
    assert owed_by(first) == owed_by(first, code_only) == owed_by(first, [STARTED]) == ["cents of a", "names of a"]
    assert owed_by(first, [listing("cents", assigns="b"), EXPANDED]) == ["cents of b", "names of a"]
    # Taken back, the code is; the rows that lack the new values are still there.
    assert owed_by(
        [*first, ("return.finished", {"left": []}), ("rollout.finished", {"outcome": "returned"})], code_only
    ) == ["cents of a", "names of a"]
    # They were proven to be complete before it began.
    assert owed_by(first, [*code_only, POINT]) == owed_by(first, [*code_only, POINT], [listing(), EXPANDED]) == []
    assert owed_by(first, [*code_only, POINT, ("contract.ended", {})]) == ["cents of a", "names of a"]
    assert owed_by([*first, POINT], [listing("more"), EXPANDED]) == ["more of a"]


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "m",
        {"migrations": None},
        {"migrations": {"backfills": {"name": "x"}}},
        {"migrations": {"backfills": [1, {}]}},
    ],
)
def test_a_manifest_that_lists_nothing_owes_nothing(manifest: Any) -> None:
    assert owed_by([("rollout.started", {"manifest": manifest}), EXPANDED]) == []


def test_a_host_that_went_back_to_no_release_has_nothing_to_be_admitted() -> None:
    events: list[Event] = [
        ("host.drained", {"host": "app1"}),
        ("host.returned", {"host": "app1", "from": {"version": "2"}, "to": None}),
    ]
    found = state(STARTED, events)["hosts"]["app1"]
    assert (found["now"], found["to"], found["drained"]) == ("returned", None, False)
    assert state(STARTED, [events[0], ("host.returned", {"host": "app1", "to": {"version": "1"}})])["hosts"]["app1"][
        "drained"
    ]


def test_what_was_found_when_the_rollout_began_is_kept() -> None:
    facts = {"servers": {"lb1": {"app1": "down"}}, "smoke": {"held": ["page"], "failed": []}}
    found = state((STARTED[0], {**STARTED[1], **facts}))
    assert {key: found[key] for key in facts} == facts
    assert (state(STARTED)["servers"], state(STARTED)["smoke"]) == (None, None)
