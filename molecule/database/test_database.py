from __future__ import annotations

import pytest

from tests.support import fleet
from tests.support.seen import Seen

FIRST, SECOND, RESTORE = 1, 3, 4  # the others provision


@pytest.fixture(autouse=True)
def _after_the_failover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADUAL_DATABASE", "db2")


def test_the_first_migration_was_applied_under_load_and_reached_the_standby(story: Seen) -> None:
    assert story.record["standby"]["revision"] == "0002"
    assert story.record["standby"]["columns"] == ["1"]


def test_the_backup_was_tried_out_with_the_release_before_and_the_migrations(story: Seen) -> None:
    receipt = story.happened("backup.proven")[0]["data"]["receipt"]
    assert receipt["level"] == "sound"
    assert [step["revision"] for step in receipt["rehearsal"]] == ["0002", "0003"]
    assert [(one["version"], one["when"]) for one in receipt["smoke"]] == [("1.0.0", "restored"), ("1.0.0", "migrated")]


def test_no_request_failed_before_the_power_was_cut(story: Seen) -> None:
    story.nobody_was_hurt()
    assert story.load["started"] < story.play(FIRST)["started"]


def test_the_run_stopped_and_named_the_lost_host(story: Seen) -> None:
    assert story.play(FIRST)["status"] != 0
    failed = story.once("step.failed")
    assert (failed["step"], failed["host"]) == ("migrate", "db1")
    assert "db1 was lost" in failed["error"]


def test_nothing_was_half_done(story: Seen) -> None:
    assert story.record["left"]["revision"] == "0002", "a revision is there or it is not"
    assert story.happened("host.drained")[0]["rollout"] == story.rollouts[-1], (
        "no application host was touched by the first run"
    )


def test_what_an_interrupted_index_left_on_the_standby_was_cleared_up(story: Seen) -> None:
    assert story.record["standby"]["invalid"] == story.record["left"]["invalid"] == ["products_search_words"]
    assert fleet.query("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []
    assert fleet.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'products_search_words'::regclass") == ["t"]


def test_the_second_run_took_a_backup_on_the_new_timeline_and_finished(story: Seen) -> None:
    assert story.play(SECOND)["status"] == 0, story.screen(SECOND)[-2000:]
    before, after = (line["data"]["receipt"] for line in story.happened("backup.proven"))
    assert before["system_identifier"] == after["system_identifier"]
    assert (before["timeline"], after["timeline"]) == (1, 2)
    assert (before["host"], after["host"]) == ("db1", "db2")
    applied = story.happened("migration.applied")[-1]["data"]
    assert (applied["from"], applied["to"], [one["revision"] for one in applied["revisions"]]) == (
        "0002",
        "0003",
        ["0003"],
    )
    story.every_host_runs("2.0.0")


def test_the_receipt_of_before_is_worth_nothing_any_more(story: Seen) -> None:
    assert "was taken on timeline 1, this server is on 2 (after a failover or a restore)" in " ".join(
        story.record["refusal"].split()
    )
    assert "Nothing was changed" in story.record["refusal"]
    assert fleet.revision() == "0003"


def test_the_backup_came_back_beside_the_live_database(story: Seen) -> None:
    receipt = story.happened("backup.proven")[-1]["data"]["receipt"]
    assert story.play(RESTORE)["status"] == 0, story.screen(RESTORE)[-2000:]
    assert fleet.query("SELECT count(*) FROM orders", database="storefront_restored") == [
        str(receipt["tables"]["public.orders"]["rows"])
    ]
    assert fleet.query("SELECT version_num FROM alembic_version", database="storefront_restored") == ["0002"], (
        "as it was before the second migration"
    )
    assert fleet.revision() == "0003"


def test_no_request_failed_after_the_promotion(story: Seen) -> None:
    again = story.among("afterwards")
    again.nobody_was_hurt()
    assert again.load["started"] < story.play(SECOND)["started"]
    assert again.load["ended"] > story.play(SECOND)["ended"]


def test_no_order_was_lost(story: Seen) -> None:
    story.orders_are_there_once()
    story.among("afterwards").orders_are_there_once()


def test_the_reports_say_so(story: Seen) -> None:
    assert [line["data"]["outcome"] for line in story.happened("rollout.finished")] == ["returned", "completed"]
    story.report_agrees("completed", of_few=True)


def test_the_record_is_intact(story: Seen) -> None:
    story.record_is_intact()


def test_no_warning_in_any_event(story: Seen) -> None:
    story.no_warning()
