#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count what still evaluates flags."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evaluations_info
short_description: Count how often flags were evaluated for users
version_added: 0.1.0
description:
  - Reads C(feature_evaluations_total) of every host from Prometheus. A flag may be removed only when nothing evaluates
    it.
  - A flag is left out of RV(evaluations) when nothing is known about it, since silence of a host that is not scraped
    proves nothing.
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
    description: How far to look back.
    type: float
    default: 3600
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
- name: Count what evaluated the flag in the last day
  gradual.rollout.evaluations_info:
    flags: [search]
    seconds: 86400
"""

RETURN = r"""
evaluations:
  description: Evaluations by flag; a flag about which nothing is known is missing.
  type: dict
  returned: success
  sample: {"search": 0}
sentence:
  description: The same for an operator.
  type: str
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.flags import usage as flag_usage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import client as prometheus

ARGUMENTS = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
    "flags": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "float", "default": 3600},
    "job": {"type": "str", "default": "application"},
    "timeout": {"type": "float", "default": 30},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    try:
        client = prometheus.Prometheus(options["prometheus"], options["timeout"])
        counted, sentence = flag_usage.evaluations(
            client, options["flags"], options["seconds"], time.time(), options["job"]
        )
    except prometheus.PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, evaluations=counted, sentence=sentence)


if __name__ == "__main__":
    main()
