from __future__ import annotations

from tests.support import fleet, secrets, shares
from tests.support.seen import Seen


def test_the_rollout_finished(story: Seen) -> None:
    assert story.play()["status"] == 0, story.screen()[-2000:]
    assert story.once("rollout.finished")["outcome"] == "completed"
    assert [line["data"]["percent"] for line in story.happened("stage.certified")] == [25, 50, 100]


def test_no_request_failed_from_before_to_after(story: Seen) -> None:
    story.nobody_was_hurt()
    story.load_covers_everything()


def test_every_order_was_written_once(story: Seen) -> None:
    story.orders_are_there_once()


def test_users_got_the_features_in_stages_and_kept_them(story: Seen) -> None:
    before: shares.Shares | None = None
    for percent in (25, 50, 100):
        assert story.record["still"][str(percent)] == percent, "the stage was over before it was measured"
        users = {flag: set(names) for flag, names in story.record["shares"][str(percent)].items()}
        assert shares.mistakes(percent, users, len(shares.USERS), before) == []
        before = users


def test_gradual_measured_the_same(story: Seen) -> None:
    for percent in (25, 50, 100):
        measured = story.once("stage.measured", percent=percent)
        assert measured["lost"] == 0
        assert set(measured["features"]) == set(fleet.FLAGS)
        for flag, seen in measured["features"].items():
            assert seen["users"] >= 2000
            assert abs(100 * seen["share"] - percent) <= 2, f"{flag}: {seen}"


def test_users_of_every_stage_were_watched_with_the_features_off_first(story: Seen) -> None:
    began, ended = story.once("aa.began"), story.once("aa.ended")
    assert began["variants"] == ["aa25", "aa50"]
    asked = story.once("rollout.started")["manifest"]["bake"]["aa"]
    assert asked <= ended["until"] - ended["since"] <= asked + 5
    order = [line["event"] for line in story.events if line["event"] in ("aa.began", "aa.ended", "stage.set")]
    assert order == ["aa.began", "aa.ended", "stage.set", "stage.set", "stage.set"]


def test_each_look_knew_how_those_users_differ_anyway(story: Seen) -> None:
    ended = story.once("aa.ended")
    for percent in (25, 50):
        for line in story.happened("gate.looked", percent=percent):
            look = line["data"]
            for counted, judged in zip(look["counts"]["metrics"], look["metrics"], strict=True):
                assert (
                    sum(row is not None for row in counted["aa"])
                    >= 0.7 * (ended["until"] - ended["since"]) / look["counts"]["interval"]
                )
                assert 0.7 < judged["offset"] < 1.4, (
                    f"{judged['feature']} {judged['metric']}: users who had nothing differ by {judged['offset']}"
                )
                assert abs(100 * judged["share_expected"] - percent) < 15, judged
        assert look["verdict"] == "promote"


def test_every_process_of_every_host_evaluated_each_stage(story: Seen) -> None:
    for percent in (25, 50, 100):
        for line in story.happened("stage.verified", percent=percent):
            assert set(line["data"]["hosts"]) == set(fleet.HOSTS)
            for host, processes in line["data"]["hosts"].items():
                assert len({process["pid"] for process in processes}) >= 2, f"{host}: {processes}"


def test_hosts_went_one_by_one_out_of_traffic(story: Seen) -> None:
    ways = ("host.drained", "host.admitted", "host.released")
    moves = [(line["event"], line["data"]["host"]) for line in story.events if line["event"] in ways]
    assert moves == [(event, host) for host in fleet.HOSTS for event in ways]


def test_every_host_runs_the_release(story: Seen) -> None:
    story.every_host_runs("2.0.0", story.once("rollout.started")["manifest"]["artifact"]["sha256"])
    for host in fleet.HOSTS:
        seen = fleet.look(host)
        assert seen["previous"].startswith("1.0.0-"), "the release before it must be kept"
        assert {flag for flag, share in seen["shares"] if share == 1} == set(fleet.FLAGS)


def test_the_database_was_backed_up_before_it_was_migrated(story: Seen) -> None:
    names = [line["event"] for line in story.events]
    receipt = story.once("backup.proven")["receipt"]
    assert receipt["level"] == "sound"
    assert [one["revision"] for one in receipt["rehearsal"]] == ["0002", "0003"]
    assert [(one["when"], one["version"]) for one in receipt["smoke"]] == [("restored", "1.0.0"), ("migrated", "1.0.0")]
    assert receipt["tables"]["public.orders"]["rows"] >= 0
    assert names.index("backup.proven") < names.index("migration.applied")
    assert story.once("migration.applied")["to"] == fleet.revision() == "0003"


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_the_report_claims_what_was_measured(story: Seen) -> None:
    story.report_agrees("completed")
    for name in ("report.md", "report.html"):
        assert (story.directory / "reports" / story.rollouts[-1] / name).stat().st_size > 1000


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()


def test_no_secret_in_screen_events_ledger_or_report(story: Seen) -> None:
    assert secrets.leaks([story.directory], secrets.planted()) == []


def test_no_secret_in_a_process_list(story: Seen) -> None:
    assert story.record["commands"] > 100, "too few processes were seen to prove anything"
    assert story.record["leaked"] == []
