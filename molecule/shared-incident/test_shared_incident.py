from __future__ import annotations

from tests.support.seen import Seen

SHARED = "so something else is wrong"


def test_the_gate_held_while_everybody_had_to_wait(story: Seen) -> None:
    holds = story.happened("gate.looked", verdict="hold")
    assert len(holds) >= 2, [look["data"]["reason"] for look in story.happened("gate.looked")]
    for look in holds:
        assert look["data"]["percent"] == 25
        assert SHARED in look["data"]["reason"]
        assert story.moment(look) > story.record["incident"]["began"]


def test_users_with_and_without_the_features_were_slow_alike(story: Seen) -> None:
    worst = story.happened("gate.looked", verdict="hold")[-1]["data"]
    for feature in ("search", "recommendations"):
        slow = next(metric for metric in worst["metrics"] if (metric["feature"], metric["metric"]) == (feature, "slow"))
        assert slow["control"]["bad"] > 5, "the incident was not even seen, so holding proves nothing"
        assert slow["treatment"]["bad"] > 0
        assert slow["e_value"] < 20


def test_it_was_no_harm_of_the_features(story: Seen) -> None:
    assert story.happened("gate.looked", verdict="abort") == []
    assert story.happened("flags.off") == story.happened("host.returned") == story.happened("step.failed") == []


def test_when_it_was_over_the_gate_went_on_and_certified(story: Seen) -> None:
    looks = [look["data"] for look in story.happened("gate.looked", percent=25)]
    last_hold = max(number for number, look in enumerate(looks) if look["verdict"] == "hold")
    assert looks[-1]["verdict"] == "promote"
    assert last_hold < len(looks) - 1
    certified = story.happened("stage.certified")
    assert [line["data"]["percent"] for line in certified] == [25, 100]
    assert story.moment(certified[0]) > story.record["incident"]["ended"]
    assert story.play()["status"] == 0, story.screen()[-2000:]
    assert story.once("rollout.finished")["outcome"] == "completed"
    story.every_host_runs("2.0.0")


def test_users_waited_and_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    assert story.load["routes"]["product"]["max_seconds"] > 1
    story.orders_are_there_once()


def test_the_report_tells_of_it(story: Seen) -> None:
    story.report_agrees("completed", of_few=True)
    told = story.claim("gate-25")["statement"]
    assert "Before that it held" in told
    assert SHARED in told


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
