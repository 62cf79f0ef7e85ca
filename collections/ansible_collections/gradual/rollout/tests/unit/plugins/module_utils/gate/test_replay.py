"""Replay: the gate over recorded counts. What it prints to the byte, how it goes through the stages, and how often it
is wrong."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import replay
from ansible_collections.gradual.rollout.plugins.module_utils.gate import settings as gate_settings
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.stats import sequential_test

INTERVAL = 10.0
Json = dict[str, Any]
Look = dict[str, Any] | None


def look(events: int, bad: int, control: int, control_bad: int) -> Look:
    return {"treatment": {"events": events, "bad": bad}, "control": {"events": control, "bad": control_bad}}


def stage(percent: float, looks: list[Look], aa: list[Look] | None = None) -> Json:
    return {"percent": percent, "aa": aa or [], "looks": looks}


def trace(*stages: Json, name: str = "a trace") -> Json:
    return {"name": name, "stages": list(stages)}


def judged(*stages: Json, settings: Settings | None = None, **given: float) -> Json:
    return replay.judge_trace(trace(*stages), INTERVAL, settings or replay.settings_of(given))


GOOD, ALSO_GOOD = [look(250, 2, 750, 6)] * 40, [look(500, 4, 500, 4)] * 40
EVERYBODY = [look(1000, 8, 0, 0)] * 40
BAD = [look(250, 30, 750, 6)] * 9

GOLDEN = [
    trace(stage(25, GOOD), stage(50, ALSO_GOOD), stage(100, EVERYBODY), name="good"),
    trace(stage(25, GOOD), stage(50, [look(500, 4, 500, 4), None, *[look(500, 40, 500, 4)] * 3]), name="bad at 50 %"),
    trace(stage(25, [None, None]), name="nothing seen"),
]
PRINTED = """\
{"name": "good", "verdict": "promote", "stage": 100, "look": 2, "bad_served": 54, "e_value": 1.0, "reason": "good bad \
with the feature 0.8 % of 2,000: before this stage it was 0.8 % of 6,000, so it is less than 2 times as bad (90 % \
sure); nobody is left without the feature to compare with"}
{"name": "bad at 50 %", "verdict": "abort", "stage": 50, "look": 3, "bad_served": 58, "e_value": 3488.59, "reason": \
"bad at 50 % bad with the feature 4.4 % of 1,000, without it 0.8 % of 1,000: at least 1.6 times worse, the chance of \
saying so of a harmless release is under 5 %"}
{"name": "nothing seen", "verdict": "hold", "stage": 25, "look": 2, "bad_served": 0, "e_value": 0.9, "reason": \
"nothing seen bad with the feature no requests, without it no requests: no data"}
"""


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Priors that are only here, so that what is printed does not change with the tuning."""
    harmful, harmless = ((1.6, 0.4), (2.4, 0.4), (8.0, 0.2)), ((0.5, 0.5), (0.65, 0.3), (0.3, 0.2))
    priors = {
        name: sequential_test.Alternative(ratios, ratios, math.log(4))
        for name, ratios in (("HARMFUL", harmful), ("HARMLESS", harmless))
    }
    for name, value in {**priors, "FROM_THE_START": 0.9, "LATE_STARTS": ()}.items():
        monkeypatch.setattr(sequential_test, name, value)
    monkeypatch.setattr(gate_settings, "FIRST_STAGE", 0.9)


def run(tmp_path: Path, document: Any, gate: str | None = None, name: str = "gate.yml") -> int:
    counts = tmp_path / "counts.json"
    counts.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    if gate is not None:
        (tmp_path / name).write_text(gate, encoding="utf-8")
    return replay.main([str(counts)] if gate is None else [str(counts), str(tmp_path / name)])


@pytest.mark.usefixtures("untuned")
def test_one_line_a_trace_to_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"interval_seconds": 10, "traces": GOLDEN}
    for _time in range(2):
        assert run(tmp_path, document) == 0
        told = capsys.readouterr()
        assert told.out == PRINTED
        assert told.err == ""


def test_traces_do_not_know_of_each_other() -> None:
    settings = replay.settings_of({})
    before = copy.deepcopy(GOLDEN)
    forwards = list(replay.lines({"interval_seconds": 10, "traces": GOLDEN}, settings))
    assert list(replay.lines({"interval_seconds": 10, "traces": GOLDEN[::-1]}, settings)) == forwards[::-1]
    assert before == GOLDEN


def test_bad_events_count_up_to_the_deciding_look_over_all_stages() -> None:
    found = judged(stage(25, GOOD), stage(50, [look(500, 60, 500, 4)] * 9))
    assert found["bad_served"] == 2 * found["looks"][0] + 60 * found["looks"][1]
    assert (found["verdict"], found["stage"], found["look"]) == ("abort", 50, found["looks"][1])


def test_looks_run_out() -> None:
    found = judged(stage(25, [look(25, 0, 75, 0)] * 4), stage(50, ALSO_GOOD))
    assert (found["verdict"], found["stage"], found["look"], found["bad_served"]) == ("hold", 25, 4, 0)
    nothing = judged(stage(25, GOOD), stage(50, []))
    assert (nothing["verdict"], nothing["stage"], nothing["look"]) == ("hold", 50, 0)
    assert judged(stage(25, GOOD[:1]))["verdict"] == "hold"


def test_a_hold_in_between_ends_when_it_is_over() -> None:
    """Nothing seen for five looks, then the decision that it would have been."""
    found = judged(stage(25, [*GOOD[:2], *[None] * 5, *GOOD]))
    assert (found["verdict"], found["look"]) == ("promote", judged(stage(25, GOOD))["look"] + 5)
    assert judged(stage(25, [*GOOD[:2], *[None] * 5]))["reason"].endswith("the newest 5 intervals were not seen")


def test_no_stage_ends_before_the_shortest_bake() -> None:
    assert judged(stage(25, GOOD))["look"] < 20
    assert judged(stage(25, GOOD), min=200.0, max=900.0)["look"] == 20
    assert judged(stage(25, BAD), min=200.0, max=900.0)["verdict"] == "abort"


def test_what_the_aa_stage_saw_counts() -> None:
    heavy = [look(250, 10, 750, 6)] * 40
    assert judged(stage(25, heavy))["verdict"] == "abort"
    assert judged(stage(25, heavy, aa=[*heavy, None]))["verdict"] == "promote"
    assert judged(stage(25, BAD, aa=GOOD))["verdict"] == "abort"


def test_at_100_percent_the_certified_stage_before_is_compared_with_or_a_control_that_was_kept() -> None:
    worse = [look(1000, 40, 0, 0)] * 40
    assert judged(stage(25, GOOD), stage(100, EVERYBODY))["verdict"] == "promote"
    assert judged(stage(25, GOOD), stage(100, worse))["verdict"] == "hold"
    assert judged(stage(100, EVERYBODY))["verdict"] == "hold"
    assert judged(stage(100, EVERYBODY), harmless_share=0.02)["verdict"] == "promote"
    kept = [look(9000, 180, 1000, 5)] * 40
    assert judged(stage(25, GOOD), stage(100, kept, aa=[look(9000, 45, 1000, 5)] * 40))["verdict"] == "abort"


def test_without_a_control_a_look_may_leave_it_out() -> None:
    left_out: list[Look] = [
        {"treatment": {"events": 1000, "bad": 8}},
        {"treatment": {"events": 1000, "bad": 8}, "control": None},
    ] * 20
    assert judged(stage(25, GOOD), stage(100, left_out)) == judged(stage(25, GOOD), stage(100, EVERYBODY))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alpha: 0.01\nharmless_share: 0.02\n", "gate.yml"),
        ('{"alpha": 0.01, "harmless_share": 0.02}', "gate.json"),
        (
            (
                "application: storefront\nstages: [25, 100]\ngate: {alpha: 0.01, harmless_share: 0.02, holdback: 5,"
                " metrics: []}\n"
            ),
            "manifest.yml",
        ),
        ('{"gate": {"alpha": 0.01, "harmless_share": 0.02}, "bake": {"aa": 60, "expiry": 300}}', "manifest.json"),
        ("gate: {alpha: 0.01, harmless_share: 0.02}\nbake:\n", "manifest.yml"),
    ],
)
def test_a_gate_file_is_a_manifest_or_its_keys_as_yaml_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, name: str
) -> None:
    expected = gate_settings.settings_from({"alpha": 0.01, "harmless_share": 0.02}, {"min": 1e-9, "max": 1e9})
    wanted = json.dumps(
        {key: replay.judge_trace(trace(stage(100, EVERYBODY)), INTERVAL, expected)[key] for key in replay.KEYS},
        ensure_ascii=False,
    )
    assert run(tmp_path, {"interval_seconds": 10, "traces": [trace(stage(100, EVERYBODY))]}, text, name) == 0
    assert capsys.readouterr().out == f"{wanted}\n"


@pytest.mark.usefixtures("untuned")
def test_an_empty_gate_file_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"interval_seconds": 10, "traces": GOLDEN}
    assert run(tmp_path, document, "# nothing yet\n") == 0
    assert capsys.readouterr().out == PRINTED


def test_the_bake_of_a_manifest_counts() -> None:
    assert replay.settings_of({"bake": {"min": 30, "max": 60}}) == gate_settings.settings_from(
        {}, {"min": 30, "max": 60}
    )
    assert replay.settings_of({"max": 900}).min == Settings().min


def poisson(dice: random.Random, mean: float) -> int:
    count, product, least = 0, dice.random(), math.exp(-mean)
    while product > least:
        count, product = count + 1, product * dice.random()
    return count


def drawn(dice: random.Random, ratio: float, looks: int) -> list[Look]:
    return [look(300, poisson(dice, 1.2 * ratio), 900, poisson(dice, 3.6)) for _look in range(looks)]


@pytest.mark.parametrize("calibrated", [True, False], ids=["A/A", "alone"])
def test_false_stops_at_the_tolerated_ratio_stay_under_alpha(calibrated: bool) -> None:
    """Two stages of 20 looks each, stopped no oftener than said of a release that is as bad as is tolerated; three
    times as bad mostly is."""
    dice, settings, stopped = random.Random(20), replay.settings_of({}), {}
    for ratio, runs in ((1.25, 300), (3.0, 40)):
        stages = (
            [stage(25, drawn(dice, ratio, 20), drawn(dice, 1.0, 20) if calibrated else []) for _stage in range(2)]
            for _run in range(runs)
        )
        stopped[ratio] = sum(judged(*each, settings=settings)["verdict"] == "abort" for each in stages) / runs
    assert 0 < stopped[1.25] <= settings.alpha + 3 * math.sqrt(settings.alpha * (1 - settings.alpha) / 300)
    assert stopped[3.0] > 0.9
