"""Every query of the dashboard is answered by the fleet's own Prometheus, once 2.0.0 is with all users."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.observe import health
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

from tests.support import fleet

# Two scrapes of the slow kind, and what a restored Prometheus takes to begin.
PATIENCE = 120


def answers(dashboard: dict[str, Any]) -> dict[str, Any]:
    prometheus = Prometheus(f"http://{fleet.addresses()['mon1']}:9090")
    return health.answered(prometheus, dashboard, time.time())


@pytest.fixture
def dashboard() -> dict[str, Any]:
    """The dashboard as provisioning has put it onto the monitoring host."""
    found: dict[str, Any] = json.loads(fleet.execute("mon1", "cat", "/etc/gradual/dashboards/rollout.json"))
    return found


@pytest.mark.usefixtures("finished")
def test_every_query_is_answered(dashboard: dict[str, Any]) -> None:
    until = time.monotonic() + PATIENCE
    seen = answers(dashboard)
    while seen["silent"] and time.monotonic() < until:
        time.sleep(5)
        seen = answers(dashboard)
    assert seen["silent"] == []
    assert seen["answered"] == seen["queries"] >= 35


@pytest.mark.usefixtures("finished")
def test_a_misspelt_query_is_found(dashboard: dict[str, Any]) -> None:
    dashboard["panels"][1]["targets"][0]["expr"] = "avg by (flag) (feature_flag_shares)"
    assert any("feature_flag_shares" in each for each in answers(dashboard)["silent"])
