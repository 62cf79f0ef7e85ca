#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take one look at a stage: fetch the counters since it began, and decide."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_look
short_description: Take one look at a baking stage and say promote, continue, hold or abort
version_added: 0.1.0
description:
  - Fetches the raw counters of the features since the stage began from Prometheus, and compares users with and without each feature.
  - A look may be taken as often as one likes, the chance of stopping a harmless release over all looks stays under C(gate.alpha).
  - No data is never a pass. Whatever is missing gives V(hold) with a sentence that says what.
  - Everything that was seen is returned in RV(look.counts); the verdict is a pure function of it and RV(look.settings).
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes, gradual.rollout.attributes.info_module]
options:
  prometheus:
    description: Address of Prometheus.
    type: str
    default: http://127.0.0.1:9090
  features:
    description: Keys of the features that bake.
    type: list
    elements: str
    required: true
  percent:
    description:
      - The stage's share of the users.
      - At 100 there is nobody left to compare with. Only the hard limits abort, and the stage is certified by C(gate.harmless_share), or
        because it is not worse than all users were in the C(bake.max) seconds before it.
    type: int
    required: true
  since:
    description: When the stage began, in seconds since the epoch. Samples before it are not used.
    type: float
    required: true
  gate:
    description:
      - Settings of the gate as in the release manifest.
      - V(alpha), V(certify_alpha), V(tolerated_ratio), V(margin), V(slow_seconds), V(hard_error_share), V(hard_slow_share),
        V(harmless_share), V(min_requests), V(on_no_data).
    type: dict
    default: {}
  bake:
    description: V(min), V(max), V(look) and V(deadline) of the stage in seconds; V(deadline) is one and a half times V(max) if left out.
    type: dict
    default: {}
  stages:
    description: Shares of the whole ramp; alpha is divided among those under 100.
    type: list
    elements: int
    default: [25, 50, 100]
  hosts:
    description: Hosts (label C(host)) that must be seen. Without it, all that Prometheus knows of O(job).
    type: list
    elements: str
    default: []
  job:
    description: The job in Prometheus that scrapes the application.
    type: str
    default: application
  not_before:
    description: When to look, in seconds since the epoch; the module waits until then, ten minutes at most.
    type: float
  timeout:
    description: Seconds to wait for one answer of Prometheus.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look at 25 %
  gradual.rollout.gate_look:
    prometheus: http://127.0.0.1:9090
    features: [search]
    percent: 25
    since: 1790000000.5
    gate: {slow_seconds: 0.5}
    bake: {min: 60, max: 600, look: 10}
  register: look
  until: look.verdict in ['promote', 'abort'] or look.deadline_passed
"""

RETURN = r"""
verdict:
  description: V(promote), V(continue), V(hold) or V(abort).
  type: str
  returned: success
reason:
  description: Why, in one sentence.
  type: str
  returned: success
  sample: >-
    search errors with the feature 2.9 % of 4,210, without it 1 % of 12,640: at least 1.6 times worse, the chance of saying so of a
    harmless release is under 5 %
deadline_passed:
  description: Whether a hold has lasted so long that the policy RV(on_no_data) applies.
  type: bool
  returned: success
on_no_data:
  description: The policy, V(rollback) or V(manual).
  type: str
  returned: success
first_bad_at:
  description: Start of the first interval with a bad answer to a user with the feature, in seconds since the epoch.
  type: float
  returned: success
look:
  description: The whole look for the ledger, the four values above among it.
  type: dict
  returned: success
  contains:
    percent:
      description: The stage.
      type: int
      returned: success
    elapsed:
      description: Seconds since the stage began.
      type: float
      returned: success
    intervals:
      description: Intervals that were seen.
      type: int
      returned: success
    metrics:
      description: For each feature and metric the counts of both arms, the e-value against the tolerated ratio, its verdict and reason.
      type: list
      elements: dict
      returned: success
    counts:
      description: Everything that was seen, as the gate takes it.
      type: dict
      returned: success
    settings:
      description: The settings in force, with their defaults. With RV(look.counts) they give the verdict again.
      type: dict
      returned: success
"""

import dataclasses
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils import arms, gate, prometheus

ARGUMENTS = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
    "features": {"type": "list", "elements": "str", "required": True},
    "percent": {"type": "int", "required": True},
    "since": {"type": "float", "required": True},
    "gate": {"type": "dict", "default": {}},
    "bake": {"type": "dict", "default": {}},
    "stages": {"type": "list", "elements": "int", "default": [25, 50, 100]},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "job": {"type": "str", "default": "application"},
    "not_before": {"type": "float"},
    "timeout": {"type": "float", "default": 10},
}
LONGEST_WAIT = 600.0


def look(options: dict[str, object], now: float) -> dict[str, object]:
    """Fetch and judge; returns all there is to record of one look."""
    settings = gate.settings_from(options["gate"], options["bake"])  # type: ignore[arg-type]
    if now < options["since"]:  # type: ignore[operator]
        raise gate.GateError(f"since is {options['since']}, which is in the future of this host ({now:.0f}); compare the clocks")
    stage = arms.Stage(
        features=options["features"],  # type: ignore[arg-type]
        percent=options["percent"],  # type: ignore[arg-type]
        since=options["since"],  # type: ignore[arg-type]
        until=round(now, 3),
        slow_seconds=settings.slow_seconds,
        job=options["job"],  # type: ignore[arg-type]
        hosts=options["hosts"],  # type: ignore[arg-type]
        stages=len([percent for percent in options["stages"] if percent < 100]),  # type: ignore[attr-defined]
        lookback=settings.max,
    )
    client = prometheus.Prometheus(options["prometheus"], options["timeout"])  # type: ignore[arg-type]
    counts = arms.collect(client, stage)
    return {
        "percent": stage.percent,
        **gate.judge(counts, settings),
        "intervals": max((len(metric["rows"]) for metric in counts["metrics"]), default=0),
        "on_no_data": settings.on_no_data,
        "counts": counts,
        "settings": dataclasses.asdict(settings),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        time.sleep(min(LONGEST_WAIT, max(0.0, (module.params["not_before"] or 0.0) - time.time())))
        seen = look(module.params, time.time())
    except (gate.GateError, prometheus.PrometheusError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, look=seen, **{key: seen[key] for key in ("verdict", "reason", "deadline_passed", "on_no_data", "first_bad_at")})


if __name__ == "__main__":
    main()
