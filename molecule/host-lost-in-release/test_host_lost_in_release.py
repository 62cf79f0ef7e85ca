from __future__ import annotations

from tests.support.seen import Seen


def test_the_run_named_the_host_and_left_the_rest_in_one_state(story: Seen) -> None:
    story.was_left_without("app2")
    assert "app2" in story.screen().split("PLAY RECAP")[0][-3000:]


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_rollback_brought_the_host_back(story: Seen) -> None:
    story.later_rollback_brought_it_back()


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
