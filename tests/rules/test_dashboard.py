"""The dashboard: what is committed is what the generator makes, and its panels can be told apart and laid out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.observe import health

PLACE = Path(__file__).parents[2] / "roles/monitoring/files/dashboard"


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PLACE / "rollout.json").read_text())
    return found


def test_what_is_committed_is_what_is_generated() -> None:
    answer = subprocess.run(
        [sys.executable, PLACE / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_panels_have_numbers_titles_and_places_of_their_own(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (place["x"] + column, place["y"] + row)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["w"])
        for row in range(place["h"])
    ]
    assert len(cells) == len(set(cells)), "no panel covers another"
    assert max(column for column, _row in cells) < 24


def test_every_query_asks_the_chosen_source(dashboard: dict[str, Any]) -> None:
    assert len(health.queries(dashboard)) >= 35
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["legendFormat"]


@pytest.mark.parametrize(
    "series",
    [
        "feature_requests_total",
        "feature_feedback_total",
        "feature_orders_total",
        "feature_flag_share",
        "feature_flag_revision",
    ]
    + [
        "haproxy_frontend_http_responses_total",
        "pg_stat_activity_count",
        "gradual_health_check_last_run_timestamp_seconds",
        "probe_success",
        "ALERTS",
    ],
)
def test_what_a_rollout_needs_to_be_seen_is_on_it(dashboard: dict[str, Any], series: str) -> None:
    assert any(series in expression for _title, expression in health.queries(dashboard))
