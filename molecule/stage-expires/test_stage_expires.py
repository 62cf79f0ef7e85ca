from __future__ import annotations

from tests.support import shares
from tests.support.seen import Seen


def test_half_of_the_users_had_the_features_when_it_died(story: Seen) -> None:
    assert story.play()["status"] != 0
    half = {flag: set(users) for flag, users in story.record["shares"]["half"].items()}
    assert shares.mistakes(50, half, 1000, tolerance=4) == []


def test_every_host_fell_back_by_itself_to_the_same_users(story: Seen) -> None:
    assert story.record["expired_after_seconds"] < 60
    assert story.record["shares"]["after"] == story.record["shares"]["quarter"]
    assert story.happened("flags.off") == []


def test_the_next_run_resumed_the_rollout_and_finished_it(story: Seen) -> None:
    assert story.play(2)["status"] == 0, story.screen(2)[-2000:]
    assert len(story.rollouts) == 1
    assert len(story.happened("rollout.resumed")) == 1
    assert story.once("rollout.finished")["outcome"] == "completed"
    assert [line["data"]["percent"] for line in story.happened("stage.certified")] == [25, 50, 100]
    assert len(story.happened("backup.proven")) == 1, "what was done already must not be done again"
    story.every_host_runs("2.0.0")


def test_no_stage_began_before_the_one_before_was_approved(story: Seen) -> None:
    way = [
        (line["event"], line["data"]["percent"])
        for line in story.events
        if line["event"] in ("stage.approved", "stage.set")
    ]
    assert list(dict.fromkeys(way)) == [
        ("stage.set", 25),
        ("stage.approved", 25),
        ("stage.set", 50),
        ("stage.approved", 50),
        ("stage.set", 100),
    ]
    assert [play["status"] for play in story.record["plays"] if "approve" in play["playbook"]] == [0, 0]


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_the_report_says_so(story: Seen) -> None:
    story.report_agrees("completed")
