#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the monitoring."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring_info
short_description: Check alerts, dashboard, health check and the front door
version_added: 0.1.0
description:
  - Counts the alert rules that Prometheus evaluates and the Alertmanagers that it is connected to, and checks that the
    watchdog alert fires.
  - Runs every query of a dashboard. Each must return at least one series.
  - Reads the age of the 5-minute health check.
  - With O(front_door), checks the security headers there, and that internal paths are closed.
  - What cannot be read is null, and RV(monitoring.not_measured) has a sentence about it.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module, gradual.rollout.prometheus]
options:
  dashboard:
    description: File with a dashboard in Grafana's classic form. A missing file is reported in
      RV(monitoring.not_measured).
    type: path
  front_door:
    description: Address at which users reach the application.
    type: str
  ca_path:
    description: PEM file of the authorities to trust at the front door. Default are the host's.
    type: path
  calm_within:
    description:
      - Wait until no critical alert fires except those in O(accepted), at most this many seconds, before the checks.
      - An alert still fires for the period of its expression after its cause has ended.
      - It does not wait for pending alerts. V(0) does not wait at all.
    type: float
    default: 0
  accepted:
    description: Names of critical alerts to ignore.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Check the monitoring
  gradual.rollout.monitoring_info:
    dashboard: /etc/gradual/dashboards/rollout.json
    front_door: https://shop.example.com
  register: watched

- name: Wait for alerts that are ending
  gradual.rollout.monitoring_info:
    calm_within: 120
  register: watched
"""

RETURN = r"""
waited_seconds:
  description: Seconds that it waited for alerts.
  type: float
  returned: success
monitoring:
  description: The data of the ledger's event C(monitoring.observed).
  type: dict
  returned: success
  contains:
    rules:
      description: Alert rules that are evaluated.
      type: int
      returned: success
    alertmanagers:
      description: Alertmanagers that Prometheus is connected to.
      type: int
      returned: success
    watchdog:
      description: Whether the watchdog alert fires.
      type: bool
      returned: success
    firing:
      description: Other alerts that fire.
      type: list
      elements: str
      returned: success
    critical:
      description: Those with severity critical; null if Prometheus does not answer.
      type: list
      elements: str
      returned: success
    delivered:
      description: Notifications that Alertmanager has delivered since its start.
      type: float
      returned: success
    health_check_age_seconds:
      description: Seconds since the health check ran.
      type: float
      returned: success
    dashboard:
      description: Number of panels and queries, the answered queries, and those without data.
      type: dict
      returned: success
    front_door:
      description: Security headers that are present or missing, internal paths that are closed or open.
      type: dict
      returned: success
    not_measured:
      description: What could not be read, one sentence each.
      type: list
      elements: str
      returned: success
"""

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError
from ansible_collections.gradual.rollout.plugins.module_utils.observe import health
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import options as prometheus_options
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import PrometheusError

ARGUMENTS = {
    **prometheus_options.ARGUMENTS,
    "dashboard": {"type": "path"},
    "front_door": {"type": "str"},
    "ca_path": {"type": "path"},
    "calm_within": {"type": "float", "default": 0},
    "accepted": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 10},
}


def read_dashboard(path: str | None) -> tuple[dict[str, Any] | None, list[str]]:
    """The dashboard of a file, or None with a sentence why not."""
    if path is None:
        return None, []
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError) as error:
        return None, [f"dashboard: {path}: {error}"]
    return (found, []) if isinstance(found, dict) else (None, [f"dashboard: {path} holds no dashboard"])


def run(options: dict[str, Any], now: float) -> dict[str, Any]:
    """All there is to record."""
    dashboard, problems = read_dashboard(options["dashboard"])
    seen = health.watch(prometheus_options.prometheus_of(options), dashboard, now)
    seen["front_door"] = None
    if options["front_door"]:
        try:
            seen["front_door"] = health.front_door(options["front_door"], options["ca_path"])
        except HttpError as error:
            problems.append(f"front door: {error}")
    seen["not_measured"] += problems
    return seen


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given, waited = module.params, 0.0
    try:
        if given["calm_within"] > 0:
            prometheus = prometheus_options.prometheus_of(given)
            waited = health.calm(prometheus, given["accepted"], given["calm_within"])
        seen = run(given, time.time())
    except PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, monitoring=seen, waited_seconds=waited)


if __name__ == "__main__":
    main()
