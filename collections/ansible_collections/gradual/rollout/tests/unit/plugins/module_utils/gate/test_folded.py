# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Looks as the ledger keeps them: small, and whole again when they are read."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import fold, unfold, unfolded
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError


def look(rows: int, aa: int = 3, **more: Any) -> dict[str, Any]:
    """A look that has seen so many intervals."""
    metrics = [
        {
            "feature": feature,
            "metric": metric,
            "rows": [[5.0 * row, 100, 1, 300, 2] if row % 7 else None for row in range(rows)],
            "aa": [[5.0 * row, 90, 0, 280, 1] for row in range(aa)],
        }
        for feature in ("search", "checkout")
        for metric in ("errors", "slow")
    ]
    return {"percent": 25, "verdict": "continue", "counts": {"since": 1.0, "metrics": metrics}, **more}


def lines(*looks: dict[str, Any], rollout: str = "r1", event: str = "gate.looked") -> list[dict[str, Any]]:
    return [{"rollout": rollout, "event": event, "data": data} for data in looks]


def test_the_first_look_is_whole() -> None:
    assert fold(look(3), None) == look(3)


def test_a_look_is_folded_and_whole_again() -> None:
    before, now = look(40), look(42)
    folded = fold(now, before)
    assert [metric["rows"] for metric in folded["counts"]["metrics"]] == [now["counts"]["metrics"][0]["rows"][40:]] * 4
    assert [metric["aa"] for metric in folded["counts"]["metrics"]] == [[]] * 4
    assert unfold(folded, before) == now


def test_rows_that_changed_are_there_again() -> None:
    before, now = look(40), look(42)
    now["counts"]["metrics"][1]["rows"][10] = None
    folded = fold(now, before)
    assert [metric["rows_kept"] for metric in folded["counts"]["metrics"]] == [40, 10, 40, 40]
    assert unfold(folded, before) == now


@pytest.mark.parametrize("fewer", [0, 5])
def test_a_look_that_has_seen_less_is_whole_again(fewer: int) -> None:
    before, now = look(40), look(fewer, aa=0)
    assert unfold(fold(now, before), before) == now


def test_a_look_at_other_metrics_is_not_folded() -> None:
    before, now = look(3), look(4)
    del now["counts"]["metrics"][0]
    assert fold(now, before) == now


def test_nothing_is_changed_in_place() -> None:
    before, now = look(4), look(5)
    kept = copy.deepcopy((before, now))
    unfold(fold(now, before), before)
    assert (before, now) == kept


def test_a_record_is_whole_again_whatever_lies_between() -> None:
    looks = [look(n, look=n) for n in range(1, 6)]
    folded = [looks[0], *(fold(now, before) for before, now in zip(looks, looks[1:]))]
    canary = lines(look(9), rollout="r1", event="canary.looked")
    other = lines(look(2), rollout="r2")
    record = [*lines(*folded[:2]), *canary, *other, {"rollout": "r1", "event": "stage.set", "data": {}}]
    record += lines(*folded[2:])
    assert [line["data"] for line in unfolded(record) if (line["rollout"], line["event"]) == ("r1", "gate.looked")] == (
        looks
    )


def test_a_look_whose_predecessor_is_missing_stays_folded_and_is_told() -> None:
    folded = fold(look(5), look(4))
    with pytest.raises(GateError, match="needs the look before it"):
        unfold(folded, None)
    with pytest.raises(GateError, match="the look before has 2 rows, expected 4 at least"):
        unfold(folded, look(2))
    assert unfolded(lines(folded)) == lines(folded)


def test_an_older_record_is_read_as_it_is() -> None:
    record = lines(look(3), look(4)) + lines({"percent": 25, "verdict": "hold"}, {"counts": None}, {"counts": {}})
    assert unfolded(record) == record


def test_the_thousandth_look_is_as_small_as_the_tenth() -> None:
    sizes = [len(json.dumps(fold(look(n), look(n - 1)))) for n in (10, 1000)]
    assert sizes[1] < 1.1 * sizes[0]
