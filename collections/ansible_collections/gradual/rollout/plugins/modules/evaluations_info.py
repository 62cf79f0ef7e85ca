#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count who still evaluates a flag."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evaluations_info
short_description: Count what still evaluates a flag
version_added: 0.1.0
description:
  - Adds up C(feature_evaluations_total) over all processes of the application, for each flag.
  - A flag of which Prometheus knows nothing is left out of the answer, since no data is not zero.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes, gradual.rollout.attributes.info_module]
options:
  prometheus:
    description: Address of Prometheus.
    type: str
    default: http://127.0.0.1:9090
  flags:
    description: Keys of the flags.
    type: list
    elements: str
    required: true
  seconds:
    description: For how long to look back.
    type: int
    required: true
seealso:
  - module: gradual.rollout.feature_flags
"""

EXAMPLES = r"""
- name: Has anything evaluated the flag today?
  gradual.rollout.evaluations_info:
    flags: [search]
    seconds: 86400
"""

RETURN = r"""
evaluations:
  description: For each flag that Prometheus knows, how often it was evaluated.
  returned: success
  type: dict
  sample: {"search": 0}
sentence:
  description: The same for people.
  returned: success
  type: str
  sample: "search was evaluated 4,210 times in the last 86,400 s; of checkout nothing is known"
"""

import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.gradual.rollout.plugins.module_utils import prometheus  # noqa: E402

ARGUMENTS = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
    "flags": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "int", "required": True},
}


def evaluations(series: list[prometheus.Series]) -> dict[str, int]:
    """Return {flag: evaluations} for the flags of which there are at least two samples."""
    anew = prometheus.resets(series)
    counted: dict[str, float] = {}
    for each in series:
        if len(each.samples) > 1:
            flag = each.labels["flag"]
            counted[flag] = counted.get(flag, 0.0) + sum(step.increase for step in prometheus.steps(each.samples, anew))
    return {flag: round(number) for flag, number in counted.items()}


def sentence(flags: list[str], counted: dict[str, int], seconds: int) -> str:
    """Say for each flag how often it was evaluated, or that nothing is known."""
    return "; ".join(
        f"{flag} was evaluated {counted[flag]:,} times in the last {seconds:,} s" if flag in counted else f"of {flag} nothing is known"
        for flag in flags
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    flags, seconds = module.params["flags"], module.params["seconds"]
    selector = "feature_evaluations_total" + prometheus.matching({"flag": flags})
    now = time.time()
    try:
        counted = evaluations(prometheus.Prometheus(module.params["prometheus"]).series(selector, now - seconds, now))
    except prometheus.PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, evaluations=counted, sentence=sentence(flags, counted, seconds))


if __name__ == "__main__":
    main()
