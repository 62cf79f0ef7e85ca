"""The figures of the safety benchmark, on rounds with known results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import safety


def one(kind: str = "errors", **changes: Any) -> dict[str, Any]:
    row = {
        "kind": kind,
        "rate": 60,
        "first_bad": 100.0,
        "noticed_at": 104.0,
        "flags_off_at": 105.0,
        "hosts_back_at": 124.0,
        "interval": 1.0,
        "looks": 2,
        "verdict": "abort",
        "sent": 5000,
        "bad": 9,
        "after_off": 0,
    }
    return {**row, **changes}


def test_a_failure_while_the_features_were_off_is_no_bad_answer_of_theirs() -> None:
    def at(second: int) -> str:
        return f"2026-09-21T14:00:{second:02d}+00:00"

    zero = safety.moment(at(0))
    looked = {"counts": {"since": zero + 20, "until": zero + 25, "interval": 1.0}, "verdict": "abort"}
    lines = [
        {"event": "aa.ended", "time": "2026-09-21T14:00:10Z", "data": {}},
        {"event": "gate.looked", "time": "2026-09-21T14:00:26Z", "data": looked},
    ]
    load = {"failures": [{"time": at(second)} for second in (5, 19, 22, 40)], "sent": 900, "failed": 4, "slow": 7}
    times = {"noticed_at": zero + 26, "flags_off_at": zero + 27, "hosts_back_at": None, "first_bad_at": zero + 21}
    found = safety.row("errors", 60, load, lines, {"times": times})
    assert (found["first_bad"] - zero, found["bad"], found["after_off"]) == (19, 3, 1)
    assert safety.row("slow", 60, load, lines, {"times": times})["bad"] == 7


def results(*rows: dict[str, Any], stages: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"machine": "2 cores", "bake": {"look": 5}, "rows": list(rows), "stages": list(stages)}


def test_spans_are_those_between_the_moments() -> None:
    assert safety.spans([one()]) == {
        "first bad answer to decision": [4.0],
        "decision to off": [1.0],
        "first bad answer to off": [5.0],
        "decision to all hosts back": [20.0],
    }


def test_a_round_that_leaves_the_code_has_no_span_until_the_hosts_are_back() -> None:
    found = safety.spans([one(), one(hosts_back_at=None)])
    assert (len(found["decision to off"]), found["decision to all hosts back"]) == (2, [20.0])
    judged = safety.checks(results(one(hosts_back_at=None)))
    assert (False, "errors, 60/s: decision to all hosts back at most 25 s", "not measured") in judged


def test_a_claim_holds_only_where_its_figures_do() -> None:
    def judged(*rows: dict[str, Any]) -> dict[str, bool]:
        return {claim: holds for holds, claim, _figures in safety.checks(results(*rows))}

    assert all(judged(one()).values())
    assert not all(judged(one(verdict="promote")).values())
    assert not all(judged(one(after_off=1)).values())
    late = judged(one(), one(flags_off_at=120.0), one(flags_off_at=121.0))
    assert late["errors, 60/s: decision to off at most 1.5 s"] is False
    assert judged(one(rate=20, flags_off_at=120.0)).keys() == {
        "errors, 20/s: the gate stops it",
        "errors, 20/s: no request fails after the features are off",
    }


def test_the_page_has_median_least_most_and_number() -> None:
    text = safety.page(
        results(one(), one(flags_off_at=107.0), one(flags_off_at=106.0, hosts_back_at=None), one("slow"))
    )
    assert "| errors | 60 | 4.0 (4.0–4.0; 3) | 2.0 (1.0–3.0; 3) | 6.0 (5.0–7.0; 3) | 20.0 (20.0–20.0; 2) |" in text
    assert "| slow | 60 |" in text
    assert "Not measured." in text


def test_the_page_says_where_a_loop_does_not_abort() -> None:
    decided = [{"loop": "fast", "seconds": 60.0, "bad": 21}, {"loop": "never", "seconds": None, "bad": None}]
    text = safety.page(results(one(), stages=[{"kind": "errors", "rate": 60, "seconds": 390.0, "loops": decided}]))
    assert "| errors | 60 | fast | 60 s | 21 |" in text
    assert "| errors | 60 | never | not within the stage (390 s) | – |" in text


def test_figures_of_other_rates_are_kept_and_those_of_other_settings_are_not(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    begun = safety.kept_of(path, [60])
    assert begun["rows"] == []
    path.write_text(json.dumps({**begun, "rows": [one(), one(rate=20)]}))
    assert [row["rate"] for row in safety.kept_of(path, [60])["rows"]] == [20]
    path.write_text(json.dumps({**begun, "bake": {"look": 99}, "rows": [one(rate=20)]}))
    assert safety.kept_of(path, [60])["rows"] == []
