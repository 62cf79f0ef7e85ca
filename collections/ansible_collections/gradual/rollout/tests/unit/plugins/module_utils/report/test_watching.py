"""What the report says of the A/A stage and of users who were held back, and that it says nothing of them where there
were none."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import document, page, text
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import claims

WATCHED = {"bake": {**sample.MANIFEST["bake"], "aa": 300}, "gate": {"holdback": 5}}


def ramping(changes: dict[str, Any] | None = None) -> sample.Ledger:
    """A rollout whose ramp begins."""
    ledger = sample.released(sample.prepared(WATCHED if changes is None else changes))
    ledger.add("step.started", step="ramp")
    return ledger


def watch(ledger: sample.Ledger, ended: bool = True) -> sample.Ledger:
    since = ledger.now + 1
    ledger.add("aa.began", 1, since=since, until=since + 300, variants=["aa25", "aa50", "aa95"])
    if ended:
        ledger.add("aa.ended", 300.5, since=since, until=since + 300.2)
    return ledger


def show(ledger: sample.Ledger, percent: int, shown: int, seen: float, certify: bool = True) -> sample.Ledger:
    """A stage at which `seen` of the users were measured."""
    ledger.add("stage.set", 1, percent=percent, shown=shown, expiry=1, revision=7)
    processes = [{"pid": 1, "flag": flag, "revision": 7, "share": seen} for flag in sample.FEATURES]
    ledger.add("stage.verified", percent=percent, shown=shown, revision=7, hosts={"app1": processes})
    features = {flag: {"users": 4000, "on": round(4000 * seen), "share": seen} for flag in sample.FEATURES}
    ledger.add("stage.measured", 5, percent=percent, shown=shown, features=features, lost=0)
    if certify:
        ledger.add("stage.certified", 30, percent=percent)
    return ledger


def test_when_and_for_how_long_the_users_were_watched() -> None:
    ledger = watch(watch(ramping(), ended=False))
    claim = claims(ledger)["aa"]
    assert (claim["status"], claim["value"]["seconds"], claim["value"]["variants"]) == (
        "shown",
        300.2,
        ["aa25", "aa50", "aa95"],
    )
    assert claim["statement"].startswith(
        "for 5 min before the first stage the users of all stages (aa25, aa50, aa95 and the rest)"
    )
    assert claim["evidence"] == [ledger.lines[-2]["seq"], ledger.lines[-1]["seq"]]
    report = document.build(ledger.lines)
    assert claim["statement"] in text.render(report)
    assert claim["statement"] in page.render(report, {})


@pytest.mark.parametrize(
    ("ledger", "status"),
    [
        (ramping(), "not measured"),
        (watch(ramping(), ended=False), "not measured"),
        (ramping({**WATCHED, "bake": {**WATCHED["bake"], "aa": 0}}), "not needed"),
        (ramping({**WATCHED, "stages": [100], "gate": {}}), "not needed"),
        (ramping({**WATCHED, "stages": [100]}), "not measured"),
    ],
)
def test_what_was_not_watched_to_its_end_is_not_measured(ledger: sample.Ledger, status: str) -> None:
    assert claims(ledger)["aa"]["status"] == status


def test_older_records_make_the_claims_that_they_made() -> None:
    """A report is checked by making its claims again: a record from before there was an A/A stage must not make more of
    them."""
    assert {"aa", "holdback"} & set(claims(ramping({}))) == set()


def test_users_who_are_held_back_are_no_wrong_share() -> None:
    ledger = show(show(watch(ramping()), 50, 50, 0.5), 100, 95, 0.95)
    found = claims(ledger)
    assert (found["share-50"]["status"], found["share-100"]["status"], found["verified-100"]["status"]) == (
        "shown",
        "shown",
        "shown",
    )
    assert (found["holdback"]["status"], found["holdback"]["value"]) == ("shown", {"percent": 5, "ended": True})
    assert [row["percent"] for row in document.build(ledger.lines)["shares_set"]] == [50, 95, 100]
    everybody = claims(show(watch(ramping()), 100, 95, 1.0))
    assert everybody["share-100"]["status"] == "failed"


def test_a_holdback_that_was_not_kept_is_told() -> None:
    assert claims(show(watch(ramping()), 100, 100, 1.0))["holdback"]["status"] == "failed"
    assert claims(show(watch(ramping()), 50, 50, 0.5))["holdback"]["status"] == "not measured"
    assert claims(show(watch(ramping()), 100, 95, 0.95, certify=False))["holdback"]["value"] == {
        "percent": 5,
        "ended": False,
    }


def looked(*looks: tuple[str, str, list[str] | None]) -> str:
    """What the report says of the looks at 25 %, each (verdict, reason, notes or None for a record from before there
    were any)."""
    ledger = ramping()
    ledger.add("stage.set", percent=25)
    for verdict, reason, notes in looks:
        counts = {"metrics": []} if notes is None else {"metrics": [], "notes": notes}
        ledger.add("gate.looked", 10, percent=25, verdict=verdict, reason=reason, counts=counts, settings={})
    return str(claims(ledger)["gate-25"]["statement"])


def test_holds_and_gaps_that_are_over_are_told() -> None:
    told = looked(
        ("hold", "nobody answers", []),
        ("hold", "all is slow", []),
        ("promote", "all is well", ["no samples for a while"]),
    )
    assert (
        "said promote: all is well. Before that it held 2 times, at last because all is slow. no samples for a while"
        in told
    )


def test_the_last_hold_is_not_told_twice_and_older_records_keep_their_words() -> None:
    assert "Before that" not in looked(("continue", "young", []), ("hold", "nobody answers", []))
    assert "Before that" not in looked(("hold", "nobody answers", None), ("promote", "all is well", None))
