"""The verdict on a look: what each says, what is shared among metrics and stages, and that no kind of missing data is a
pass."""

from __future__ import annotations

import json
import random
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import FIRST_STAGE
from ansible_collections.gradual.rollout.tests.unit.sample_counts import (
    BAKE,
    LOW_TRAFFIC,
    SETTINGS,
    STAGES,
    Json,
    counts,
    judge,
    metric,
    orders,
    rows,
)

GOOD = rows(30, (250, 3), (750, 9))
ERRING = rows(10, (25, 3), (75, 0))
QUIET = rows(30, (25, 0), (75, 0))
FEW = rows(5, (5, 0), (15, 0))


def both(errors: list[t.Any], slow: list[t.Any] | None = None) -> tuple[Json, Json]:
    return metric(errors), metric(GOOD if slow is None else slow, "slow")


LOOKS: list[tuple[str, Json, str, str]] = [
    ("harmless", counts(*both(GOOD)), "promote", "less than 2 times as bad (90 % sure)"),
    ("harmless, too early", counts(*both(GOOD), elapsed=19), "continue", "passing; the minimum bake ends in 1 s"),
    ("no bad event at all", counts(metric(QUIET)), "continue", "no harm shown, but 2 times as bad is still possible"),
    (
        "nobody comes",
        counts(metric(rows(5, (1, 0), (3, 0)))),
        "continue",
        "50 requests are needed on each side, there are 5 and 15",
    ),
    ("nobody ever came", counts(metric(rows(5, (1, 0), (3, 0))), elapsed=121), "hold", "no decision after 120 s"),
    (
        "all come without the feature",
        counts(metric(rows(5, (0, 0), (75, 0)))),
        "hold",
        "0 % of the requests are with the feature where 25 % should be",
    ),
    (
        "errors with the feature",
        counts(*both(ERRING)),
        "abort",
        "search errors with the feature 12 % of 250, without it 0 % of 750: at least",
    ),
    ("slow with the feature", counts(*both(GOOD, ERRING)), "abort", "search slow answers with the feature 12 % of 250"),
    (
        "errors while others have no data",
        counts(*both(ERRING, []), problems=["app3 has not been scraped for 30 s"]),
        "abort",
        "times worse",
    ),
    ("the same errors in both arms, few", counts(metric(rows(3, (250, 3), (750, 9)))), "continue", "still possible"),
    (
        "the farthest explains",
        counts(metric(FEW), metric(QUIET, "slow")),
        "continue",
        "search errors: 50 requests are needed on each side",
    ),
    (
        "100 %",
        counts(metric(rows(30, (100, 4), (0, 0)), before={"events": 3000, "bad": 120}), percent=100),
        "promote",
        "nobody is left without the feature",
    ),
]


@pytest.mark.parametrize(("seen", "verdict", "word"), [look[1:] for look in LOOKS], ids=[look[0] for look in LOOKS])
def test_verdict(seen: Json, verdict: str, word: str) -> None:
    result = gate_verdict.judge(seen, SETTINGS)
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]


NOT_SEEN = [2, None, None, None, None]
MISSING: list[tuple[str, Json, str]] = [
    (
        "Prometheus does not answer",
        counts(*both(GOOD), problems=["Prometheus does not answer"]),
        "Prometheus does not answer",
    ),
    (
        "a series is missing",
        counts(metric(GOOD), metric(GOOD, "slow", problem='no series {variant="on"} on app2')),
        'no series {variant="on"} on app2',
    ),
    (
        "the A/A stage was not seen",
        counts(metric(GOOD, problem="so what the arms differed by before is not known")),
        "differed by before is not known",
    ),
    ("no rows", counts(metric([])), "search errors with the feature no requests, without it no requests: no data"),
    (
        "no rows of one among good ones",
        counts(*both(GOOD, [])),
        "search slow answers with the feature no requests, without it no requests: no data",
    ),
    ("no rows of several", counts(*both([], [])), "search errors, search slow answers: no data"),
    ("rows are no list", counts(metric("rows")), "no data"),  # type: ignore[arg-type]
    ("the newest are None", counts(*both([*GOOD, None, None, None])), "the newest 3 intervals were not seen"),
    (
        "the newest have no numbers",
        counts(*both([*GOOD, None, NOT_SEEN, NOT_SEEN])),
        "the newest 3 intervals were not seen",
    ),
    ("none was seen", counts(*both([None] * 9)), "the newest 9 intervals were not seen"),
    ("no metric", counts(), "there is no metric to judge"),
    ("no metrics at all", {"percent": 25, "since": 0, "until": 60}, "there is no metric to judge"),
    ("nothing at all", {}, "there is no metric to judge"),
    ("more bad ones than requests", counts(*both([[0, 5, 6, 75, 0], *GOOD])), "1 interval has invalid counts"),
    ("not a number", counts(*both([*GOOD, [60, float("nan"), 0, 75, 0]])), "1 interval has invalid counts"),
    (
        "not a number before",
        counts(metric(GOOD, aa=[*GOOD, [0, 5, float("nan"), 75, 0]])),
        "1 interval has invalid counts",
    ),
    ("a counter that went backwards", counts(*both([[0, -5, -1, 75, 0], *GOOD])), "1 interval has invalid counts"),
]


@pytest.mark.parametrize("settings", [SETTINGS, LOW_TRAFFIC], ids=["comparing", "low traffic"])
@pytest.mark.parametrize(("seen", "word"), [look[1:] for look in MISSING], ids=[look[0] for look in MISSING])
def test_missing_data_hold_and_say_so(seen: Json, word: str, settings: gate_verdict.Settings) -> None:
    result = gate_verdict.judge(seen, settings)
    assert (result["verdict"], word in result["reason"]) == ("hold", True), result["reason"]


@pytest.mark.parametrize("gone", [[None] * 3, [NOT_SEEN] * 3, [None, NOT_SEEN] * 10])
def test_a_gap_that_is_over_does_not_hold(gone: list[t.Any]) -> None:
    assert judge(metric([*GOOD[:9], *gone, *GOOD[9:]]))["verdict"] == "promote"
    assert judge(metric([*GOOD, *gone[:2]]))["verdict"] == "promote"


@pytest.mark.parametrize(("elapsed", "verdict"), [(4, "continue"), (9, "continue"), (10, "hold")])
def test_a_stage_that_has_just_begun_has_no_interval_yet(elapsed: float, verdict: str) -> None:
    assert judge(metric([]), elapsed=elapsed)["verdict"] == verdict


@pytest.mark.parametrize(("elapsed", "passed"), [(60, False), (179, False), (180, True)])
def test_a_hold_has_a_deadline(elapsed: float, passed: bool) -> None:
    result = judge(metric(GOOD), problems=["Prometheus does not answer"], elapsed=elapsed)
    assert (result["verdict"], result["deadline_passed"]) == ("hold", passed)
    assert not judge(metric(GOOD), elapsed=elapsed)["deadline_passed"]


def test_an_abort_says_how_much_worse_at_least_and_how_sure_that_is() -> None:
    seen = [*rows(9, (421, 12), (1264, 13)), [18, 421, 13, 1264, 14]]
    assert (
        judge(metric(seen))["reason"] == "search errors with the feature 2.9 % of 4,210, without it 1.0 % of 12,640: "
        "at least 1.9 times worse, the chance of saying so of a harmless release is under 5 %"
    )


def test_a_signal_holds_where_a_guardrail_aborts() -> None:
    assert judge(metric(ERRING))["verdict"] == "abort"
    result = judge(metric(ERRING, role="signal"), metric(GOOD, "slow"))
    assert (
        result["verdict"],
        "times worse" in result["reason"],
        "a signal only, so a person must look" in result["reason"],
    ) == ("hold", True, True)


@pytest.mark.parametrize(
    ("with_it", "verdict", "word"),
    [(2, "abort", "times fewer"), (10, "promote", "2 times as few"), (30, "promote", "2 times as few")],
)
def test_fewer_orders_are_harm_and_more_are_not(with_it: int, verdict: str, word: str) -> None:
    result = judge(orders(rows(20, (250, with_it), (750, 30))))
    assert (result["verdict"], word in result["reason"]) == (verdict, True), result["reason"]
    assert result["metrics"][0]["treatment"] == {"events": 5000, "bad": 20 * with_it}
    assert result["first_bad_at"] is None


def test_fewer_orders_in_the_aa_stage_already_are_no_harm() -> None:
    aa = rows(60, (250, 4), (750, 30))
    assert judge(orders(rows(20, (250, 4), (750, 30))))["verdict"] == "abort"
    assert judge(orders(rows(20, (250, 4), (750, 30)), aa=aa))["verdict"] == "promote"


def test_a_heavy_client_that_fails_as_in_the_aa_stage_is_no_harm_and_without_one_it_is() -> None:
    heavy = rows(20, (250, 10), (750, 10))
    assert judge(metric(heavy))["verdict"] == "abort"
    result = judge(metric(heavy, aa=rows(60, (250, 10), (750, 10))))
    assert (result["verdict"], result["metrics"][0]["offset"]) == ("promote", pytest.approx(3.0, abs=0.1))


def test_a_holdback_is_compared_at_100_percent() -> None:
    kept = judge(metric(rows(30, (225, 9), (25, 0))), percent=100, holdback=10)
    assert (kept["verdict"], kept["metrics"][0]["share_expected"]) == ("abort", 0.9)
    assert judge(metric(rows(60, (225, 9), (225, 9))), percent=50, holdback=10)["verdict"] == "promote"


def test_hosts_are_compared_at_100_percent_too() -> None:
    assert judge(metric(ERRING), percent=100, cohorts="hosts")["verdict"] == "abort"


def test_weights_share_the_alpha_of_a_role() -> None:
    metrics = [
        metric(GOOD, weight=2),
        metric(GOOD, "slow"),
        orders(GOOD),
        metric(GOOD, "clicks", role="signal", weight=3),
        metric(GOOD, "tips", role="signal"),
    ]
    found = [each["alpha"] for each in judge(*metrics)["metrics"]]
    stage = 0.05 * FIRST_STAGE
    assert found == pytest.approx([stage / 2, stage / 4, stage / 4, stage * 3 / 4, stage / 4])


@pytest.mark.parametrize(
    ("stages", "holdback", "with_control"),
    [(STAGES, 0, 2), (STAGES, 10, 3), ([1, 5, 25, 100], 0, 3), ([100], 0, 0), ([100], 5, 1)],
)
def test_alpha_is_shared_by_the_stages_that_compare(stages: list[int], holdback: int, with_control: int) -> None:
    found = []
    for number in range(with_control):
        seen = counts(metric(GOOD), metric(GOOD, "slow"), stages=stages, holdback=holdback, stage=number)
        found.append(sum(each["alpha"] for each in gate_verdict.judge(seen, SETTINGS)["metrics"]))
    assert sum(found) == pytest.approx(0.05) if with_control else found == []
    assert gate_verdict.compared(stages, holdback) == with_control


@pytest.mark.parametrize("weight", [0, -1, float("nan"), 1e-320, 2**60, "2", None])
def test_a_weight_that_makes_no_sense_leaves_every_metric_an_alpha(weight: t.Any) -> None:
    result = judge(metric(GOOD, weight=weight), metric(GOOD, "slow"))
    assert all(0 < each["alpha"] < 0.05 for each in result["metrics"])
    assert result["verdict"] == "promote"


def test_the_first_bad_answer_is_dated_by_the_start_of_its_interval() -> None:
    result = judge(*both(rows(5, (25, 0), (75, 1)) + rows(5, (25, 2), (75, 0), 5), QUIET))
    assert result["first_bad_at"] == 1010.0
    assert [each["first_bad_at"] for each in result["metrics"]] == [1010.0, None]


def test_a_recorded_look_gives_its_verdict_again() -> None:
    seen = counts(*both(ERRING, GOOD))
    result = gate_verdict.judge(seen, SETTINGS)
    recorded = json.loads(json.dumps({**result, "counts": seen, "settings": vars(SETTINGS)}))
    assert gate_verdict.judge_again(recorded) == result
    recorded["counts"]["metrics"][0]["rows"][0][2] = 0
    assert gate_verdict.judge_again(recorded) != result
    for nothing in (
        {"verdict": "promote"},
        {"counts": seen, "settings": {"alpha": 0.05, "beta": 1}},
        {"counts": seen, "settings": None},
    ):
        with pytest.raises(gate_verdict.GateError, match="no counts"):
            gate_verdict.judge_again(nothing)


@pytest.mark.parametrize(("ratio", "base", "least", "most"), [(2.0, 0.03, 0.0, 0.10), (1.0, 0.03, 0.8, 1.0)])
def test_harm_at_the_margin_is_seldom_certified_and_a_good_release_mostly(
    ratio: float, base: float, least: float, most: float
) -> None:
    """60 looks at 20 requests a second: wrongly certified with a chance under certify_alpha, however often one
    looks."""
    chance = random.Random(7)
    patient = gate_verdict.settings_from({}, {**BAKE, "max": 900})
    certified = 0
    for _run in range(60):
        history: list[t.Any] = []
        for second in range(0, 600, 10):
            arms = [
                (requests, sum(chance.random() < share for _request in range(requests)))
                for requests, share in ((50, base * ratio), (150, base))
            ]
            history += [[second, *arms[0], *arms[1]]]
            verdict = gate_verdict.judge(counts(metric(history), elapsed=second + 10), patient)["verdict"]
            if verdict in ("promote", "abort"):
                certified += verdict == "promote"
                break
    assert least <= certified / 60 <= most
