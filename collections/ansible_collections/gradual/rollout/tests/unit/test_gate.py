"""The verdict: a table of looks, and that no counts whatever turn no data into a pass."""

from __future__ import annotations

import json
import random
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils import gate
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

BAKE = {"min": 20, "max": 120, "look": 10}
SETTINGS = gate.settings_from({}, BAKE)
Rows = list[t.Any]


def rows(count: int, treatment: tuple[int, int], control: tuple[int, int], start: int = 0) -> Rows:
    return [[2 * (start + k), *treatment, *control] for k in range(count)]


def counts(errors: Rows, slow: Rows | None = None, percent: int = 25, elapsed: float = 60, **more: t.Any) -> dict[str, t.Any]:
    metrics = [
        {"feature": "search", "metric": "errors", "problem": None, "rows": errors},
        {"feature": "search", "metric": "slow", "problem": None, "rows": errors if slow is None else slow},
    ]
    return {"percent": percent, "since": 1000.0, "until": 1000.0 + elapsed, "interval": 2.0, "stages": 2, "problems": [], "metrics": metrics, **more}


GOOD = rows(30, (25, 0), (75, 0))
ERRING = rows(10, (25, 3), (75, 0))
LITTLE = rows(5, (100, 1), (300, 0)) + rows(2, (100, 0), (300, 1), 5) + rows(13, (100, 0), (300, 0), 7)
BOTH_BAD = rows(10, (25, 10), (75, 30))
BASE = rows(3, (250, 3), (750, 9))


LOOKS: list[tuple[str, dict[str, t.Any], str, str]] = [
    ("harmless, enough requests", counts(GOOD), "promote", "under 0.44 % (95 % sure)"),
    ("harmless, too early", counts(GOOD, elapsed=19), "continue", "1 s of the shortest bake"),
    ("nobody comes", counts(rows(5, (0, 0), (75, 0)), elapsed=30), "continue", "50 requests are needed on each side"),
    ("nobody ever came", counts(rows(5, (0, 0), (75, 0)), elapsed=121), "hold", "no decision after 120 s"),
    ("nobody is left without it at 25 %", counts(rows(30, (100, 0), (0, 0))), "continue", "on each side"),
    ("errors with the feature", counts(ERRING, GOOD), "abort", "times worse"),
    ("slow with the feature", counts(GOOD, ERRING), "abort", "slow answers with the feature 12 % of 250"),
    ("errors while others have no data", counts(ERRING, None, problems=["app3 has not been scraped for 30 s"]), "abort", "times worse"),
    ("the same errors in both arms", counts(BASE, GOOD), "continue", "still possible"),
    ("the same errors in both arms for long", counts(rows(400, (250, 3), (750, 9)), GOOD), "promote", "less than 2 times as bad"),
    ("little harm that looks like harm", counts(LITTLE, GOOD), "continue", "but the figures speak for harm"),
    ("both arms broken", counts(BOTH_BAD, GOOD), "hold", "something else is wrong"),
    ("both arms broken once, then mended", counts(BOTH_BAD + rows(60, (250, 0), (750, 0), 10), GOOD), "promote", "sure"),
    ("hard limit at 100 %", counts(rows(3, (100, 30), (0, 0)), rows(3, (100, 0), (0, 0)), percent=100), "abort", "hard limit of 20 % twice in a row"),
    ("hard limit once", counts(rows(1, (100, 30), (0, 0)), rows(3, (100, 0), (0, 0)), percent=100, elapsed=5), "continue", "still be"),
    ("hard limit, few requests an interval", counts(rows(20, (2, 1), (0, 0)), rows(3, (100, 0), (0, 0)), percent=100), "abort", "hard limit"),
    ("100 % harmless", counts(rows(30, (100, 0), (0, 0)), percent=100), "promote", "nobody is left without"),
    ("100 % with some errors", counts(rows(30, (100, 2), (0, 0)), rows(30, (100, 0), (0, 0)), percent=100), "continue", "may still be"),
    ("no rows, young", counts([], elapsed=4), "continue", "no full interval yet"),
    ("no rows", counts([]), "hold", "no data"),
    ("no rows of one metric", counts(GOOD, []), "hold", "search slow answers with the feature no requests, without it no requests: no data"),
    ("an interval not seen", counts([*GOOD, None]), "hold", "1 intervals were not seen"),
    ("a host not seen", counts(GOOD, problems=["app3 has not been scraped for 30 s"]), "hold", "app3"),
    ("no metric", counts(GOOD, metrics=[]), "hold", "no metric"),
    ("more bad ones than requests", counts([[0, 5, 6, 75, 0], *GOOD]), "hold", "make no sense"),
    ("not a number", counts([[0, float("nan"), 0, 75, 0], *GOOD]), "hold", "make no sense"),
    ("nothing at all", {}, "hold", "no metric"),
]


@pytest.mark.parametrize(("seen", "verdict", "word"), [look[1:] for look in LOOKS], ids=[look[0] for look in LOOKS])
def test_verdict(seen: dict[str, t.Any], verdict: str, word: str) -> None:
    result = gate.judge(seen, SETTINGS)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


def test_one_missing_series_holds_and_says_which() -> None:
    seen = counts(GOOD)
    seen["metrics"][1]["problem"] = 'no series feature_request_duration_seconds_bucket{feature="search",variant="on"} on app2'
    result = gate.judge(seen, SETTINGS)
    assert result["verdict"] == "hold"
    assert "on app2" in result["reason"]


@pytest.mark.parametrize(("elapsed", "passed"), [(60, False), (179, False), (180, True)])
def test_a_hold_has_a_deadline(elapsed: float, passed: bool) -> None:
    result = gate.judge(counts(GOOD, problems=["Prometheus does not answer"], elapsed=elapsed), SETTINGS)
    assert (result["verdict"], result["deadline_passed"]) == ("hold", passed)


def test_the_first_bad_answer_is_dated_by_the_start_of_its_interval() -> None:
    result = gate.judge(counts(rows(5, (25, 0), (75, 1)) + rows(5, (25, 2), (75, 0), 5), GOOD), SETTINGS)
    assert result["first_bad_at"] == 1010.0
    assert [metric["first_bad_at"] for metric in result["metrics"]] == [1010.0, None]


def test_alpha_is_shared_by_metrics_and_stages() -> None:
    assert {metric["alpha"] for metric in gate.judge(counts(GOOD), SETTINGS)["metrics"]} == {0.05 / 2 / 2}


@pytest.mark.parametrize(("ratio", "base", "least", "most"), [(2.0, 0.03, 0.0, 0.10), (1.0, 0.03, 0.8, 1.0), (1.0, 0.001, 0.95, 1.0)])
def test_harm_at_the_margin_is_seldom_certified_and_a_good_release_mostly(ratio: float, base: float, least: float, most: float) -> None:
    """60 looks at 20 requests a second: wrongly certified with a chance under certify_alpha, however often one looks."""
    chance = random.Random(7)
    certified = 0
    for _run in range(60):
        history: Rows = []
        for second in range(0, 600, 10):
            arms = [(requests, sum(chance.random() < share for _request in range(requests))) for requests, share in ((50, base * ratio), (150, base))]
            history += [[second, *arms[0], *arms[1]]]
            seen = counts(history, elapsed=second + 10)
            seen["metrics"].pop()
            verdict = gate.judge(seen, gate.settings_from({}, {**BAKE, "max": 900}))["verdict"]
            if verdict in ("promote", "abort"):
                certified += verdict == "promote"
                break
    assert least <= certified / 60 <= most


def test_an_offset_between_the_arms_that_was_there_before_is_no_harm() -> None:
    seen = counts(rows(40, (250, 6), (750, 7)), GOOD)
    assert gate.judge(seen, SETTINGS)["verdict"] == "abort"
    seen["metrics"][0]["offset"] = 2.6
    assert gate.judge(seen, SETTINGS)["verdict"] == "promote"


@pytest.mark.parametrize(
    ("before", "verdict", "word"),
    [
        ({"events": 3000, "bad": 120}, "promote", "before this stage it was 4 % of 3,000, so it is less than 2 times as bad (95 % sure); nobody is left"),
        ({"events": 3000, "bad": 30}, "continue", "before this stage it was 1 % of 3,000"),
        ({"events": 30, "bad": 2}, "continue", "before this stage it was 6.7 % of 30"),
        ({"events": 30, "bad": 60}, "continue", "nothing is known of the time before"),
        (None, "continue", "nothing is known of the time before"),
    ],
)
def test_at_100_percent_the_time_before_can_certify_but_never_abort(before: dict[str, int] | None, verdict: str, word: str) -> None:
    seen = counts(rows(30, (100, 4), (0, 0)), rows(30, (100, 0), (0, 0)), percent=100)
    seen["metrics"][0]["before"] = before
    result = gate.judge(seen, SETTINGS)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


def test_a_recorded_look_gives_its_verdict_again() -> None:
    seen = counts(ERRING, GOOD)
    result = gate.judge(seen, SETTINGS)
    recorded = json.loads(json.dumps({**result, "counts": seen, "settings": vars(SETTINGS)}))
    assert gate.judge_again(recorded) == result
    recorded["counts"]["metrics"][0]["rows"][0][2] = 0
    assert gate.judge_again(recorded) != result
    with pytest.raises(gate.GateError, match="no counts"):
        gate.judge_again({"verdict": "promote"})


@pytest.mark.parametrize(
    ("given", "bake", "message"),
    [
        ({"alpha": 0}, BAKE, "alpha is 0; write a number between 0 and 1"),
        ({"alpha": "0.05"}, BAKE, "alpha is '0.05'; write a number"),
        ({"harmless_share": float("nan")}, BAKE, "harmless_share is nan"),
        ({"tolerated_ratio": 0.5}, BAKE, "tolerated_ratio is 0.5; write 1 or more"),
        ({"margin": 1.2}, BAKE, "margin is 1.2; write more than tolerated_ratio"),
        ({}, {"min": 60, "max": 30}, "min is 60 and max 30"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, t.Any], bake: dict[str, t.Any], message: str) -> None:
    with pytest.raises(gate.GateError) as error:
        gate.settings_from(given, bake)
    assert message in str(error.value)


anything = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(), st.text(max_size=3), st.lists(st.integers(0, 9), max_size=6))
hostile_row = st.one_of(anything, st.lists(anything, min_size=4, max_size=6), st.tuples(*[st.integers(0, 10**6)] * 5).map(list))


@given(st.lists(hostile_row, max_size=8), st.sampled_from([1, 25, 100]), st.floats(0, 1000), st.lists(st.text(min_size=1, max_size=5), max_size=1))
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_counts_raise_or_pass_without_evidence(errors: Rows, percent: int, elapsed: float, problems: list[str]) -> None:
    seen = counts(errors, percent=percent, elapsed=elapsed, problems=problems)
    result = gate.judge(seen, SETTINGS)
    json.dumps(result, allow_nan=False)
    assert result["verdict"] in gate.VERDICTS
    if result["verdict"] == "promote":
        assert not problems
        assert elapsed >= SETTINGS.min
        assert all(isinstance(row, list) and len(row) == 5 for row in errors)
        assert sum(row[1] for row in errors) >= SETTINGS.min_requests
        assert percent == 100 or sum(row[3] for row in errors) >= SETTINGS.min_requests


@given(st.dictionaries(st.sampled_from(["percent", "since", "until", "interval", "stages", "problems", "metrics"]), anything))
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_document_passes_without_metrics(seen: dict[str, t.Any]) -> None:
    assert gate.judge(seen, SETTINGS)["verdict"] == "hold"


@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(("feature", "metric", "problem", "offset"), anything))
        | st.fixed_dictionaries({"before": anything | st.fixed_dictionaries({"events": anything, "bad": anything}), "rows": st.just(GOOD)}),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([25, 100]),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_metric_raises_whatever_stands_in_it(metrics: list[t.Any], percent: int) -> None:
    result = gate.judge(counts([], metrics=metrics, percent=percent), SETTINGS)
    json.dumps(result, allow_nan=False)
    assert result["verdict"] == "hold" or all("rows" in metric for metric in metrics)
