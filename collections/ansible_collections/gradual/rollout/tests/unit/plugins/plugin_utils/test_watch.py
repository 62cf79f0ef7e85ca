# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The watch over a stage or a canary: in which order it looks, measures, extends and stops. The clock is a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils import watch

STAGE = watch.Plan(since=1000.0, first=2.0, every=10.0, percent=25, expiry=60.0, ends=60.0, shown=25)
CANARY = watch.Plan(since=1000.0, first=2.0, every=5.0, percent=33, canary="app1", least=20.0)
RIGHT = {"features": {"search": {"share": 0.25, "users": 4000, "on": 1000, "lost": 0}}, "lost": 0}


class Job:
    """Something that takes some seconds of the clock."""

    def __init__(self, clock: Clock, seconds: float, result: Any) -> None:
        self.clock, self.until, self.value, self.ended = clock, clock.now + seconds, result, False

    def result(self) -> Any | None:
        return self.value if self.clock.now >= self.until else None

    def end(self) -> None:
        self.ended = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def look(verdict: str, elapsed: float = 0.0, **more: Any) -> dict[str, Any]:
    return {
        "percent": 25,
        "verdict": verdict,
        "reason": "because",
        "elapsed": elapsed,
        "intervals": 5,
        "counts": {"metrics": []},
        "deadline_passed": False,
        "on_no_data": "rollback",
        **more,
    }


class Fleet:
    """Does what the test says: each look gives the next verdict, the last one again and again."""

    def __init__(self, clock: Clock, *verdicts: str | dict[str, Any], share: Any = None, takes: float = 17.0) -> None:
        self.clock, self.verdicts = clock, list(verdicts)
        self.share, self.takes = share, takes
        self.moments: list[float] = []
        self.early: list[list[str]] = []
        self.pasts: list[dict[str, Any]] = []
        self.jobs: list[Job] = []
        self.recorded: list[tuple[str, dict[str, Any]]] = []
        self.shown: list[str] = []
        self.extended: list[float] = []
        self.extension: dict[str, Any] = {"app1": {}, "app2": {}}
        self.answer: dict[str, Any] = {"changed": True}
        self.why: str | None = None
        self.off: list[float] = []
        self.recorded_before_off = -1
        self.answers_off: dict[str, Any] = {"app1": {"changed": True}, "app2": {"changed": True}}

    def _job(self, seconds: float, result: Any) -> Job:
        self.jobs.append(Job(self.clock, seconds, result))
        return self.jobs[-1]

    def look(self, not_before: float, early: Sequence[str], past: dict[str, Any]) -> Job:
        self.moments.append(not_before)
        self.pasts.append(past)
        self.early.append(list(early))
        said = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        seen = look(said, not_before - 1000.0) if isinstance(said, str) else {**said, "elapsed": not_before - 1000.0}
        return self._job(
            max(0.0, not_before - 1000.0 - self.clock.now) + 0.5, {"look": seen, "past": {"since": not_before}}
        )

    def measure(self) -> Job | None:
        return self._job(self.takes, self.share) if self.share else None

    def extend(self) -> Job:
        self.extended.append(self.clock.now)
        return self._job(1.0, self.extension)

    def turn_off(self) -> Job:
        self.off.append(self.clock.now)
        self.recorded_before_off = len(self.recorded)
        return self._job(1.5, self.answers_off)

    def record(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
        self.recorded.append((event, data))
        return self.answer

    def show(self, line: str) -> None:
        self.shown.append(line)

    def stopped(self) -> str | None:
        return self.why


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watch, "time", made)
    return made


def test_it_looks_at_its_moments_until_the_gate_promotes(clock: Clock) -> None:
    fleet = Fleet(clock, "continue", "continue", "promote")
    assert watch.watch(fleet, STAGE) == {"verdict": "promote", "reason": "because", "elapsed": 22.0, "number": 3}
    assert fleet.moments == [1002.0, 1012.0, 1022.0]
    assert fleet.early == [["abort", "promote"]] * 3
    assert fleet.pasts == [{}, {"since": 1002.0}, {"since": 1012.0}], "each look goes on from the one before"
    assert [(event, data["look"]) for event, data in fleet.recorded] == [("gate.looked", n) for n in (1, 2, 3)]
    assert fleet.shown[0] == "25 %, look 1, 2 s: continue — because"
    assert all(job.ended for job in fleet.jobs)


def test_moments_that_a_late_look_has_missed_are_left_out(clock: Clock) -> None:
    class Late(Fleet):
        def look(self, not_before: float, early: Sequence[str], past: dict[str, Any]) -> Job:
            made = super().look(not_before, early, past)
            if len(self.moments) == 1:
                made.until += 25.0
                made.value["look"]["elapsed"] += 25.0
            return made

    fleet = Late(clock, "continue", "continue", "promote")
    assert watch.watch(fleet, STAGE)["elapsed"] == 42.0
    assert fleet.moments == [1002.0, 1032.0, 1042.0]


def test_it_goes_on_looking_until_the_share_is_measured(clock: Clock) -> None:
    fleet = Fleet(clock, "promote", share=RIGHT)
    assert watch.watch(fleet, STAGE)["number"] == 2
    assert clock.now == pytest.approx(17.0, abs=0.2)
    assert [event for event, _data in fleet.recorded] == ["gate.looked", "gate.looked", "stage.measured"]
    assert fleet.early == [["abort"]] * 3, "a stage that is not measured yet cannot be certified early"
    assert fleet.recorded[-1][1] == {"percent": 25, "shown": 25, **RIGHT}


def test_harm_stops_it_at_once_whatever_runs(clock: Clock) -> None:
    fleet = Fleet(clock, "abort", share=RIGHT)
    found = watch.watch(fleet, STAGE)
    assert (found["failed"], found["msg"]) == (True, "abort at 25 %: because")
    assert fleet.off == pytest.approx([2.5], abs=0.2)
    assert fleet.recorded[-1] == ("flags.off", {"hosts": ["app1", "app2"], "unverified": [], "lost": []})
    assert [event for event, _data in fleet.recorded] == ["gate.looked", "flags.off"]
    assert fleet.recorded_before_off == 0, "users come first"
    assert fleet.shown[-1] == "The features are off on app1, app2 after 1.5 s"
    assert all(job.ended for job in fleet.jobs)


def test_a_host_on_which_they_are_not_off_is_named(clock: Clock) -> None:
    fleet = Fleet(clock, "abort")
    fleet.answers_off = {
        "app1": {"changed": True},
        "app2": {"failed": True, "written": True},
        "app3": {"failed": True, "lost_host": "app3"},
    }
    watch.watch(fleet, STAGE)
    assert fleet.shown[-1].endswith("; unverified on app2; lost on app3")
    assert fleet.recorded[-1][0] == "gate.looked", "they are off everywhere when app3 is out of traffic"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({**RIGHT, "lost": 3}, "3 users have lost a feature, expected 0."),
        (
            {**RIGHT, "features": {"search": {"share": 0.5, "users": 4000}}},
            "search: 50.0 % of 4000 users have the feature, expected 25 %. Compare",
        ),
        ({"failed": True, "msg": "user 7 got no answer"}, "user 7 got no answer"),
    ],
)
def test_a_wrong_share_stops_it(clock: Clock, share: dict[str, Any], said: str) -> None:
    found = watch.watch(Fleet(clock, "continue", share=share), STAGE)
    assert found["failed"]
    assert found["msg"].startswith(said)


@pytest.mark.parametrize(("share", "stops"), [(0.31, False), (0.0, True), (0.5, True)])
def test_without_an_address_to_ask_at_the_share_is_that_of_the_processes(
    clock: Clock, share: float, stops: bool
) -> None:
    nothing = {"measured": False, "features": {}, "lost": None}
    fleet = Fleet(clock, look("continue"), look("promote"), share=nothing)
    reported = {"app1": [{"flag": "search", "pid": "1", "share": share}]}
    result = watch.watch(fleet, dataclasses.replace(STAGE, processes=reported))
    (measured,) = [data for event, data in fleet.recorded if event == "stage.measured"]
    assert measured["features"] == {"search": {"users": None, "on": None, "share": share, "lost": None}}
    assert measured["lost"] is None
    assert result.get("failed", False) is stops
    assert any("in the application's processes (feature_flag_share)" in line for line in fleet.shown)


def test_the_end_of_the_stage_is_moved_on_each_third_of_it(clock: Clock) -> None:
    fleet = Fleet(clock, *["continue"] * 12, "promote")
    watch.watch(fleet, STAGE)
    assert fleet.extended == pytest.approx([20, 40, 60, 80, 100, 120], abs=1)


def test_a_stage_that_took_long_to_write_is_extended_sooner(clock: Clock) -> None:
    fleet = Fleet(clock, *["continue"] * 2, "promote")
    watch.watch(fleet, dataclasses.replace(STAGE, ends=45.0))
    assert fleet.extended[0] == pytest.approx(5, abs=0.5)


def test_nothing_is_moved_on_where_nothing_ends_by_itself(clock: Clock) -> None:
    fleet = Fleet(clock, *["continue"] * 12, "promote")
    watch.watch(fleet, CANARY)
    assert fleet.extended == []


def test_a_host_that_does_not_move_it_on_stops_it(clock: Clock) -> None:
    fleet = Fleet(clock, "continue")
    fleet.extension = {"app1": {}, "app2": {"failed": True, "lost_host": "app2", "msg": "Host app2 was lost"}}
    found = watch.watch(fleet, STAGE)
    assert found["lost_host"] == "app2"
    assert found["msg"] == ("the expiry of the stage of 25 % could not be extended on app2: Host app2 was lost")


def test_a_stage_that_is_not_looked_at_is_not_extended_for_ever(clock: Clock) -> None:
    fleet = Fleet(clock, "continue")
    first = fleet.look
    fleet.look = lambda *when: fleet._job(1e9, None) if fleet.moments else first(*when)  # type: ignore[method-assign]
    assert watch.watch(fleet, STAGE) == {"failed": True, "msg": "look 2 has not ended within 60 s"}
    assert len(fleet.extended) == 3


def test_a_measurement_that_does_not_end_stops_the_stage(clock: Clock) -> None:
    fleet = Fleet(clock, "promote", share=RIGHT, takes=1e9)
    assert watch.watch(fleet, STAGE)["msg"] == "measuring the share of users has not ended within 900 s"


def test_an_extension_under_way_is_ended_before_the_features_are_turned_off(clock: Clock) -> None:
    class Slow(Fleet):
        def extend(self) -> Job:
            self.extending = self._job(1e9, None)
            return self.extending

        def turn_off(self) -> Job:
            assert self.extending.ended
            return super().turn_off()

    fleet = Slow(clock, "continue", "continue", "continue", "abort")
    assert watch.watch(fleet, STAGE)["failed"]
    assert fleet.off


def test_a_run_that_is_dead_or_has_lost_the_lock_does_nothing_more(clock: Clock) -> None:
    fleet = Fleet(clock, "promote")
    fleet.why = "lost"
    assert watch.watch(fleet, STAGE) == {"failed": True, "msg": "lost"}
    assert (fleet.recorded, fleet.off) == ([], [])


def test_the_next_look_is_under_way_while_the_last_one_is_recorded(clock: Clock) -> None:
    class Recording(Fleet):
        def record(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
            looks.append(len(self.moments))
            return super().record(event, data)

    looks: list[int] = []
    watch.watch(Recording(clock, "continue", "continue", "promote"), STAGE)
    assert looks == [2, 3, 3]


def test_what_is_not_recorded_does_not_count(clock: Clock) -> None:
    fleet = Fleet(clock, "promote")
    fleet.answer = {"failed": True, "msg": "another run has the lock", "lease": {"holder": "them"}}
    assert watch.watch(fleet, STAGE) == fleet.answer
    assert fleet.off == [], "the other run decides"


def test_a_canary_has_no_feature_to_turn_off(clock: Clock) -> None:
    fleet = Fleet(clock, "abort")
    assert watch.watch(fleet, CANARY)["failed"]
    assert fleet.off == []


@pytest.mark.parametrize(("policy", "stops"), [("rollback", True), ("manual", False)])
def test_no_data_for_too_long_stops_a_stage_by_its_policy(clock: Clock, policy: str, stops: bool) -> None:
    held = look("hold", deadline_passed=True, on_no_data=policy)
    found = watch.watch(Fleet(clock, held, "promote"), STAGE)
    assert bool(found.get("failed")) is stops


class TestCanary:
    def test_it_passes_without_harm_when_its_time_is_over(self, clock: Clock) -> None:
        fleet = Fleet(clock, "promote", "continue")
        found = watch.watch(fleet, CANARY)
        assert (found["number"], found["elapsed"]) == (5, 22.0)
        assert fleet.recorded[0][0] == "canary.looked"
        assert fleet.recorded[0][1]["host"] == "app1"
        assert fleet.early == [["abort"]] * 5, "its time must be over"

    @pytest.mark.parametrize("missing", [look("hold"), look("continue", intervals=0)])
    def test_it_does_not_pass_without_data(self, clock: Clock, missing: dict[str, Any]) -> None:
        assert watch.watch(Fleet(clock, *[missing] * 9, "continue"), CANARY)["number"] == 10

    def test_no_data_for_too_long_stops_it_under_every_policy(self, clock: Clock) -> None:
        held = look("hold", deadline_passed=True, on_no_data="manual")
        found = watch.watch(Fleet(clock, held), CANARY)
        assert found["msg"].startswith(
            "hold of the canary app1: because. on_no_data is manual, so a person must decide."
        )


def test_each_look_records_only_what_the_one_before_had_not_seen(clock: Clock) -> None:
    def seen(rows: int, verdict: str) -> dict[str, Any]:
        return look(verdict, counts={"metrics": [{"feature": "search", "rows": [[n] for n in range(rows)]}]})

    fleet = Fleet(clock, seen(3, "continue"), seen(5, "promote"))
    watch.watch(fleet, STAGE)
    assert [data["counts"]["metrics"][0]["rows"] for _event, data in fleet.recorded] == [[[0], [1], [2]], [[3], [4]]]


def test_a_thousand_looks_are_as_deep_as_one(clock: Clock) -> None:
    fleet = Fleet(clock, *["continue"] * 1999, "promote")
    assert watch.watch(fleet, STAGE)["number"] == 2000
    assert fleet.moments[-1] == 1000 + 2 + 1999 * 10


KILLED = {"rollout": {"killed": {"search": {"at": "2026-09-21T14:13:20Z", "by": "mia", "reason": "wrong prices"}}}}
NOBODY = {"features": {"search": {"share": 0.0, "users": 4000, "on": 0, "lost": 1000}}, "lost": 1000}


@pytest.mark.parametrize(
    ("verdict", "takes", "ends"),
    [("continue", 17.0, "gate.looked"), ("abort", 17.0, "gate.looked"), ("continue", 1.0, "stage.measured")],
)
def test_a_killed_feature_is_why_it_stops_whatever_was_measured(
    clock: Clock, verdict: str, takes: float, ends: str
) -> None:
    fleet = Fleet(clock, verdict, share=NOBODY, takes=takes)
    fleet.answer = KILLED
    found = watch.watch(fleet, STAGE)
    assert found == {
        "failed": True,
        "msg": "The rollout stops: the flag search was killed at 2026-09-21T14:13:20Z by mia: wrong prices",
    }
    assert [event for event, _data in fleet.recorded] == [ends, "flags.off"]
    assert len(fleet.off) == 1, "the other features go off too"
