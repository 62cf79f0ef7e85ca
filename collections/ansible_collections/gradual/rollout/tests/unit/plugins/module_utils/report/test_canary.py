"""What the report says of the first host on the new code, watched before the others followed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.report import document, page, text
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import claims

HEAD = {
    "feature": "release",
    "metric": "errors",
    "kind": "errors",
    "harm": "more",
    "role": "guardrail",
    "weight": 1.0,
    "problem": None,
    "aa": [],
}


def switched(canary: int | None = 20) -> sample.Ledger:
    """A rollout whose first host has the new code."""
    bake = {**sample.MANIFEST["bake"], **({} if canary is None else {"canary": canary})}
    ledger = sample.prepared({"bake": bake})
    ledger.add("step.started", step="release")
    ledger.add("host.drained", 1, host="app1")
    ledger.add("host.admitted", 5, host="app1")
    ledger.add("host.released", 0.2, host="app1", seconds=3.1, **{"from": sample.BEFORE, "to": sample.AFTER})
    return ledger


def watch(ledger: sample.Ledger, bad: int = 0, looks: int = 2) -> str:
    """`looks` looks at app1, 10 s apart, with so many bad answers of 50 in each interval of 2 s; the last verdict."""
    since = ledger.now + 1
    ledger.add("canary.began", 1, host="app1", control=["app2", "app3"], percent=33)
    settings = gate_verdict.settings_from({}, {"min": 20, "max": 60, "deadline": 30, "look": 10})
    verdict = "nothing"
    for number in range(1, looks + 1):
        ledger.now = since + 10 * number
        rows = [[2.0 * place, 50, bad, 100, 1] for place in range(5 * number)]
        counts: dict[str, Any] = {
            "percent": 33,
            "stage": 0,
            "stages": [33],
            "cohorts": "hosts",
            "since": since,
            "until": round(ledger.now, 3),
        }
        counts |= {"interval": 2.0, "problems": [], "metrics": [{**HEAD, "rows": rows}]}
        judged = gate_verdict.judge(counts, settings)
        ledger.add(
            "canary.looked", 0.1, **judged, look=number, host="app1", percent=33, counts=counts, settings=vars(settings)
        )
        verdict = str(judged["verdict"])
    return verdict


def test_a_watch_that_found_no_harm() -> None:
    ledger = switched()
    watch(ledger, looks=1)  # was cut off; the next run begins anew
    verdict = watch(ledger)
    passed = ledger.add("canary.passed", host="app1", verdict=verdict, reason="", seconds=20)
    claim = claims(ledger)["canary"]
    wanted = {
        "host": "app1",
        "control": ["app2", "app3"],
        "looks": 2,
        "verdict": verdict,
        "recomputed": verdict,
        "passed": True,
    }
    assert (claim["status"], claim["value"]) == ("shown", wanted)
    assert claim["statement"].startswith(
        "app1 had the new code first; for 20 s its users were compared with those of app2, app3; the gate looked 2"
        " times and said"
    )
    assert claim["statement"].endswith("the other hosts followed")
    assert claim["evidence"] == list(range(passed["seq"] - 3, passed["seq"] + 1))
    report = document.build(ledger.lines)
    assert claim["statement"] in text.render(report)
    assert claim["statement"].split(";")[0] in page.render(report, {})


def test_a_watch_that_found_harm_is_the_beginning_of_the_return() -> None:
    ledger = switched()
    since = ledger.now + 1
    assert watch(ledger, bad=10, looks=1) == "abort"
    ledger.add(
        "step.failed",
        step="release",
        host="app1",
        task="Stop where users are hurt",
        error="abort of the canary app1: worse",
    )
    ledger.add("step.started", 1, step="rollback")
    ledger.add("host.returned", 9, host="app1", seconds=3.0, **{"from": sample.AFTER, "to": sample.BEFORE})
    ledger.add("return.finished", 1, left=[], reasons=[], hosts_kept=False)
    found = claims(ledger)
    assert (found["canary"]["status"], found["canary"]["value"]["passed"]) == ("shown", False)
    assert "on the new code 20 % of" in found["canary"]["statement"]
    assert found["canary"]["statement"].endswith("no other host followed")
    report = document.build(ledger.lines)
    assert report["times"]["first_bad_at"] == pytest.approx(since, abs=2)
    assert found["bad-to-hosts-back"]["status"] == "shown"
    assert found["bad-to-flags-off"]["statement"] == "not measured: no feature was shown to anybody"
    assert any("the code itself is at fault, not a flag" in step for step in report["next_steps"])


def test_a_watch_that_saw_nothing_says_so() -> None:
    ledger = switched()
    watch(ledger, looks=1)
    ledger.add("step.failed", step="release", host="app1", task="Stop", error="hold of the canary app1: no data")
    assert any("it saw too little" in step for step in document.build(ledger.lines)["next_steps"])


@pytest.mark.parametrize(
    ("seconds", "event", "status", "statement"),
    [
        (20, None, "not measured", "not measured: no host was watched on the new code"),
        (20, "canary.began", "not measured", "not measured: the gate did not look at the first host"),
        (20, "canary.skipped", "not needed", "no other host runs the code before"),
        (0, None, "not needed", "the manifest wants no watch of the first host"),
    ],
)
def test_no_watch_is_no_pass(seconds: int, event: str | None, status: str, statement: str) -> None:
    ledger = switched(seconds)
    if event:
        ledger.add(event, host="app1", control=[], reason="no other host runs the code before")
    claim = claims(ledger)["canary"]
    assert (claim["status"], claim["statement"]) == (status, statement)


def test_a_verdict_that_its_counts_do_not_give_is_found() -> None:
    ledger = switched()
    watch(ledger, bad=10, looks=1)
    data = ledger.lines[-1]["data"]
    ledger.add("canary.looked", **{**data, "verdict": "continue"})
    ledger.add("canary.passed", host="app1", verdict="continue")
    assert claims(ledger)["canary"]["status"] == "failed"


def test_hosts_that_followed_without_a_verdict_are_found() -> None:
    ledger = switched()
    assert watch(ledger, bad=10, looks=1) == "abort"
    ledger.add("canary.passed", host="app1", verdict="abort")
    assert claims(ledger)["canary"]["status"] == "failed"


def test_older_records_make_the_claims_that_they_made() -> None:
    assert "canary" not in claims(switched(None))
