from __future__ import annotations

from tests.support import fleet
from tests.support.seen import Seen


def test_it_stopped_at_the_migration(story: Seen) -> None:
    story.went_back("migrate", hosts=[])
    failed = story.happened("step.failed")[0]["data"]
    assert failed["host"] == "db1"
    assert "0003b" in failed["error"]


def test_no_host_has_changed(story: Seen) -> None:
    story.nothing_was_touched(*fleet.HOSTS)
    assert story.happened("host.returned") == []
    story.every_host_runs("1.0.0")
    story.flags_are_off()


def test_the_schema_stands_at_the_last_revision_that_went_well(story: Seen) -> None:
    assert fleet.revision() == "0003"


def test_a_backup_had_been_proven_before(story: Seen) -> None:
    assert story.once("backup.proven")["receipt"]["level"] == "restored"


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_the_report_says_so(story: Seen) -> None:
    story.report_agrees("returned")


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
