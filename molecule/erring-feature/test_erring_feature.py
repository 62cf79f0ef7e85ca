from __future__ import annotations

from typing import Any

from tests.support import fleet
from tests.support.seen import Seen

Line = dict[str, Any]


def test_the_gate_stopped_it_at_25_percent_and_it_came_back(story: Seen) -> None:
    story.stopped_at_25_percent("recommendations")


def test_it_was_stopped_within_the_time_that_its_traffic_predicts(story: Seen) -> None:
    story.stopped_as_predicted("recommendations", "errors", share=3 / 8)


def test_flags_went_off_before_any_host_went_back(story: Seen) -> None:
    story.flags_went_off_first()


def test_the_hosts_were_switched_in_waves_and_back(story: Seen) -> None:
    names = [line["event"] for line in story.events]
    back = names.index("flags.off")
    assert waves(story.events[:back], "host.released") == [["app1"], ["app2", "app3"]]
    assert sorted(map(len, waves(story.events[back:], "host.returned"))) == [1, 2]


def waves(events: list[Line], done: str) -> list[list[str]]:
    """The hosts that were out of traffic at the same time, until one of them was done."""
    found: list[list[str]] = [[]]
    ended = False
    for line in events:
        if line["event"] == "host.drained":
            if ended:
                found.append([])
            ended = False
            found[-1] = sorted([*found[-1], line["data"]["host"]])
        ended = ended or line["event"] == done
    return found


def test_every_host_runs_what_it_ran_before(story: Seen) -> None:
    story.every_host_runs_what_it_ran_before()
    assert story.before["revision"] in (fleet.revision(), "0001")


def test_only_users_with_the_feature_were_hurt(story: Seen) -> None:
    story.load_kept_its_rate()
    failures = story.load["failures"]
    assert failures, "the defect was not even seen, so stopping it proves nothing"
    assert {one["route"] for one in failures} == {"product"}
    assert {one["status"] for one in failures} == {500}
    users = {one["visitor"] for one in failures}
    assert len(users) < 0.25 * 2000


def test_nobody_was_hurt_after_the_flags_were_off(story: Seen) -> None:
    off = story.happened("flags.off")[0]["time"]
    late = [one for one in story.load["failures"] if one["time"].replace("+00:00", "Z") > off]
    assert late == []


def test_every_order_was_written_once(story: Seen) -> None:
    story.orders_are_there_once()


def test_the_report_says_when_users_were_hurt_and_when_they_were_safe(story: Seen) -> None:
    story.report_agrees("returned")
    story.report_times_the_return(first_bad=True)


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
