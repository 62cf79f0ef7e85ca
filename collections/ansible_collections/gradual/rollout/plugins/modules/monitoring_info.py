#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look whether anybody is watching."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring_info
short_description: Look whether alerts, dashboard and health check work, and what the front door shows to strangers
version_added: 0.1.0
description:
  - Counts the alert rules that Prometheus evaluates and the Alertmanagers it is connected to, and looks whether the
    watchdog alert fires.
  - Runs every query of a dashboard and wants at least one series of each.
  - Reads the age of the 5-minute health check.
  - With O(front_door), looks at the security headers there, and tries to reach what is for the fleet's own eyes.
  - What cannot be read is null and has a sentence in RV(monitoring.not_measured).
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  prometheus:
    description: Address of Prometheus.
    type: str
    default: http://127.0.0.1:9090
  dashboard:
    description: File with a dashboard in Grafana's classic form. A missing file is told in RV(monitoring.not_measured).
    type: path
  front_door:
    description: Address at which users reach the application.
    type: str
  ca_path:
    description: File with the authorities that the front door's certificate may be signed by.
    type: path
  calm_within:
    description:
      - Wait until no critical alert fires but those in O(accepted), at most this many seconds, and look then.
      - An alert fires on for as long as its expression looks back, so one whose cause is gone ends by itself.
      - Pending alerts are not waited for. V(0) does not wait.
    type: float
    default: 0
  accepted:
    description: Names of critical alerts that are not waited for.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look whether anybody is watching
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
  description: How long alerts were waited for.
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
      description: Whether the alert that always fires does.
      type: bool
      returned: success
    firing:
      description: Other alerts that fire.
      type: list
      elements: str
      returned: success
    critical:
      description: Those of them whose severity is critical; null where Prometheus could not be asked.
      type: list
      elements: str
      returned: success
    delivered:
      description: Notifications that Alertmanager has delivered since it began.
      type: float
      returned: success
    health_check_age_seconds:
      description: Seconds since the health check ran.
      type: float
      returned: success
    dashboard:
      description: Panels, queries, answered queries and the silent ones.
      type: dict
      returned: success
    front_door:
      description: Security headers that are there or missing, internal paths that are closed or open.
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
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

ARGUMENTS = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
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
    seen = health.watch(Prometheus(options["prometheus"], options["timeout"]), dashboard, now)
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
            prometheus = Prometheus(given["prometheus"], given["timeout"])
            waited = health.calm(prometheus, given["accepted"], given["calm_within"])
        seen = run(given, time.time())
    except PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, monitoring=seen, waited_seconds=waited)


if __name__ == "__main__":
    main()
