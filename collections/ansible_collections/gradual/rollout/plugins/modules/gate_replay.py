#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the gate over recorded counts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_replay
short_description: Run the gate over recorded counts, as if live
version_added: 0.1.0
description:
  - Says of each recorded trace what the gate would have said, when, and how many bad requests would have been served
    until then.
  - Lets people tune a gate on their own history before they trust it. The same counts give the same answer.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes, gradual.rollout.attributes.info_module]
options:
  counts:
    description: JSON file of recorded counts, in the form that docs/gates.md describes.
    type: path
    required: true
  gate:
    description: Settings of the gate as in the release manifest.
    type: dict
    default: {}
  bake:
    description: V(min) of the stages in seconds. A stage lasts as long as its recorded looks.
    type: dict
    default: {}
seealso:
  - module: gradual.rollout.gate_look
"""

EXAMPLES = r"""
- name: Replay last week
  gradual.rollout.gate_replay:
    counts: /srv/history/search.json
    gate: {tolerated_ratio: 1.5, margin: 3}
"""

RETURN = r"""
results:
  description: One for each trace, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The trace.
      type: str
      returned: success
    verdict:
      description: V(promote) when certified through the last stage, V(abort), or V(hold) when the looks ran out before
        a decision.
      type: str
      returned: success
    stage:
      description: Share of the stage where it was decided.
      type: float
      returned: success
    look:
      description: The look in that stage, from 1.
      type: int
      returned: success
    bad_served:
      description: Bad events that users with the feature had until then, over all stages.
      type: int
      returned: success
    e_value:
      description: How much the counts speak for harm at the end.
      type: float
      returned: success
    reason:
      description: Why, in one sentence.
      type: str
      returned: success
verdicts:
  description: How many traces had each verdict.
  returned: success
  type: dict
"""

import collections
import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.gate import replay
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError

ARGUMENTS = {
    "counts": {"type": "path", "required": True},
    "gate": {"type": "dict", "default": {}},
    "bake": {"type": "dict", "default": {}},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        settings = replay.settings_of({"gate": module.params["gate"], "bake": module.params["bake"]})
        results = [json.loads(line) for line in replay.lines(replay.read(module.params["counts"]), settings)]
    except GateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False, results=results, verdicts=dict(collections.Counter(each["verdict"] for each in results))
    )


if __name__ == "__main__":
    main()
