"""The report: claims out of ledgers, never one without evidence, and a check that finds one changed byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.text import ranges
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch
from ansible_collections.gradual.rollout.plugins.module_utils.report import (
    document,
    events,
    page,
    text,
    timeline,
)
from ansible_collections.gradual.rollout.plugins.module_utils.report.stages import tolerance
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import by_id, claims, fits


@pytest.mark.parametrize("name", list(sample.ALL))
def test_every_report_fits_the_schema(reports: dict[str, dict[str, Any]], name: str) -> None:
    fits(reports[name])


@pytest.mark.parametrize("name", list(sample.ALL))
def test_no_claim_stands_without_evidence(
    reports: dict[str, dict[str, Any]], ledgers: dict[str, sample.Ledger], name: str
) -> None:
    known = {line["seq"] for line in ledgers[name].lines}
    assert len(by_id(reports[name])) == len(reports[name]["claims"]), "ids are unique"
    for claim in reports[name]["claims"]:
        if claim["status"] in ("shown", "failed"):
            assert claim["evidence"], claim
            assert set(claim["evidence"]) <= known
            assert claim["value"] is not None
        else:
            assert claim["value"] is None
            assert not claim["evidence"]


@pytest.mark.parametrize(
    ("name", "outcome", "status", "reason"),
    [
        ("rehearsed", "completed", "PASS", None),
        ("completed", "completed", "CONCERNS", "criterion 8 (rollback possible at every moment): not measured"),
        (
            "unmonitored",
            "completed",
            "CONCERNS",
            "criterion 10 (dashboard updated, every panel query answered): not measured",
        ),
        ("failing", "completed", "FAIL", "requests-failed: 3 of "),
        ("taken back", "returned", "FAIL", "the rollout is returned, not completed"),
        ("never ready", "returned", "FAIL", "the rollout is returned, not completed"),
        ("host lost", "incomplete", "FAIL", "hosts-lost: lost on the way: app2"),
        ("opened", "open", "FAIL", "the rollout is open, not completed"),
        (
            "asked back",
            "returned",
            "RETURNED",
            "ops@controller asked for the rollback after the rollout had ended; the features were off",
        ),
        (
            "asked back at 25 %",
            "returned",
            "RETURNED",
            "Ada asked for the rollback at 25 % of the users; the features were off",
        ),
        (
            "asked back, one left",
            "incomplete",
            "FAIL",
            "asked: ops@controller asked for the rollback after the rollout had ended",
        ),
        ("first", "completed", "PASS", None),
        ("resumed", "completed", "CONCERNS", "criterion 8 (rollback possible at every moment): not measured"),
    ],
)
def test_gate(reports: dict[str, dict[str, Any]], name: str, outcome: str, status: str, reason: str | None) -> None:
    report = reports[name]
    assert (report["outcome"], report["gate"]["status"]) == (outcome, status)
    assert reason is None or any(each.startswith(reason) for each in report["gate"]["reasons"])
    assert bool(report["gate"]["reasons"]) is (status != "PASS")


def test_pass_means_that_every_criterion_was_shown(reports: dict[str, dict[str, Any]]) -> None:
    assert {row["status"] for row in reports["rehearsed"]["criteria"]} == {"shown"}
    # A first release without features needs no stages and no way back.
    assert {row["number"] for row in reports["first"]["criteria"] if row["status"] != "shown"} == {2, 3, 6, 8}


@pytest.mark.parametrize(
    "event",
    ["backup.proven", "stage.measured", "smoke.finished", "traffic.observed", "monitoring.observed", "gate.looked"],
)
def test_leaving_an_event_out_never_passes(event: str) -> None:
    """The negative control of "no data is never a pass": the same rollout without what it measured."""
    whole = sample.rehearsed(sample.completed())
    poorer = sample.Ledger()
    for line in whole.lines:
        if line["event"] != event:
            poorer.rollout, poorer.now = line["rollout"], epoch(line["time"])
            poorer.add(line["event"], 0, **line["data"])
    assert document.build(poorer.lines)["gate"]["status"] != "PASS"


SHARE, HEALTH, HOSTS = "Share: feature_flag_share", "Health: gradual_health_check_passed", "Hosts: up"
LOCKS, POOL = "Locks: sum by (mode) (pg_locks_count)", "Connections: sum by (host) (database_pool_connections)"


def without_database() -> sample.Ledger:
    ledger = sample.opened({"backup": {"method": "none"}, "migrations": None})
    sample.monitoring(ledger)
    return ledger


def rolled_back() -> sample.Ledger:
    ledger = sample.taken_back()
    sample.monitoring(ledger)
    return ledger


@pytest.mark.parametrize(
    ("made", "silent", "status"),
    [
        (sample.first, [SHARE, HEALTH], "shown"),
        (sample.first, [SHARE, HOSTS], "failed"),
        (sample.completed, [SHARE], "failed"),
        (rolled_back, [SHARE], "shown"),
        (rolled_back, [SHARE, HOSTS], "failed"),
        (sample.completed, [HEALTH], "failed"),
        (sample.completed, [POOL], "shown"),
        (sample.completed, [POOL, LOCKS], "failed"),
        (without_database, [POOL, LOCKS], "shown"),
        (without_database, [HOSTS], "failed"),
    ],
)
def test_the_dashboard_may_lack_only_what_cannot_be_there(
    made: Callable[[], sample.Ledger], silent: list[str], status: str
) -> None:
    ledger = made()
    for line in ledger.lines:
        if line["event"] == "monitoring.observed":
            line["data"]["dashboard"] |= {"answered": 24 - len(silent), "silent": silent}
    assert by_id(document.build(ledger.lines))["dashboard"]["status"] == status


def test_a_sentence_on_what_was_not_measured_says_what(reports: dict[str, dict[str, Any]]) -> None:
    """Each of them stands alone in a list."""
    said = [
        claim["statement"]
        for claim in reports["opened"]["claims"]
        if claim["id"] in ("requests-failed", "requests-slow", "mean-seconds", "kept")
    ]
    assert len(set(said)) == 4
    assert all(re.match("not measured: (how|whether) ", sentence) for sentence in said), said


def test_a_first_release_is_with_all_users_once_all_hosts_have_it(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["first"]
    found = by_id(report)
    assert report["stages"] == []
    assert not any(line.startswith("failed: ") or "not reached" in line for line in document.summary(report))
    assert (
        found["with-all-users"]["statement"]
        == "no features behind flags: all users have the release, for all 3 hosts run it"
    )
    assert found["with-all-users"]["statement"] in document.summary(report)
    assert {found[name]["status"] for name in ("way-back", "rehearsal", "stages")} == {"not needed"}
    for shown in (text.render(report), page.render(report, {})):
        assert "not reached" not in shown
        assert "did not look" not in shown
        assert "users have it as soon as every host has it" in shown


def test_a_release_without_features_that_a_host_lacks_is_not_with_all_users() -> None:
    """The negative control of the test above."""
    report = document.build(sample.first(hosts=("app1", "app3")).lines)
    assert by_id(report)["with-all-users"]["status"] == "failed"
    assert by_id(report)["with-all-users"]["statement"].endswith("users have the release on 2 of 3 hosts, not on app2")
    assert report["gate"]["status"] == "FAIL"
    failed = [line.removeprefix("failed: ") for line in document.summary(report) if line.startswith("failed: ")]
    assert failed == report["gate"]["reasons"]
    assert any(line.startswith("with-all-users: ") for line in failed)


def test_own_requests_are_told(reports: dict[str, dict[str, Any]]) -> None:
    found = by_id(reports["completed"])
    assert found["requests-failed"]["statement"].endswith(
        "of users at the front door failed during the rollout; Gradual's own 12,000 are not among them"
    )
    assert found["requests-failed"]["value"]["own"] == 12000
    ledger = sample.Ledger()
    ledger.add("rollout.started", manifest=sample.MANIFEST)
    ledger.add(
        "traffic.observed", requests=100, failed=0, slow=1, mean_seconds=0.01, own_requests=None, own_answered=None
    )
    found = claims(ledger)
    assert found["requests-failed"]["statement"].endswith(
        "Gradual's own are among them: the balancer does not count them apart"
    )
    for name in ("requests-slow", "mean-seconds"):
        assert found[name]["statement"].endswith(
            "Gradual's own requests are among them: the application does not count them apart"
        )


def test_a_rollout_that_was_taken_up_again_says_so(reports: dict[str, dict[str, Any]]) -> None:
    assert by_id(reports["resumed"])["resumed"]["statement"] == "taken up again 1 time"
    assert reports["resumed"]["headline"] == "storefront 2.0.0 is with all users"


def test_the_verdict_of_the_gate_is_judged_again() -> None:
    """A ledger that says promote over counts that say abort is well chained and still wrong."""
    ledger = sample.taken_back()
    forged = sample.Ledger()
    for line in ledger.lines:
        data = {**line["data"], "verdict": "promote"} if line["event"] == "gate.looked" else line["data"]
        forged.now = epoch(line["time"])
        forged.add(line["event"], 0, **data)
    claim = claims(forged)["gate-25"]
    assert claim["status"] == "failed"
    assert "do NOT give the recorded verdict" in claim["statement"]
    assert (claim["value"]["verdict"], claim["value"]["recomputed"]) == ("promote", "abort")


def test_a_look_without_counts_is_no_evidence() -> None:
    ledger = sample.opened()
    ledger.add("stage.set", percent=25)
    ledger.add("gate.looked", percent=25, verdict="promote", reason="all is well")
    assert claims(ledger)["gate-25"]["status"] == "failed"


@pytest.mark.parametrize(
    ("share", "users", "lost", "status"),
    [(0.2535, 2000, 0, "shown"), (0.2535, 1999, 0, "failed")]
    + [
        (0.2785, 2000, 0, "shown"),
        (0.2795, 2000, 0, "failed"),
        (0.2299, 9000, 0, "failed"),
        (None, 2000, 0, "not measured"),
        (0.25, None, None, "not measured"),
    ],
)
def test_shares(share: float | None, users: int | None, lost: int | None, status: str) -> None:
    ledger = sample.opened({"features": [{"flag": "search"}]})
    ledger.add("stage.set", percent=25)
    ledger.add("stage.measured", percent=25, features={"search": {"users": users, "share": share}}, lost=lost)
    assert claims(ledger)["share-25"]["status"] == status


@pytest.mark.parametrize(
    ("percent", "users", "points"),
    [(25, 2000, 2.905), (50, 4000, 2.372), (50, 9000, 2.0), (100, 2000, 0.0), (0, 2000, 0.0)],
)
def test_tolerance(percent: int, users: int, points: float) -> None:
    assert tolerance(percent, users) == pytest.approx(points, abs=0.001)


def test_a_user_who_lost_a_feature_is_a_failure() -> None:
    ledger = sample.opened({"features": [{"flag": "search"}]})
    for percent, lost in ((25, 0), (50, 1)):
        ledger.add("stage.measured", percent=percent, features={}, lost=lost)
    assert claims(ledger)["kept"]["status"] == "failed"


def test_a_release_without_features_and_migrations_needs_less() -> None:
    ledger = sample.opened({"features": [], "migrations": None})
    found = claims(ledger)
    assert {
        found[name]["status"] for name in ("stages", "migrations", "backup-first", "watched", "features-smoked")
    } == {"not needed"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"plan": 3, "manifest": "x", "hosts": [1]},
        {"manifest": {"features": [None, 3, {}], "stages": "x", "artifact": 1}},
    ],
)
def test_strange_data_make_a_poor_report_and_no_crash(data: dict[str, Any]) -> None:
    ledger = sample.Ledger()
    ledger.add("rollout.started", **data)
    for event in (
        "stage.measured",
        "stage.verified",
        "gate.looked",
        "traffic.observed",
        "smoke.finished",
        "backup.proven",
        "migration.applied",
    ):
        ledger.add(
            event,
            features=[1],
            hosts="x",
            receipt=[],
            revisions="x",
            series=[None],
            by_variant=[],
            results=[3],
            percent="x",
        )
    report = document.build(ledger.lines)
    assert report["gate"]["status"] == "FAIL"
    text.render(report)


def test_an_unknown_rollout_is_named() -> None:
    with pytest.raises(
        events.ReportError, match=re.escape("knows no rollout 'x'. It knows: storefront-2.0.0-20261123T120000Z")
    ):
        document.build(sample.opened().lines, "x")
    with pytest.raises(events.ReportError, match="holds no rollout yet"):
        document.build([])


def test_steps_that_were_tried_twice_have_two_rows() -> None:
    ledger = sample.opened()
    for state in ("failed", "finished"):
        ledger.add("step.started", step="backup")
        ledger.add(f"step.{state}", 4, step="backup", error="x")
    rows = [row for row in timeline.steps(events.Events(ledger.lines, ledger.rollout)) if row["step"] == "backup"]
    assert [(row["state"], row["seconds"]) for row in rows] == [("failed", 4.0), ("finished", 4.0)]


@pytest.mark.parametrize(("seqs", "wanted"), [([], "-"), ([3], "3"), ([3, 1, 2, 7], "1-3, 7")])
def test_lines(seqs: list[int], wanted: str) -> None:
    assert ranges(seqs) == wanted
