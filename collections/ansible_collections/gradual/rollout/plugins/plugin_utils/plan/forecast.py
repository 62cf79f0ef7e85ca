# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the traffic lets expect of each stage, in the rows of a plan. Pure; forecast.py says what a forecast holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Of the forecast's, what each row of a stage keeps, so that a row can be read alone.
KEPT = ("since", "until", "hours", "ratio", "farthest", "not_measured", "notes")


def add(rows: Sequence[dict[str, Any]], forecast: Mapping[str, Any], least: float, to_set: float) -> None:
    """Give each stage of the ramp its `power`, and the time until it is certified as its expected duration where that
    is known.

    `power`: the forecast's KEPT; control and certify of the stage; metrics, with rate and share of the traffic. `least`
    is bake.min, and `to_set` what it takes to set a stage, in seconds.
    """
    stages = {stage["percent"]: stage for stage in forecast.get("stages") or []}
    traffic = {(each["feature"], each["metric"]): each for each in forecast.get("traffic") or []}
    for row in rows:
        stage = stages.get(row["stage"])
        if row["step"] != "ramp" or stage is None:
            continue
        metrics = [
            {**each, **{key: traffic[each["feature"], each["metric"]][key] for key in ("rate", "share")}}
            for each in stage["metrics"]
        ]
        row["power"] = {
            **{key: forecast.get(key) for key in KEPT},
            "control": stage["control"],
            "certify": stage["certify"],
            "metrics": metrics,
        }
        if stage["certify"] is not None:
            row["expected_seconds"] = round(max(least, min(stage["certify"], forecast["max"])) + to_set)
            row["source"] = "traffic"
