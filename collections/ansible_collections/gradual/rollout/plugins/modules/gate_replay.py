#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the gate over recorded counts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_replay
short_description: Run the gate on recorded counts
version_added: 0.1.0
description:
  - Returns for each recorded trace the verdict of the gate, its time, and the number of bad requests until then.
  - So you can tune a gate on your own history before you use it. The same counts always give the same result.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
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
  description: One result for each trace, in order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The trace.
      type: str
      returned: success
    verdict:
      description: V(promote) if all stages were certified, V(abort), or V(hold) if the looks ended before a decision.
      type: str
      returned: success
    stage:
      description: Share of the stage of the decision.
      type: float
      returned: success
    look:
      description: Number of the look in that stage, from 1.
      type: int
      returned: success
    bad_served:
      description: Bad events of users with the feature until then, over all stages.
      type: int
      returned: success
    e_value:
      description: Evidence of harm in the counts at the end.
      type: float
      returned: success
    reason:
      description: Why, in one sentence.
      type: str
      returned: success
verdicts:
  description: Number of traces with each verdict.
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
