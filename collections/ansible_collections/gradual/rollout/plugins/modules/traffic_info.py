#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users got during a time: requests, failures, times, and figures of each feature by variant."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_info
short_description: Requests, failures and times of a rollout, and its features by variant
version_added: 0.1.0
description:
  - Counts requests and failed answers (5xx) as HAProxy's exporter tells them, so that a request that never reached a
    host is counted.
  - Takes times of answers, errors, slow answers, feedback and orders by feature and variant from the application's
    metrics.
  - Leaves out Gradual's own requests. The balancer answers them by the backends in O(probe_backends), the application
    counts them by the
    route C(gradual-probe). Where one of them does not, the figures hold them, and RV(traffic.not_measured) says so.
  - A figure that nothing was measured for is null, with a sentence in RV(traffic.not_measured).
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes, gradual.rollout.attributes.info_module]
options:
  prometheus:
    description: Address of Prometheus.
    type: str
    default: http://127.0.0.1:9090
  since:
    description: Begin, in seconds since the epoch.
    type: float
    required: true
  until:
    description: End, in seconds since the epoch, else now.
    type: float
  features:
    description: Keys of the features.
    type: list
    elements: str
    default: []
  slow_seconds:
    description: An answer that takes longer is slow. Has to be a bound of the histograms.
    type: float
    default: 0.5
  frontends:
    description: Names of the balancer's frontends that users reach.
    type: list
    elements: str
    default: [front_door]
  probe_backends:
    description: Names of the balancer's backends that answer Gradual's own requests.
    type: list
    elements: str
    default: [application_probes]
  job:
    description: The job in Prometheus that scrapes the application.
    type: str
    default: application
  timeout:
    description: Seconds to wait for one answer of Prometheus.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: What users got since the rollout began
  gradual.rollout.traffic_info:
    prometheus: http://127.0.0.1:9090
    since: 1790000000
    features: [search]
"""

RETURN = r"""
traffic:
  description: The data of the ledger's event C(traffic.observed).
  type: dict
  returned: success
  contains:
    requests:
      description: Requests of users, null when not measured.
      type: int
      returned: success
    failed:
      description: Answers 5xx to users, null when not measured.
      type: int
      returned: success
    own_requests:
      description: Gradual's own requests at the front door, which are in none of the other figures; null when the
        balancer does not tell them apart.
      type: int
      returned: success
    answered:
      description: Answers of the application to users, as it counts them.
      type: int
      returned: success
    own_answered:
      description: Answers of the application to Gradual itself, likewise left out; null when the application does not
        tell them apart.
      type: int
      returned: success
    slow:
      description: Answers of the application slower than O(slow_seconds).
      type: int
      returned: success
    mean_seconds:
      description: Mean time of an answer.
      type: float
      returned: success
    series:
      description: At most 120 points with time, requests, failed, p50, p95 in seconds (interpolated, for charts) and
        share of users.
      type: list
      elements: dict
      returned: success
    by_variant:
      description: For each feature, with it (on) and without it (off, and the A/A stage), requests, errors, slow,
        mean_seconds, good and bad opinions, orders.
      type: list
      elements: dict
      returned: success
    not_measured:
      description: What could not be measured, one sentence each.
      type: list
      elements: str
      returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.observe import traffic
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import client as prometheus

ARGUMENTS = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
    "since": {"type": "float", "required": True},
    "until": {"type": "float"},
    "features": {"type": "list", "elements": "str", "default": []},
    "slow_seconds": {"type": "float", "default": 0.5},
    "frontends": {"type": "list", "elements": "str", "default": ["front_door"]},
    "probe_backends": {"type": "list", "elements": "str", "default": ["application_probes"]},
    "job": {"type": "str", "default": "application"},
    "timeout": {"type": "float", "default": 30},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    window = traffic.Window(
        options["since"],
        options["until"] or round(time.time(), 3),
        options["features"],
        options["slow_seconds"],
        options["job"],
        options["frontends"],
        options["probe_backends"],
    )
    try:
        seen = traffic.observe(prometheus.Prometheus(options["prometheus"], options["timeout"]), window)
    except prometheus.PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, traffic=seen)


if __name__ == "__main__":
    main()
