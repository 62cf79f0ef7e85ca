"""The runner, on gates whose decisions are known beforehand."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench import checks, rendering, summary, tables
from tests.bench.decisions import Decisions, cost, decide, quantile
from tests.bench.methods import BASELINES, LIMIT, OURS, TITLES
from tests.bench.traffic import SCENARIOS, Batch, Shape, simulate

SHAPE = Shape(interval=10.0, aa_looks=5, looks=20)


def batch(name: str) -> Batch:
    return simulate(SCENARIOS[name], 1000.0, 50, shape=SHAPE)


def decided(verdict: str, *looks: int) -> Decisions:
    return Decisions(np.full(50, verdict), np.tile(np.array(looks), (50, 1)))


def test_looks_spent_before_the_last_stage_are_found_by_cutting_the_trace_off() -> None:
    def how(trace: Any, interval: float) -> dict[str, Any]:
        """Leaves the first stage at look 7 and stops in the second at look 3."""
        assert interval == 10.0
        return (
            {"verdict": "promote", "stage": 25, "look": 7}
            if len(trace["stages"]) == 1
            else {"verdict": "abort", "stage": 50, "look": 3}
        )

    seen = decide(batch("no-change"), how)
    assert set(seen.verdict) == {"abort"}
    assert seen.looks.tolist() == [[7, 3]] * 50
    told = decide(
        batch("no-change"), lambda _trace, _interval: {"verdict": "abort", "stage": 50, "look": 3, "looks": [9, 3]}
    )
    assert told.looks.tolist() == [[9, 3]] * 50


def test_bad_requests_are_those_up_to_the_decision_and_what_follows_from_it() -> None:
    traces = batch("errors-10")
    first, second = (phase.counts for phase in traces.stages)
    until = first[:, :7, 1].sum(axis=1) + second[:, :3, 1].sum(axis=1)
    stopped = cost(traces, decided("abort", 7, 3))
    assert stopped.bad.tolist() == until.tolist() == stopped.bad_to_the_end.tolist()
    assert stopped.looks.tolist() == [10] * 50
    held = cost(traces, decided("hold", 7, 0))
    assert held.bad_to_the_end == pytest.approx(first[:, :7, 1].sum(axis=1) + 33 * first[:, :, 1].mean(axis=1))
    promoted = cost(traces, decided("promote", 7, 3))
    everybody = second[:, :, [0, 2]].sum(axis=(1, 2)) / 20 * second[:, :, 1].sum(axis=1) / second[:, :, 0].sum(axis=1)
    assert promoted.bad_to_the_end == pytest.approx(until + 30 * everybody)


def test_looks_count_from_when_the_harm_began_in_the_ramp_that_the_gate_led() -> None:
    assert cost(batch("errors-10-second"), decided("abort", 7, 3)).since_harm.tolist() == [3] * 50
    late = batch("errors-10-late")
    began = late.stages[0].began
    assert cost(late, decided("abort", 20, 0)).since_harm.tolist() == (20 - began).tolist()
    # Who left the first stage before the harm began meets it at the start of the second.
    assert cost(late, decided("abort", 2, 4)).since_harm.tolist() == [4] * 50


def test_a_median_counts_those_who_never_got_there() -> None:
    looks = np.arange(1, 11)
    assert quantile(looks, looks <= 10, 0.5) == 5
    assert quantile(looks, looks > 5, 0.5) == 10
    assert quantile(looks, looks > 6, 0.5) is None


def test_the_range_of_a_share_is_wilsons() -> None:
    """Brown, Cai and DasGupta (2001): 0 of 50 is at most 7.1 %."""
    assert summary.interval(0, 50) == [0.0, 0.07135]
    assert summary.interval(25, 50) == pytest.approx([0.366, 0.634], abs=0.001)


def results() -> dict[str, Any]:
    """Results in which all holds: ours stops harm at look 3, Wald at 2, and nobody stops anything harmless but Argo
    with failureLimit 0."""
    cells = []
    for name in ("no-change", "errors-2", "errors-3", "errors-10"):
        scenario = SCENARIOS[name]
        for rate in (1.0, 10.0, 100.0, 1000.0):
            traces = simulate(scenario, rate, 50, shape=SHAPE)
            gates = {}
            for gate in TITLES:
                harmless = decided("abort" if gate == "argo-0" else "promote", 5, 5)
                seen = harmless if scenario.harmless else decided("abort", {OURS: 3, LIMIT: 2}.get(gate, 20), 0)
                gates[gate] = summary.figures(seen, cost(traces, seen))
            of_scenario = {
                "harmless": scenario.harmless,
                "margin": scenario.margin,
                "check": scenario.check,
                "title": scenario.title,
            }
            cells.append(
                {"scenario": name, "rate": rate, "base": traces.share, "traces": 1000, **of_scenario, "gates": gates}
            )
            cells[-1].update({"interval": 10.0, "aa_looks": 5, "looks": 20})
    return {"seed": 1, "gates": list(TITLES), "curve": summary.CURVE, "cells": cells}


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return results()


def failed(seen: dict[str, Any]) -> list[str]:
    return [each.what for each in checks.check(seen) if each.holds is False]


def test_all_hold(good: dict[str, Any]) -> None:
    judged = checks.check(good)
    assert all(each.holds for each in judged)
    assert checks.lines(judged)[-1] == f"{len(judged)} of {len(judged)} hold"


@pytest.mark.parametrize(
    ("scenario", "gate", "change", "claim"),
    [
        ("no-change", OURS, {"stopped": 0.06}, "false stops ≤ 5%: no-change"),
        ("errors-2", OURS, {"certified": 0.11}, "false certification ≤ 10%: errors-2 10/s, base 0.3 %"),
        (
            "errors-3",
            OURS,
            {"bad_to_the_end": {"mean": 1e6}},
            "bad requests ≤ 1/3 of the best such baseline's: errors-3 10/s, base 0.3 %",
        ),
        ("errors-3", OURS, {"looks_stopped": {"median": 4}}, "median looks ≤ 1.5 × Wald's: errors-3 10/s, base 0.3 %"),
        (
            "errors-10",
            OURS,
            {"looks_stopped": {"median": None}},
            "median looks ≤ 1.5 × Wald's: errors-10 10/s, base 0.3 %",
        ),
    ],
)
def test_what_does_not_hold_is_said(
    good: dict[str, Any], scenario: str, gate: str, change: dict[str, Any], claim: str
) -> None:
    bad = copy.deepcopy(good)
    next(cell for cell in bad["cells"] if cell["scenario"] == scenario and cell["rate"] == 10)["gates"][gate].update(
        change
    )
    assert failed(bad) == [claim]


def test_a_baseline_that_stops_good_releases_is_no_measure(good: dict[str, Any]) -> None:
    def rule(stopped: dict[tuple[str, float], float]) -> str:
        bad = copy.deepcopy(good)
        for cell in bad["cells"]:
            for name in BASELINES:
                if cell["harmless"]:
                    cell["gates"][name]["stopped"] = stopped.get((name, cell["rate"]), 0.5)
        assert not failed(bad)
        return next(
            each.figures
            for each in checks.check(bad)
            if each.what.startswith("bad requests") and "errors-3 10/s" in each.what
        )

    assert "of Flagger, the best that keeps them everywhere" in rule(
        {("flagger", rate): 0.01 for rate in (1.0, 10.0, 100.0, 1000.0)}
    )
    assert "of Kayenta, the best that keeps them at this rate" in rule({("kayenta", 10.0): 0.01})
    assert "of Argo, failureLimit 3, which stops the fewest at this rate, up to 6.0%" in rule({("argo-3", 10.0): 0.06})


FILES = ("power.png", "false-stops.png", "cells.csv", "claims.csv")


def test_the_page_is_made_from_the_results_alone_and_always_the_same(good: dict[str, Any], tmp_path: Path) -> None:
    texts = []
    for folder in (tmp_path / "a" / "bench", tmp_path / "b" / "bench"):
        rendering.render(json.loads(tables.compact(good, "cells")), folder)
        texts.append([folder.with_name("bench.md").read_bytes(), *((folder / name).read_bytes() for name in FILES)])
    assert texts[0] == texts[1]
    page = texts[0][0].decode()
    assert "![Power against time](bench/power.png)" in page
    assert "| Argo, failureLimit 0 | 100.0 % | 100.0 % | 100.0 % | 100.0 % | no change, 1/s, base 0.3 % |" in page
    assert "| **ours** | 0.0 % | 0.0 % | 0.0 % | 0.0 % |" in page
    assert "\n| false stops ≤ 5% | 1 | 0 | 0 |\n" in page
    assert "These claims do not hold" not in page


def test_the_page_names_every_claim_that_does_not_hold(good: dict[str, Any], tmp_path: Path) -> None:
    bad = copy.deepcopy(good)
    bad["cells"][1]["gates"][OURS]["stopped"] = 0.06
    rendering.render(bad, tmp_path / "bench")
    page = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "\n| false stops ≤ 5% | 0 | 1 | 0 |\n" in page
    assert "\n| false stops ≤ 5%: no-change | at most 6.00%" in page.split("These claims do not hold")[1]


def test_the_data_beside_the_page_hold_every_figure_of_every_cell(good: dict[str, Any], tmp_path: Path) -> None:
    rendering.render(good, tmp_path / "bench")
    with (tmp_path / "bench" / "cells.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    wanted = [(cell, name, cell["gates"][name]) for cell in good["cells"] for name in TITLES]
    assert len(found) == len(wanted)
    for row, (cell, name, gate) in zip(found, wanted):
        assert (row["scenario"], float(row["requests_per_second"]), float(row["base"]), row["gate"]) == (
            cell["scenario"],
            cell["rate"],
            cell["base"],
            TITLES[name],
        )
        assert int(row["ramps"]) == cell["traces"]
        assert [float(row[key]) for key in ("stopped", "certified", "held")] == [
            gate[key] for key in ("stopped", "certified", "held")
        ]
        for key in ("stopped", "certified"):
            assert [float(row[f"{key}_low"]), float(row[f"{key}_high"])] == gate[f"{key}_range"]
        for key in ("looks_stopped", "looks_certified", "bad", "bad_to_the_end"):
            assert {part: float(row[f"{key}_{part}"] or "nan") for part in gate[key]} == pytest.approx(
                {part: float("nan") if value is None else value for part, value in gate[key].items()}, nan_ok=True
            )
    with (tmp_path / "bench" / "claims.csv").open(encoding="utf-8", newline="") as stream:
        claims = list(csv.DictReader(stream))
    assert [(row["claim"], row["figures"]) for row in claims] == [
        (each.what, each.figures) for each in checks.check(good)
    ]
    assert {row["state"] for row in claims} == {"holds"}


def test_the_committed_page_and_data_are_those_of_the_committed_results(tmp_path: Path) -> None:
    committed = Path(__file__).resolve().parents[2] / "docs" / "bench-gates"
    rendering.render(json.loads((committed / "results.json").read_text(encoding="utf-8")), tmp_path / "bench-gates")
    for made in (
        tmp_path / "bench-gates.md",
        *((tmp_path / "bench-gates" / name) for name in ("cells.csv", "claims.csv")),
    ):
        assert made.read_text(encoding="utf-8") == (committed.parent / made.relative_to(tmp_path)).read_text(
            encoding="utf-8"
        )
