from __future__ import annotations

from tests.support import fleet
from tests.support.seen import Seen


def test_the_gate_stopped_it_at_25_percent_and_it_came_back(story: Seen) -> None:
    story.stopped_at_25_percent("search")


def test_it_was_stopped_within_the_time_that_its_traffic_predicts(story: Seen) -> None:
    story.stopped_as_predicted("search", "slow", share=1.0, delay=1.0)


def test_flags_went_off_before_any_host_went_back(story: Seen) -> None:
    story.flags_went_off_first()


def test_every_host_runs_what_it_ran_before(story: Seen) -> None:
    story.every_host_runs_what_it_ran_before()
    assert story.before["revision"] in (fleet.revision(), "0001")


def test_no_request_failed_but_some_were_slow(story: Seen) -> None:
    story.nobody_was_hurt()
    search = story.load["routes"]["search"]
    assert search["max_seconds"] > 1, "the defect was not even seen, so stopping it proves nothing"


def test_every_order_was_written_once(story: Seen) -> None:
    story.orders_are_there_once()


def test_the_report_says_when_users_were_hurt_and_when_they_were_safe(story: Seen) -> None:
    story.report_agrees("returned")
    story.report_times_the_return(first_bad=True)


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
