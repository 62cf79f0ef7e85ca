"""The figures of the safety benchmark, on rounds with known results."""

from __future__ import annotations

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
        "looks": 2,
        "verdict": "abort",
        "sent": 5000,
        "bad": 9,
        "after_off": 0,
    }
    return {**row, **changes}


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"machine": "2 cores", "bake": {"look": 5}, "rows": list(rows)}


def test_spans_are_those_between_the_moments() -> None:
    assert safety.spans([one()]) == {
        "first bad answer to decision": [4.0],
        "decision to off": [1.0],
        "first bad answer to off": [5.0],
        "decision to all hosts back": [20.0],
    }


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


def test_the_page_has_median_least_and_most() -> None:
    text = safety.page(results(one(), one(flags_off_at=107.0), one(flags_off_at=106.0), one("slow")))
    assert "| errors | 60 | 3 | 4.0 (4.0–4.0) | 2.0 (1.0–3.0) |" in text
    assert "| slow | 60 | 1 |" in text
