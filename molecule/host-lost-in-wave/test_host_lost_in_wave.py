from __future__ import annotations

from tests.support.seen import Seen


def test_the_run_failed_and_named_the_host(story: Seen) -> None:
    assert story.play()["status"] != 0
    assert {line["data"]["host"] for line in story.happened("host.lost")} == {"app2"}
    assert {line["data"]["host"] for line in story.happened("step.failed")} == {"app2"}
    assert story.happened("return.finished")[0]["data"]["left"] == ["app2"]


def test_the_other_host_of_the_wave_ended_its_switch(story: Seen) -> None:
    released = [line["data"]["host"] for line in story.happened("host.released")]
    assert sorted(released) == ["app1", "app3"]


def test_the_rest_was_left_in_one_state(story: Seen) -> None:
    left = story.record["snapshots"]["without app2"]
    assert {host: seen["version"]["release"] for host, seen in left["hosts"].items()} == {
        "app1": "1.0.0",
        "app3": "1.0.0",
    }
    assert left["balancer"]["app1"] == left["balancer"]["app3"] == "UP"
    assert left["balancer"]["app2"].startswith("MAINT")


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_rollback_brought_the_host_in_line(story: Seen) -> None:
    assert story.play(1)["status"] == 0, story.screen(1)[-2000:]
    assert story.happened("return.finished")[-1]["data"]["left"] == []
    story.every_host_runs("1.0.0", story.before["hosts"]["app1"]["version"]["digest"])
    story.flags_are_off()


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
