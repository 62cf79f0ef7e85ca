from __future__ import annotations

from tests.support.seen import Seen


def test_the_run_failed_and_named_the_host(story: Seen) -> None:
    assert story.play()["status"] != 0
    assert {line["data"]["host"] for line in story.happened("host.lost")} == {"app3"}
    assert "app3" in story.screen().split("PLAY RECAP")[0][-3000:]


def test_the_stage_expired_on_the_lost_host_by_itself(story: Seen) -> None:
    assert story.record["alone_until_off_seconds"] < 60


def test_the_rest_was_left_in_one_state_with_the_features_off(story: Seen) -> None:
    left = story.record["snapshots"]["without app3"]
    assert len({seen["version"]["release"] for seen in left["hosts"].values()}) == 1
    assert left["balancer"]["app1"] == left["balancer"]["app2"] == "UP"
    assert left["balancer"]["app3"].startswith("MAINT")
    for host in ("app1", "app2"):
        assert not any(flag.get("targeting") for flag in left["hosts"][host]["flags"]["flags"].values())


def test_users_were_served_by_the_others(story: Seen) -> None:
    story.load_kept_its_rate()
    story.failures_stay_near("disconnect", seconds=15, share=0.02)
    story.orders_are_there_once()


def test_the_second_run_brought_the_host_back(story: Seen) -> None:
    assert story.play(1)["status"] == 0, story.screen(1)[-2000:]
    assert story.happened("rollout.finished")[-1]["data"]["outcome"] == "completed"
    story.every_host_runs("2.0.0")


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()
