# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What a report says of a rollout that was rolled back: why, who asked, how long it took, and whether it could be."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import document
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import by_id, claims


def test_times_of_a_rollout_that_was_taken_back(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["taken back"]
    times, found = report["times"], by_id(report)
    assert times["first_bad_at"] < times["noticed_at"] < times["flags_off_at"] < times["hosts_back_at"]
    assert found["bad-to-flags-off"]["value"] == pytest.approx(times["flags_off_at"] - times["first_bad_at"], abs=0.01)
    assert found["noticed-to-safe"]["value"] == pytest.approx(1.8, abs=0.2)
    assert found["rehearsal"]["status"] == "shown"


def test_users_are_not_called_safe_before_somebody_saw_that_the_features_were_off() -> None:
    """The flags were written and nobody could see them evaluated: it is the code before that makes users safe."""
    ledger = sample.taken_back()
    off = next(line for line in ledger.lines if line["event"] == "flags.off")
    off["data"]["unverified"] = ["app2"]
    report = document.build(ledger.lines)
    found, times = by_id(report), report["times"]
    assert (times["flags_off_at"], found["bad-to-flags-off"]["status"]) == (None, "not measured")
    assert found["noticed-to-safe"]["value"] == pytest.approx(
        times["return_finished_at"] - times["noticed_at"], abs=0.01
    )
    off["data"]["unverified"] = []
    assert document.build(ledger.lines)["times"]["flags_off_at"], "negative control"


def test_a_canary_that_never_came_up_gave_nobody_a_bad_answer(reports: dict[str, dict[str, Any]]) -> None:
    found = by_id(reports["never ready"])
    assert found["bad-to-flags-off"]["status"] == "not measured"
    assert "no user was given a bad answer" in found["bad-to-flags-off"]["statement"]
    assert found["noticed-to-safe"]["value"] == pytest.approx(5.2, abs=0.1)
    assert any("journalctl" in step for step in reports["never ready"]["next_steps"])


def test_after_a_kill_the_next_step_is_to_allow_the_flag() -> None:
    ledger = sample.ramping()
    ledger.add(
        "flag.killed", flag="search", at="2026-11-23T12:00:00Z", by="mia", reason="prices", showed="nobody", hosts=[]
    )
    ledger.add("step.failed", step="ramp", host="app1", task="Watch", error="the flag search was killed")
    sample.back(ledger)
    steps = document.build(ledger.lines)["next_steps"]
    assert any("playbooks/allow_flag.yml -e flag=search, then deploy a new version" in step for step in steps)
    assert not any("The gate did not stop it" in step for step in steps)


def test_a_return_that_was_asked_for_is_told_as_such(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["asked back"]
    assert report["headline"] == "storefront 2.0.0 was rolled back, as ops@controller asked"
    asked = by_id(report)["asked"]
    assert asked["status"] == "shown"
    assert asked["statement"].endswith("after 3 s; every host runs what it ran before, after 22 s")
    assert asked["value"] == {
        "by": "ops@controller",
        "features_off": 3.0,
        "returned": pytest.approx(21.7, abs=0.1),
        "left": [],
    }
    assert {by_id(report)[name]["status"] for name in ("bad-to-flags-off", "bad-to-hosts-back", "certified")} == {
        "not needed"
    }
    assert by_id(report)["certified"]["statement"].endswith(
        "certified at 100 % of the users; the features were turned off for all, as asked"
    )
    assert all(row["status"] != "failed" for row in report["criteria"])
    assert by_id(report)["noticed-to-safe"]["value"] == pytest.approx(3.0, abs=0.1)
    assert report["shares_set"][-1]["percent"] == 0
    assert {row["after"] for row in report["hosts"]} == {"1.0.0"}


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("taken back", "storefront 2.0.0 was rolled back: the gate stopped it at 25 %"),
        ("never ready", "storefront 2.0.0 was rolled back: release failed on app1"),
        ("host lost", "storefront 2.0.0 is neither rolled out nor rolled back on every host: ramp failed on app2"),
    ],
)
def test_the_headline_says_why(reports: dict[str, dict[str, Any]], name: str, headline: str) -> None:
    assert reports[name]["headline"] == headline


def test_a_return_on_request_that_hurt_users_is_a_failure() -> None:
    """The negative control: what was shown to be wrong stays wrong, whoever asked."""
    report = document.build(sample.asked_back(failed=3).lines)
    assert report["gate"]["status"] == "FAIL"
    assert [reason.partition(":")[0] for reason in report["gate"]["reasons"]] == ["requests-failed"]


@pytest.mark.parametrize("reason", ["step.failed", "gate.looked"])
def test_a_return_after_a_failure_was_not_just_asked_for(reason: str) -> None:
    """A person ran rollback.yml because something had failed, or after a gate had said abort to a run that died."""
    ledger = sample.ramping()
    ledger.add(reason, verdict="abort", percent=50, step="ramp", host="app1", task="t", error="e")
    report = document.build(sample.asked_back(ledger).lines)
    assert report["gate"]["status"] == "FAIL"
    assert "asked" not in by_id(report)
    assert "as asked" not in report["headline"]
    assert not any("because somebody asked" in step for step in report["next_steps"])


def test_a_failure_of_an_earlier_try_does_not_make_a_request_a_failure() -> None:
    """A step failed, the rollout was taken up again and finished; later somebody wanted it back."""
    ledger = sample.prepared()
    ledger.add("step.started", step="release")
    ledger.add("step.failed", step="release", host="app1", task="t", error="the network")
    ledger.add("rollout.resumed", holder="ops@other:17")
    for line in sample.completed().lines[len(sample.prepared().lines) :]:
        ledger.add(line["event"], **line["data"])
    report = document.build(sample.asked_back(ledger).lines)
    assert (report["headline"], report["gate"]["status"]) == (
        "storefront 2.0.0 was rolled back, as ops@controller asked",
        "RETURNED",
    )
    assert report["times"]["noticed_at"] == pytest.approx(report["times"]["flags_off_at"] - 3, abs=0.01)


def test_nothing_to_take_back_is_not_the_same_as_not_measured(reports: dict[str, dict[str, Any]]) -> None:
    assert by_id(reports["completed"])["bad-to-flags-off"]["status"] == "not needed"


def test_the_canary_that_went_back_is_the_rehearsal() -> None:
    ledger = sample.prepared()
    rehearsed: dict[str, Any] = {"host": "app1", "seconds": 3.2, "from": sample.AFTER, "to": sample.BEFORE}
    ledger.add("host.rehearsed", **rehearsed)
    claim = claims(ledger)["rehearsal"]
    assert claim["status"] == "shown"
    assert claim["statement"] == "app1 went back to 1.0.0 and was ready in 3 s, before any user saw the new code"
    assert claim["evidence"] == [len(ledger.lines)]


def test_a_first_release_has_nothing_to_go_back_to() -> None:
    ledger = sample.Ledger()
    ledger.add("rollout.started", manifest=sample.MANIFEST, hosts={"app1": None, "app2": None})
    assert claims(ledger)["way-back"]["status"] == "not needed"


def test_a_contract_whose_end_is_not_known_is_no_way_back() -> None:
    here: dict[str, Any] = {"from": "0003"}
    ledger = sample.released(sample.prepared())
    assert "one that it runs on" in claims(ledger)["way-back"]["statement"]
    ledger.add("contract.began", **here)
    assert "the end is not known" in claims(ledger)["way-back"]["statement"]
    ledger.add("contract.ended")
    assert "one that it runs on" in claims(ledger)["way-back"]["statement"]
    ledger.add("contract.began", **here)
    ledger.add("contract.applied", to="0004", **here)
    assert "the schema was contracted" in claims(ledger)["way-back"]["statement"]
