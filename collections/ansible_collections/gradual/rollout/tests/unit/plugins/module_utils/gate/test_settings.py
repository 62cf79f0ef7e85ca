"""Settings of a gate: the defaults, mistakes in one sentence each, and how alpha is spent over the stages."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import settings as gate_settings
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError, settings_from, spent_in

BAKE = {"min": 20, "max": 120, "look": 10}


def test_what_is_left_out_or_none_is_the_default() -> None:
    assert (
        settings_from(None, None)
        == settings_from({"alpha": None, "margin": None}, {"min": None})
        == settings_from({}, {})
    )
    default = settings_from({}, BAKE)
    assert (default.alpha, default.certify_alpha, default.tolerated_ratio, default.margin, default.harmless_share) == (
        0.05,
        0.10,
        1.25,
        2.0,
        0.0,
    )
    assert (default.deadline, settings_from({}, {**BAKE, "deadline": 150}).deadline) == (180.0, 150)


def test_keys_of_the_manifest_that_are_no_settings_are_passed_over() -> None:
    assert settings_from({"metrics": [], "holdback": 5}, {**BAKE, "aa": 60, "expiry": 300}) == settings_from({}, BAKE)


def test_two_ways_to_certify_share_the_chance_of_error() -> None:
    assert settings_from({}, BAKE).certify_each == 0.10
    assert settings_from({"harmless_share": 0.01}, BAKE).certify_each == 0.05


def test_what_is_high_by_nature_has_no_hard_limit() -> None:
    given = settings_from({"hard_error_share": 0.3}, BAKE)
    assert [given.hard_share(kind) for kind in ("errors", "slow", "counter", "")] == [0.3, 0.5, None, None]


@pytest.mark.parametrize("stages", range(1, 9))
def test_all_stages_together_spend_alpha(stages: int) -> None:
    parts = [spent_in(stage, stages) for stage in range(stages)]
    assert sum(parts) == pytest.approx(1.0)
    assert min(parts) > 0
    assert parts[0] == (gate_settings.FIRST_STAGE if stages > 1 else 1.0)


def test_a_ramp_without_any_control_has_something_to_spend() -> None:
    assert spent_in(0, 0) == 1.0


@pytest.mark.parametrize(
    ("gate", "bake", "message"),
    [
        ({"alpha": 0}, BAKE, "alpha is 0; write a number between 0 and 1"),
        ({"alpha": "0.05"}, BAKE, "alpha is '0.05'; write a number"),
        ({"alpha": True}, BAKE, "alpha is True; write a number"),
        ({"certify_alpha": 1}, BAKE, "certify_alpha is 1; write a number between 0 and 1"),
        ({"sample_ratio_alpha": 0.0}, BAKE, "sample_ratio_alpha is 0.0; write a number between 0 and 1"),
        ({"harmless_share": float("nan")}, BAKE, "harmless_share is nan; write a number"),
        ({"harmless_share": 1.5}, BAKE, "harmless_share is 1.5; write a number between 0 and 1, or leave it out"),
        ({"tolerated_ratio": 0.5}, BAKE, "tolerated_ratio is 0.5; write 1 or more"),
        ({"margin": 1.2}, BAKE, "margin is 1.2; write more than tolerated_ratio, which is 1.25"),
        ({"margin": float("inf")}, BAKE, "margin is inf; write a number"),
        ({"on_no_data": "promote"}, BAKE, "on_no_data is 'promote'; write rollback or manual"),
        ({}, {"min": 60, "max": 30}, "min is 60 and max 30; write 0 < min <= max"),
        ({}, {"min": 0, "max": 30}, "min is 0 and max 30"),
        ({}, {"min": []}, r"min is \[\]; write a number"),
    ],
)
def test_mistakes_are_named_with_what_to_write(gate: dict[str, t.Any], bake: dict[str, t.Any], message: str) -> None:
    with pytest.raises(GateError, match=message):
        settings_from(gate, bake)
