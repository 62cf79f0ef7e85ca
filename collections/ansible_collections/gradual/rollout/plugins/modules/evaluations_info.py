#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count what still evaluates flags."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evaluations_info
short_description: Count how often flags were evaluated for users
version_added: 0.1.0
description:
  - Reads C(feature_evaluations_total) of every host from Prometheus. A flag may be removed only when nothing evaluates
    it.
  - A flag without data is not in RV(evaluations). A host that is not scraped proves nothing.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.prometheus
  - gradual.rollout.prometheus.application
options:
  flags:
    description: Keys of the flags.
    type: list
    elements: str
    required: true
  seconds:
    description: The period to count, up to now.
    type: float
    default: 3600
"""

EXAMPLES = r"""
- name: Count the evaluations of the flag in the last day
  gradual.rollout.evaluations_info:
    flags: [search]
    seconds: 86400
"""

RETURN = r"""
evaluations:
  description: Evaluations by flag. A flag without data is missing.
  type: dict
  returned: success
  sample: {"search": 0}
sentence:
  description: The same in a sentence.
  type: str
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.flags import usage as flag_usage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus import options as prometheus_options
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import PrometheusError

ARGUMENTS = {
    **prometheus_options.ARGUMENTS,
    **prometheus_options.APPLICATION_ARGUMENTS,
    "flags": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "float", "default": 3600},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    try:
        client = prometheus_options.prometheus_of(options)
        counted, sentence = flag_usage.evaluations(
            client, options["flags"], options["seconds"], time.time(), options["job"]
        )
    except PrometheusError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, evaluations=counted, sentence=sentence)


if __name__ == "__main__":
    main()
