#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users got during a time: requests, failures, times, and figures of each feature by variant."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_info
short_description: Count requests, failures and response times during a rollout, by feature and variant
version_added: 0.1.0
description:
  - Takes requests and failed answers (5xx) from HAProxy's exporter, so requests that never reached a host are counted.
  - Takes response times, errors, slow answers, feedback and orders by feature and variant from the application's
    metrics.
  - Excludes Gradual's own requests. The balancer sends them to the backends in O(probe_backends), and the application
    counts them under the route C(gradual-probe). If one of them does not, they are included, and
    RV(traffic.not_measured) says so.
  - A figure without data is null, and RV(traffic.not_measured) has a sentence about it.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.prometheus
  - gradual.rollout.prometheus.application
options:
  since:
    description: Start, in seconds since the epoch.
    type: float
    required: true
  until:
    description: End, in seconds since the epoch. The default is now.
    type: float
  features:
    description: Keys of the features.
    type: list
    elements: str
    default: []
  slow_seconds:
    description: An answer that takes longer is slow. It must be a bucket bound of the histograms.
    type: float
    default: 0.5
  frontends:
    description: The balancer's frontends for users.
    type: list
    elements: str
    default: [front_door]
  probe_backends:
    description: The balancer's backends for Gradual's own requests.
    type: list
    elements: str
    default: [application_probes]
  platform_routes:
    description: Routes of the application that the balancer, Prometheus and Gradual request by themselves.
    type: list
    elements: str
    default: [/healthz, /readyz, /version, /metrics]
"""

EXAMPLES = r"""
- name: Count what users got since the start of the rollout
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
      description: Requests of users; null if not measured.
      type: int
      returned: success
    failed:
      description: Answers 5xx to users; null if not measured.
      type: int
      returned: success
    own_requests:
      description: Gradual's own requests at the front door, which no other figure includes; null if the balancer does
        not separate them.
      type: int
      returned: success
    answered:
      description: Answers of the application to users, by its own counters.
      type: int
      returned: success
    own_answered:
      description: Answers of the application to Gradual's own requests, also excluded; null if the application does not
        separate them.
      type: int
      returned: success
    slow:
      description: Answers of the application slower than O(slow_seconds).
      type: int
      returned: success
    mean_seconds:
      description: Mean response time.
      type: float
      returned: success
    series:
      description: At most 120 points with time, requests, failed, p50, p95 in seconds (interpolated, for charts) and
        share of users.
      type: list
      elements: dict
      returned: success
    by_variant:
      description: For each feature, with it (on) and without it (off, and the A/A stage) the requests, errors, slow,
        mean_seconds, good and bad feedback, orders.
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
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.observe import traffic
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import options as prometheus_options
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import PrometheusError

ARGUMENTS = {
    **prometheus_options.ARGUMENTS,
    **prometheus_options.APPLICATION_ARGUMENTS,
    "since": {"type": "float", "required": True},
    "until": {"type": "float"},
    "features": {"type": "list", "elements": "str", "default": []},
    "slow_seconds": {"type": "float", "default": 0.5},
    "frontends": {"type": "list", "elements": "str", "default": ["front_door"]},
    "platform_routes": {"type": "list", "elements": "str", "default": list(metrics.PLATFORM)},
    "probe_backends": {"type": "list", "elements": "str", "default": ["application_probes"]},
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
        options["platform_routes"],
    )
    try:
        seen = traffic.observe(prometheus_options.prometheus_of(options), window)
    except PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, traffic=seen)


if __name__ == "__main__":
    main()
