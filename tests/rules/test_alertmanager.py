"""Where alerts go: Alertmanager's own tool follows each through the configuration as the role writes it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

HOME = Path(__file__).resolve().parents[2]
PAGER: dict[str, Any] = {
    "monitoring_more_receivers": [{"name": "pager", "webhook_configs": [{"url": "https://pager.example.org/hook"}]}],
    "monitoring_more_routes": [{"receiver": "pager", "matchers": ["severity = critical"]}],
}
RESPONSES = {"monitoring_responses": ["FeatureErrorsHigh", "FeatureSlow"]}


def configuration(folder: Path, **more: Any) -> str:
    """The role's template with its defaults' shape; `more` as an inventory would set it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOME / "roles/monitoring/templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["to_json"] = json.dumps
    values = {
        "ansible_managed": "test",
        "monitoring_more_receivers": [],
        "monitoring_more_routes": [],
        "monitoring_responses": [],
        "monitoring_responses_address": "127.0.0.1:9096",
        "monitoring_group_wait": "10s",
        "monitoring_group_interval": "1m",
        "monitoring_repeat_interval": "4h",
        **more,
    }
    path = folder / "alertmanager.yml"
    path.write_text(environment.get_template("alertmanager.yml.j2").render(values))
    return str(path)


def amtool(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *argv], capture_output=True, text=True, check=False)


def follow(path: str, receivers: str, **labels: str) -> int:
    return amtool(
        "config",
        "routes",
        "test",
        f"--config.file={path}",
        f"--verify.receivers={receivers}",
        *(f"{name}={value}" for name, value in labels.items()),
    ).returncode


@pytest.mark.parametrize("more", [{}, PAGER, RESPONSES], ids=["alone", "with a pager", "with responses"])
def test_configuration_is_sound(tmp_path: Path, more: dict[str, Any]) -> None:
    done = amtool("check-config", configuration(tmp_path, **more))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_everything_is_recorded(tmp_path: Path, severity: str) -> None:
    assert follow(configuration(tmp_path), "record", alertname="FeatureErrorsHigh", severity=severity) == 0


def test_the_watchdog_has_a_receiver_of_its_own(tmp_path: Path) -> None:
    assert follow(configuration(tmp_path), "watchdog", alertname="Watchdog", severity="none") == 0


def test_who_is_woken_comes_beside_the_record(tmp_path: Path) -> None:
    path = configuration(tmp_path, **PAGER)
    assert follow(path, "record,pager", alertname="FrontDoorDown", severity="critical") == 0
    assert follow(path, "record", alertname="RateLimitHits", severity="info") == 0


def test_what_is_responded_to_comes_beside_everything_else(tmp_path: Path) -> None:
    path = configuration(tmp_path, **PAGER, **RESPONSES)
    assert follow(path, "responses,record,pager", alertname="FeatureErrorsHigh", severity="critical") == 0
    assert follow(path, "responses,record", alertname="FeatureSlow", severity="warning") == 0
    assert follow(path, "record,pager", alertname="FrontDoorDown", severity="critical") == 0
    assert follow(path, "record", alertname="FeatureFeedbackBad", severity="warning") == 0


def test_a_wrong_route_is_found(tmp_path: Path) -> None:
    """Negative control: amtool says so when an alert goes elsewhere."""
    assert follow(configuration(tmp_path), "watchdog", alertname="FrontDoorDown", severity="critical") != 0
