from __future__ import annotations

from tests.support import fleet, seen, shares
from tests.support.seen import Seen

CHECK, REAL, AGAIN = range(3)


def test_every_run_ended_well(story: Seen) -> None:
    assert [play["status"] for play in story.record["plays"]] == [0, 0, 0], story.screen(REAL)[-2000:]


def test_check_mode_changed_nothing(story: Seen) -> None:
    assert story.record["snapshots"]["checked"] == story.before


def test_check_mode_says_what_it_would_do(story: Seen) -> None:
    would = seen.changed(story.folder(CHECK))
    assert {host for host in fleet.HOSTS if any(task.startswith(f"{host}: ") for task in would)} == set(fleet.HOSTS)


def test_hosts_came_back_one_by_one_with_the_flags_off_before(story: Seen) -> None:
    names = [line["event"] for line in story.events]
    assert names.index("flags.off") < names.index("host.drained")
    assert [line["data"]["host"] for line in story.happened("host.returned")] == fleet.HOSTS
    assert story.once("return.finished")["left"] == []


def test_every_host_runs_what_it_ran_before(story: Seen) -> None:
    story.every_host_runs("1.0.0")
    story.flags_are_off()
    assert shares.measure(shares.USERS[:300]) == {flag: set() for flag in fleet.FLAGS}


def test_the_schema_stays_expanded(story: Seen) -> None:
    assert fleet.revision() == "0003"


def test_again_changes_nothing(story: Seen) -> None:
    assert seen.changed(story.folder(AGAIN)) == []
    assert story.after == story.record["snapshots"]["returned"]


def test_no_request_failed(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()
    story.orders_are_there_once()


def test_the_report_says_so(story: Seen) -> None:
    story.report_agrees("returned")
    story.report_times_the_return(first_bad=False)


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
