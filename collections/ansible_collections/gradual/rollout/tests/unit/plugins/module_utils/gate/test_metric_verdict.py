"""One metric through a stage: which counts make sense, hard limits, both arms at once, and what certifies where nobody
is left."""

from __future__ import annotations

import math
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metric_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metric_verdict import MetricGate
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import sensible, unseen
from ansible_collections.gradual.rollout.tests.unit.sample_counts import (
    LOW_TRAFFIC,
    SETTINGS,
    Json,
    Rows,
    judge,
    metric,
    orders,
    rows,
)

CALM = rows(60, (250, 3), (750, 9))
STORM = rows(6, (250, 30), (750, 90))


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ([0, 5, 1, 75, 0], (5, 1, 75, 0)),
        ((2.5, 5, 5, 0, 0), (5, 5, 0, 0)),
        ([0, 5.0, 1.0, 75.0, 0.0], (5, 1, 75, 0)),
        ([0, 5, 6, 75, 0], None),
        ([0, 5, 1, 0, 1], None),
        ([0, -5, -6, 75, 0], None),
        ([0, 5, -1, 75, 0], None),
        ([0, math.nan, 1, 75, 0], None),
        ([0, math.inf, 1, 75, 0], None),
        ([math.nan, 5, 1, 75, 0], None),
        ([0, 2**53, 1, 75, 0], None),
        ([10**400, 5, 1, 75, 0], None),
        ([0, 10**400, 1, 75, 0], None),
        ([0, "5", 1, 75, 0], None),
        ([0, True, True, 75, 0], None),
        ([0, None, 1, 75, 0], None),
        ([0, 5, 1, 75], None),
        ([0, 5, 1, 75, 0, 0], None),
        ({"events": 5}, None),
        (None, None),
    ],
)
def test_a_row_makes_sense_or_not(row: t.Any, counts: t.Any) -> None:
    assert sensible(row) == counts


def test_not_seen_is_not_the_same_as_senseless() -> None:
    assert all(map(unseen, (None, [2, None, None, None, None])))
    assert not any(map(unseen, ([2, 5, None, 75, 0], [2, 0, 0, 0, 0], [], "x")))


@pytest.mark.parametrize(
    "seen", [CALM, STORM, [*CALM[:20], None, *CALM[21:40], None, None], rows(9, (25, 3), (75, 0)), [], [None] * 4]
)
@pytest.mark.parametrize("more", [{}, {"harm": "fewer"}, {"aa": CALM}])
def test_intervals_one_by_one_come_to_the_same_as_all_at_once(seen: Rows, more: Json) -> None:
    def gate() -> MetricGate:
        return MetricGate(metric([], **more), SETTINGS, 0.025, 25)

    at_once, one_by_one = gate(), gate()
    at_once.seen.add_all(seen)
    for number, row in enumerate(seen):
        one_by_one.seen.add(2 * number, None if row is None else tuple(row[1:]))
    assert at_once.judge() == one_by_one.judge()


def test_leaving_the_e_value_out_changes_no_verdict() -> None:
    for seen in (CALM, STORM, rows(9, (25, 3), (75, 0)), rows(5, (25, 1), (75, 0))):
        gate = MetricGate(metric([]), SETTINGS, 0.025, 25)
        gate.seen.add_all(seen)
        whole, short = gate.judge(), gate.judge(full=False)
        assert short == {key: whole[key] for key in short}
        assert set(whole) - set(short) == {"e_value", "offset", "spread", "share_expected"}


@pytest.mark.parametrize(
    ("seen", "percent", "verdict", "word"),
    [
        (rows(2, (100, 30), (300, 90)), 25, "hold", "those without it are near the hard limit of 20 % or over it too"),
        # By chance one arm of a shared incident is over the limit, and the other just under it.
        (rows(2, (100, 21), (300, 57)), 25, "hold", "near the hard limit"),
        (rows(2, (100, 30), (300, 9)), 25, "abort", "times worse"),
        (
            rows(3, (100, 30), (0, 0)),
            100,
            "hold",
            "over the hard limit of 20 %; nobody is left without the feature, so it may be something else",
        ),
        (rows(1, (100, 30), (0, 0)), 100, "continue", "nothing is known of the time before"),
        (rows(20, (2, 1), (0, 0)), 100, "hold", "over the hard limit"),
        (rows(9, (2, 1), (0, 0)), 100, "continue", "50 requests are needed"),
        (rows(3, (100, 30), (0, 0)) + rows(2, (100, 0), (0, 0), 3), 100, "continue", "nothing is known"),
        (rows(3, (100, 20), (0, 0)), 100, "continue", "nothing is known"),
    ],
)
def test_hard_limits(seen: Rows, percent: int, verdict: str, word: str) -> None:
    found = judge(metric(seen), percent=percent)
    assert (found["verdict"], word in found["reason"]) == (verdict, True), found["reason"]


def test_a_catastrophe_that_was_there_before_the_feature_is_stopped_by_the_hard_limit() -> None:
    """No worse than in the A/A stage, so the comparison says nothing: the limit does."""
    before = rows(60, (100, 30), (300, 9))
    found = judge(metric(rows(4, (100, 30), (300, 9)), aa=before))
    assert (found["verdict"], "over the hard limit of 20 % twice in a row" in found["reason"]) == ("abort", True)
    assert judge(orders(rows(20, (100, 90), (300, 270))))["verdict"] == "promote"


def test_shared_fate_holds_and_goes_on_when_it_is_over() -> None:
    """Ten times the errors in both arms: hold while it lasts, certified once the latest intervals are as before."""
    lasting = judge(metric(STORM, aa=CALM))
    assert (
        lasting["verdict"],
        "those without it have 3 times as many as in the A/A stage or more" in lasting["reason"],
    ) == ("hold", True)
    long = rows(30, (250, 30), (750, 90))
    assert judge(metric(long, aa=CALM))["verdict"] == "hold"
    assert judge(metric(long + rows(6, (250, 3), (750, 9), 30), aa=CALM))["verdict"] == "promote"
    assert judge(metric(STORM))["verdict"] != "abort"


def test_harm_in_a_shared_incident_is_still_harm() -> None:
    assert judge(metric(rows(6, (250, 48), (750, 30)), aa=CALM))["verdict"] == "abort"


def test_a_sample_ratio_mismatch_holds_and_says_what_could_cause_it() -> None:
    found = judge(metric(rows(20, (500, 5), (750, 8)), aa=CALM))
    assert found["verdict"] == "hold"
    assert (
        "40 % of the requests are with the feature where 25 % should be: a host that does not evaluate the flag"
        in found["reason"]
    )
    assert judge(metric(rows(20, (250, 3), (750, 9)), aa=CALM))["metrics"][0]["share_expected"] == 0.25


@pytest.mark.parametrize(
    ("before", "verdict", "word"),
    [
        (
            {"events": 3000, "bad": 120},
            "promote",
            "before this stage it was 4 % of 3,000, so it is less than 2 times as bad (90 % sure); nobody is left",
        ),
        ({"events": 3000, "bad": 30}, "continue", "before this stage it was 1 % of 3,000"),
        ({"events": 30, "bad": 2}, "continue", "before this stage it was 6.7 % of 30"),
        ({"events": 30, "bad": 60}, "continue", "nothing is known of the time before"),
        ({"events": "30", "bad": None}, "continue", "nothing is known of the time before"),
        ([3000, 120], "continue", "nothing is known of the time before"),
        (None, "continue", "nothing is known of the time before"),
    ],
)
def test_at_100_percent_the_time_before_can_certify_but_never_abort(before: t.Any, verdict: str, word: str) -> None:
    found = judge(metric(rows(30, (100, 4), (0, 0)), before=before), percent=100)
    assert (found["verdict"], word in found["reason"]) == (verdict, True), found["reason"]
    assert found["metrics"][0]["control"] is None


def test_at_100_percent_fewer_orders_than_before_are_not_certified() -> None:
    before = {"events": 9000, "bad": 360}
    assert judge(orders(rows(30, (100, 4), (0, 0)), before=before), percent=100)["verdict"] == "promote"
    assert judge(orders(rows(30, (100, 1), (0, 0)), before=before), percent=100)["verdict"] == "continue"


def test_nobody_is_left_to_compare_with_so_nothing_aborts_at_100_percent() -> None:
    """Ten times as bad as before, under the hard limit: never certified, and a person decides after the deadline."""
    seen = metric(rows(50, (100, 15), (0, 0)), before={"events": 9000, "bad": 135})
    assert judge(seen, percent=100)["verdict"] == "continue"
    late = judge(seen, percent=100, elapsed=180)
    assert (late["verdict"], late["deadline_passed"]) == ("hold", True)


@pytest.mark.parametrize(("percent", "control"), [(25, (75, 0)), (100, (0, 0))])
def test_a_share_is_harmless_only_where_it_was_declared(percent: int, control: tuple[int, int]) -> None:
    seen = metric(rows(30, (25, 0), control))
    assert judge(seen, percent=percent)["verdict"] == "continue"
    found = judge(seen, percent=percent, settings=LOW_TRAFFIC)
    assert (found["verdict"], "under 0.44 % (95 % sure), where under 1 % is declared harmless" in found["reason"]) == (
        "promote",
        True,
    )


def test_a_release_twice_as_bad_is_not_certified_by_its_low_share_unless_that_is_declared_harmless() -> None:
    """0.2 % instead of 0.1 %."""
    seen = rows(4, (500, 1), (1500, 1)) + rows(4, (500, 1), (1500, 2), 4)
    assert judge(metric(seen))["verdict"] == "continue"
    assert judge(metric(seen), settings=LOW_TRAFFIC)["verdict"] == "promote"
    assert judge(metric(seen, "clicks", kind="counter"), settings=LOW_TRAFFIC)["verdict"] == "continue"


def test_little_harm_that_looks_like_harm_is_not_certified() -> None:
    little = rows(5, (100, 1), (300, 0)) + rows(2, (100, 0), (300, 1), 5) + rows(23, (100, 0), (300, 0), 7)
    found = judge(metric(little), settings=LOW_TRAFFIC)
    assert found["metrics"][0]["e_value"] > 3
    assert (found["verdict"], "but the figures speak for harm" in found["reason"]) == ("continue", True), found[
        "reason"
    ]


def test_an_e_value_is_told_as_a_number_however_large() -> None:
    assert [metric_verdict.capped(value) for value in (0.0, 1e9, -1e9)] == [1.0, metric_verdict.CAP, pytest.approx(0.0)]
