"""Which metrics there are, from the manifest's gate.metrics."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.gate_schema import METRIC

ORDERS = {
    "name": "orders",
    "counter": "feature_orders_total",
    "labels": None,
    "harm": "fewer",
    "role": "signal",
    "weight": 2,
}


def test_errors_and_slow_answers_are_always_there() -> None:
    found = metrics.wanted(["search", "cart"])
    assert [(each.feature, each.name, each.kind, each.role, each.weight) for each in found] == [
        ("search", "errors", "errors", "guardrail", 1.0),
        ("search", "slow", "slow", "guardrail", 1.0),
        ("cart", "errors", "errors", "guardrail", 1.0),
        ("cart", "slow", "slow", "guardrail", 1.0),
    ]


def test_role_and_weight_of_what_is_always_there_can_be_set() -> None:
    errors, slow, orders = metrics.wanted(
        ["search"], [ORDERS, {"name": "slow", "role": "signal"}, {"name": "errors", "weight": 3}]
    )
    assert (errors.weight, errors.role, slow.weight, slow.role) == (3.0, "guardrail", 1.0, "signal")
    assert orders == metrics.Metric("search", "orders", "counter", "fewer", "signal", 2.0, "feature_orders_total")
    assert orders.as_dict() == {
        "feature": "search", "metric": "orders", "kind": "counter", "harm": "fewer", "role": "signal", "weight": 2.0,
        "problem": None, "aa": [], "rows": [],
    }  # fmt: skip


def test_a_label_feature_limits_a_counter_to_that_feature() -> None:
    entry = {**ORDERS, "labels": {"feature": "cart", "kind": "gift"}}
    assert [(each.feature, each.labels) for each in metrics.wanted(["search", "cart"], [entry]) if each.counter] == [
        ("cart", (("kind", "gift"),))
    ]
    (limited,) = (each for each in metrics.wanted([metrics.RELEASE], [entry]) if each.counter)
    assert limited.labels == (("feature", "cart"), ("kind", "gift"))


def test_a_counter_may_be_called_as_a_part_is() -> None:
    (metric,) = (each for each in metrics.wanted(["search"], [{**ORDERS, "name": "fast"}]) if each.counter)
    assert metrics.FAST not in metric.parts[1]


def test_the_defaults_are_those_of_the_manifest() -> None:
    (metric,) = (
        each for each in metrics.wanted(["search"], [{"name": "orders", "counter": "orders_total"}]) if each.counter
    )
    assert {key: getattr(metric, key) for key in ("harm", "role", "weight")} == {
        key: METRIC[key]["default"] for key in ("harm", "role", "weight")
    }
    assert set(metrics.KEYS) == set(METRIC)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["orders"], "metrics[0] is 'orders'; write a mapping with name and counter"),
        ([{"counter": "a_total"}], "write a mapping with name and counter"),
        ([{"name": "orders"}], "metrics[0]: orders has no counter; write the name of one, like feature_orders_total"),
        ([ORDERS, ORDERS], "metrics[1]: orders is in the list twice; write each name once"),
        ([{**ORDERS, "harm": "less"}], "metrics[0].harm is 'less'; write more or fewer"),
        ([{**ORDERS, "role": "alarm"}], "metrics[0].role is 'alarm'; write guardrail or signal"),
        ([{**ORDERS, "weight": 0}], "metrics[0].weight is 0; write a number above 0"),
        ([{**ORDERS, "weight": True}], "metrics[0].weight is True; write a number above 0"),
        (
            [{**ORDERS, "wieght": 1}],
            "metrics[0].wieght: no such key; write one of name, counter, labels, harm, role, weight",
        ),
    ],
)
def test_metrics_that_make_no_sense_are_refused(given: list[Any], message: str) -> None:
    with pytest.raises(GateError) as error:
        metrics.wanted(["search"], given)
    assert message in str(error.value)
