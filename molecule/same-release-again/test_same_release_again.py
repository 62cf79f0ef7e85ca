from __future__ import annotations

from tests.support import seen
from tests.support.seen import Seen


def test_it_ended_well_and_changed_nothing(story: Seen) -> None:
    assert story.play()["status"] == 0, story.screen()[-2000:]
    assert seen.changed(story.folder()) == []


def test_the_record_has_not_grown(story: Seen) -> None:
    assert story.after["ledger"] == story.before["ledger"]


def test_every_host_is_as_it_was(story: Seen) -> None:
    assert story.after == story.before
    story.every_host_runs("2.0.0")


def test_it_says_so(story: Seen) -> None:
    assert "nothing to do" in story.screen()


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
