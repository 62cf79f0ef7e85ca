"""What must be seen after a story in which the canary could not be switched; each such scenario has a class of its own
with the words of its failure."""

from __future__ import annotations

from typing import ClassVar

from .seen import Seen


class StoppedAtTheCanary:
    """error: what the recorded failure says."""

    error: ClassVar[str]

    def test_it_stopped_at_the_canary_and_came_back(self, story: Seen) -> None:
        story.stopped_at_the_canary(self.error)

    def test_no_user_saw_it(self, story: Seen) -> None:
        story.nobody_was_hurt()
        story.load_covers_everything()

    def test_no_user_was_sent_to_the_canary_while_it_was_broken(self, story: Seen) -> None:
        story.canary_was_drained_until_it_failed()

    def test_the_other_hosts_were_not_touched(self, story: Seen) -> None:
        story.nothing_was_touched("app2", "app3")

    def test_every_host_runs_what_it_ran_before(self, story: Seen) -> None:
        story.every_host_runs_what_it_ran_before()
        story.flags_are_off()

    def test_every_order_was_written_once(self, story: Seen) -> None:
        story.orders_are_there_once()

    def test_the_report_times_the_return(self, story: Seen) -> None:
        story.report_agrees("returned")
        story.report_times_the_return(first_bad=False)

    def test_the_record_is_intact(self, story: Seen) -> None:
        story.record_is_intact()

    def test_no_warning_in_any_event(self, story: Seen) -> None:
        story.no_warning()
