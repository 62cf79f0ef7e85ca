"""No counts whatever raise, or turn no data into a pass."""

from __future__ import annotations

import json
import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.tests.unit.sample_counts import (
    BAKE,
    LOW_TRAFFIC,
    SETTINGS,
    Json,
    Rows,
    counts,
    metric,
    rows,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

GOOD = rows(30, (250, 3), (750, 9))
number = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -(10**400), 2**53, 1e308, -1e308, 5e-324, math.nan, math.inf])
)
anything = st.recursive(
    number | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["events", "bad"]), inner),
    max_leaves=8,
)
count = st.integers(0, 100) | st.integers(0, 2**53)
sensible_row = st.tuples(st.integers(0, 10**6), count, st.integers(0, 3), count, st.integers(0, 9)).map(list)
hostile_row = st.none() | anything | st.lists(number, min_size=5, max_size=5) | sensible_row
some_rows = (
    anything
    | st.lists(hostile_row, max_size=8)
    | st.lists(sensible_row, max_size=12)
    | st.sampled_from([GOOD, [*GOOD, None], GOOD[:9]])
)
DECIDERS = {"role": ["guardrail", "signal"], "harm": ["more", "fewer"], "kind": ["errors", "slow", "counter"]}
some_head = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("feature", "metric", "problem", "weight"), anything),
        "before": anything | st.fixed_dictionaries({"events": number, "bad": number}),
        "rows": some_rows,
        "aa": some_rows,
        **{key: st.sampled_from(values) | anything for key, values in DECIDERS.items()},
    },
)
places = ["percent", "stage", "stages", "cohorts", "holdback", "since", "until", "interval", "problems"]
some_look = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(places, anything), "metrics": anything | st.lists(some_head, max_size=3)}
)
some_settings = st.sampled_from(
    [
        SETTINGS,
        LOW_TRAFFIC,
        gate_verdict.settings_from({"min_requests": 1, "harmless_share": 0.99, "margin": 1e6}, BAKE),
    ]
)


def checked(seen: Json, settings: gate_verdict.Settings) -> Json:
    """The verdict, once it is sure that it is one, that JSON can hold it, and that it is the same a second time and
    from the record."""
    result = gate_verdict.judge(seen, settings)
    assert result["verdict"] in gate_verdict.VERDICTS
    assert result["reason"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert gate_verdict.judge_again({"counts": seen, "settings": vars(settings)}) == result
    return result


@given(some_look, some_settings)
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_document_raises(seen: Json, settings: gate_verdict.Settings) -> None:
    result = checked(seen, settings)
    if result["verdict"] == "promote":
        assert all(isinstance(head, dict) and head.get("rows") and not head.get("problem") for head in seen["metrics"])


@given(
    st.lists(some_head, min_size=1, max_size=3), st.sampled_from([25, 50, 100]), st.sampled_from([0, 10]), some_settings
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_metric_raises_or_is_passed_without_evidence(
    metrics: list[Json], percent: int, holdback: int, settings: gate_verdict.Settings
) -> None:
    result = checked(counts(*metrics, percent=percent, holdback=holdback), settings)
    if result["verdict"] == "promote":
        for told in result["metrics"]:
            assert told["treatment"]["events"] >= settings.min_requests
            assert told["control"] is None or told["control"]["events"] >= settings.min_requests


@given(
    st.lists(hostile_row, max_size=8),
    st.sampled_from([25, 100]),
    st.floats(0, 1000),
    st.lists(st.text(min_size=1, max_size=5), max_size=1),
    some_settings,
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_pass_needs_rows_that_make_sense_and_no_problem(
    errors: Rows, percent: int, elapsed: float, problems: list[str], settings: gate_verdict.Settings
) -> None:
    good = metric(GOOD, "slow", before={"events": 9000, "bad": 108})
    result = checked(counts(good, metric(errors), percent=percent, elapsed=elapsed, problems=problems), settings)
    if result["verdict"] == "promote":
        seen = [row for row in errors if row is not None]
        assert not problems
        assert elapsed >= settings.min
        assert all(isinstance(row, list) and len(row) == 5 for row in seen)
        assert any(row is not None for row in errors[-3:])
        assert sum(row[1] for row in seen if row[1] is not None) >= settings.min_requests


@given(
    st.lists(sensible_row, max_size=8),
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from([25, 100]),
    some_settings,
    st.booleans(),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_intervals_that_were_not_seen_never_make_a_pass(
    seen: Rows, at: list[int], percent: int, settings: gate_verdict.Settings, good: bool
) -> None:
    """Neither a hold nor anything else becomes a promote when only null rows are added."""
    errors: Rows = (GOOD if good else []) + seen
    before = checked(counts(metric(errors), percent=percent), settings)["verdict"]
    longer: list[t.Any] = list(errors)
    for place in at:
        longer.insert(place, None)
    if checked(counts(metric(longer), percent=percent), settings)["verdict"] == "promote":
        assert before == "promote"
