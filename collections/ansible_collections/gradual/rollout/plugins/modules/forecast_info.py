#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look whether the traffic can carry a ramp."""

from __future__ import annotations

DOCUMENTATION = r"""
module: forecast_info
short_description: Predict how long each stage must bake at the traffic of the last hours
version_added: 0.1.0
description:
  - Reads from Prometheus how many requests each feature gets, and which share of the answers failed or was slow.
    Gradual's own requests are not counted.
  - Returns for each stage, feature and metric the seconds after which the gate stops a release that is C(gate.margin)
    times worse, and certifies a harmless one, each with a probability of 80 %. The gate's own code computes them.
  - A feature without requests is in RV(forecast.not_measured). It does not refuse the ramp.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.prometheus
  - gradual.rollout.prometheus.application
options:
  features:
    description: Keys of the features.
    type: list
    elements: str
    required: true
  stages:
    description: Percentages of users, rising.
    type: list
    elements: int
    default: [25, 50, 100]
  gate:
    description: Settings of the gate as in the release manifest, with C(low_traffic), C(holdback) and C(metrics).
    type: dict
    default: {}
  bake:
    description: Seconds of a stage as in the release manifest, with C(aa).
    type: dict
    default: {}
  hours:
    description: How many hours to look back.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: Check that the traffic suffices for the ramp
  gradual.rollout.forecast_info:
    prometheus: http://127.0.0.1:9090
    features: [search]
    gate: {margin: 2, low_traffic: refuse}
    bake: {aa: 300, min: 600, max: 3600, look: 30}
  register: seen
  failed_when: seen.forecast.problems | length > 0
"""

RETURN = r"""
forecast:
  description: The forecast, as the plan shows it.
  type: dict
  returned: success
  contains:
    traffic:
      description: For each feature and metric requests a second (C(rate), C(busiest)), the C(share) of bad ones, and
        C(events) in C(seconds).
      type: list
      elements: dict
      returned: success
    stages:
      description: For each stage C(percent), C(control), C(certify) in seconds, and C(metrics) with the seconds
        C(harm), C(margin) and C(share).
      type: list
      elements: dict
      returned: success
    problems:
      description: Why the ramp must not begin, by C(gate.low_traffic). At most one sentence.
      type: list
      elements: str
      returned: success
    notes:
      description: What an operator should know before it begins.
      type: list
      elements: str
      returned: success
    not_measured:
      description: What has no data, one sentence each.
      type: list
      elements: str
      returned: success
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.gate import forecast
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import options as prometheus_options
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import PrometheusError

ARGUMENTS = {
    **prometheus_options.ARGUMENTS,
    **prometheus_options.APPLICATION_ARGUMENTS,
    "features": {"type": "list", "elements": "str", "required": True},
    "stages": {"type": "list", "elements": "int", "default": [25, 50, 100]},
    "gate": {"type": "dict", "default": {}},
    "bake": {"type": "dict", "default": {}},
    "hours": {"type": "float", "default": 3},
}

Json = t.Dict[str, t.Any]


def ramp_of(options: Json, now: float) -> forecast.Ramp:
    """The ramp of these options; raises GateError naming the key, its value and what to write."""
    given = options["gate"]
    return forecast.Ramp(
        features=options["features"],
        stages=options["stages"],
        settings=gate_verdict.settings_from(given, options["bake"]),
        now=round(now, 3),
        hours=options["hours"],
        aa=float(options["bake"].get("aa") or 0),
        holdback=int(given.get("holdback") or 0),
        policy=given.get("low_traffic") or "refuse",
        metrics=given.get("metrics") or (),
        job=options["job"],
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        ramp = ramp_of(module.params, time.time())
        found = forecast.forecast(prometheus_options.prometheus_of(module.params), ramp)
    except (gate_verdict.GateError, PrometheusError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, forecast=found)


if __name__ == "__main__":
    main()
