"""Sentences for operators."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.filter import fleet
from ansible_collections.gradual.rollout.plugins.module_utils.common.text import percent as percent_text
from ansible_collections.gradual.rollout.plugins.module_utils.gate import sentences
from ansible_collections.gradual.rollout.plugins.plugin_utils import progress_text

LOOK = {
    "percent": 25,
    "elapsed": 30.2,
    "verdict": "continue",
    "reason": "search errors with the feature 0 % of 420",
    "deadline_passed": False,
}
MEASURED = {"features": {"search": {"users": 2000, "on": 507, "share": 0.2535, "lost": 0}}, "lost": 0}


def metric(
    name: str,
    treatment: tuple[int, int],
    control: tuple[int, int] | None,
    feature: str = "search",
    why: str = "no data",
) -> dict[str, t.Any]:
    arms = [None if arm is None else {"events": arm[0], "bad": arm[1]} for arm in (treatment, control)]
    return {
        "feature": feature,
        "metric": name,
        "treatment": arms[0],
        "control": arms[1],
        "why": why,
        "reason": f"{name}: {why}",
    }


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.029, "2.9 %"),
        (0.2, "20 %"),
        (0.00077, "0.077 %"),
        (0.000001, "under 0.001 %"),
        (0.9996, "100 %"),
        (0.01, "1 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent_text(share) == text


def test_arms() -> None:
    told = sentences.arms(metric("errors", (4210, 122), (12640, 126)))
    assert told == "search errors with the feature 2.9 % of 4,210, without it 1.0 % of 12,640"
    assert sentences.arms(metric("slow", (0, 0), None)) == "search slow answers with the feature no requests"


def test_a_summary_tells_each_feature_once() -> None:
    told = sentences.summary(
        [
            metric("errors", (15, 0), (53, 1)),
            metric("slow", (15, 3), (53, 0)),
            metric("errors", (9, 0), None, "cart"),
            metric("slow", (9, 9), None, "cart"),
        ]
    )
    search = "search errors with the feature 0 % of 15, without it 1.9 % of 53, slow answers 20 % and 0 %"
    assert told == f"{search}; cart errors with the feature 0 % of 9, slow answers 100 %"


def test_reasons_that_are_shared_are_told_once() -> None:
    told = sentences.grouped(
        [
            metric("errors", (0, 0), None),
            metric("slow", (0, 0), None),
            metric("slow", (1, 0), None, "cart", "no series"),
        ]
    )
    assert told == ["search errors, search slow answers: no data", "slow: no series"]


@pytest.mark.parametrize(
    ("changes", "number", "sentence"),
    [
        ({}, 3, "25 %, look 3, 30 s: continue — search errors with the feature 0 % of 420"),
        ({}, None, "25 %, 30 s: continue — search errors with the feature 0 % of 420"),
        (
            {"verdict": "hold", "reason": "no data", "deadline_passed": True},
            9,
            "25 %, look 9, 30 s: hold — no data; the deadline has passed",
        ),
        ({"percent": None, "elapsed": None}, None, "continue — search errors with the feature 0 % of 420"),
    ],
)
def test_look_sentence(changes: dict[str, t.Any], number: int | None, sentence: str) -> None:
    assert progress_text.look_sentence({**LOOK, **changes}, number) == sentence


@pytest.mark.parametrize(
    ("changes", "percent", "sentence"),
    [
        ({}, 25, "25 %: search 25.4 % of 2,000 users; nobody lost a feature"),
        ({"compared": False}, 25, "25 %: search 25.4 % of 2,000 users; first measurement"),
        ({"lost": 3}, None, "search 25.4 % of 2,000 users; 3 users lost a feature"),
        ({"features": {}}, 25, "25 %: nobody lost a feature"),
    ],
)
def test_share_sentence(changes: dict[str, t.Any], percent: int | None, sentence: str) -> None:
    assert progress_text.share_sentence({**MEASURED, **changes}, percent) == sentence


@pytest.mark.parametrize("wrong", [None, "text", [], {}, {"verdict": "hold"}])
def test_what_is_no_look_is_named(wrong: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="look_sentence needs the look of"):
        progress_text.look_sentence(wrong)


def test_the_sentence_that_a_role_says_is_a_filter() -> None:
    assert fleet.FilterModule().filters()["replay_sentence"] is progress_text.replay_sentence
