from __future__ import annotations

from tests.support import fleet
from tests.support.seen import Seen

AWAY = "Prometheus at http://127.0.0.1:9090 does not answer"


def test_while_it_was_away_every_look_held_and_said_why(story: Seen) -> None:
    stopped, started, _again = (fault["at"] for fault in story.record["faults"])
    meanwhile = [
        look["data"] for look in story.happened("gate.looked", percent=25) if stopped < story.moment(look) < started
    ]
    assert meanwhile, "nobody looked while Prometheus was away, so nothing is proven"
    assert {look["verdict"] for look in meanwhile} == {"hold"}
    assert all(AWAY in look["reason"] for look in meanwhile)
    assert story.moment(story.happened("stage.certified")[0]) > started


def test_back_in_time_the_stage_was_certified_on_the_raw_series_and_the_gap_told(story: Seen) -> None:
    assert [line["data"]["percent"] for line in story.happened("stage.certified")] == [25]
    first, *_, last = (look["data"] for look in story.happened("gate.looked", percent=25))
    assert last["verdict"] == "promote"
    assert last["counts"]["since"] == first["counts"]["since"], (
        "a look counts since the stage began, whatever came between"
    )
    assert last["counts"]["unseen"] > 0
    assert any("Prometheus took no samples from" in note for note in last["counts"]["notes"]), last["counts"]["notes"]
    for now, then in zip(last["counts"]["metrics"], first["counts"]["metrics"]):
        assert now["rows"][: len(then["rows"])] == then["rows"], "what was counted before the gap still counts"


def test_at_its_deadline_the_next_stage_was_given_up(story: Seen) -> None:
    looks = [look["data"] for look in story.happened("gate.looked", percent=50)]
    assert {look["verdict"] for look in looks} == {"hold"}
    assert all(AWAY in look["reason"] for look in looks)
    assert [look["deadline_passed"] for look in looks] == [False] * (len(looks) - 1) + [True]
    assert looks[-1]["elapsed"] >= looks[-1]["settings"]["deadline"] == 40


def test_everything_went_back(story: Seen) -> None:
    story.went_back("ramp", hosts=fleet.HOSTS)
    assert [line["data"]["percent"] for line in story.happened("stage.set")] == [25, 50]
    story.flags_are_off()
    story.every_host_runs_what_it_ran_before()


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_the_report_says_why_and_what_nobody_could_measure(story: Seen) -> None:
    story.report_agrees("returned")
    story.report_times_the_return(first_bad=False)
    assert AWAY in " ".join(story.report()["next_steps"])
    told = story.claim("gate-25")["statement"]
    assert "Before that it held" in told
    assert "Prometheus took no samples from" in told
    assert AWAY in story.claim("gate-50")["statement"]
    assert story.claim("requests-failed")["status"] == "not measured"


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
