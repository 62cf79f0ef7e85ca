#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the share of users who have each feature, through the front door."""

from __future__ import annotations

DOCUMENTATION = r"""
module: feature_share
short_description: Measure the share of users who have each feature
version_added: 0.1.0
description:
  - Asks C(/api/features) of the application as many users, over TLS and kept-alive connections, at a steady rate.
  - The users are the same in every measurement, so that a user who loses a feature from one stage to the next is seen.
  - Fails when a user gets no answer, since a share of those who answered is not the share of all.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
options:
  base_url:
    description: Public address of the application, for example V(https://shop.example.org).
    type: str
    required: true
  ca_path:
    description: File with the certificate authority to trust, else the system's.
    type: path
  flags:
    description: Keys of the flags.
    type: list
    elements: str
    required: true
  users:
    description: Number of users to ask as.
    type: int
    default: 2000
  rate:
    description: Users asked for in a second, at most.
    type: float
    default: 250
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 5
  previous:
    description: File that O(record) wrote at the stage before; users in it who have lost a flag are counted.
    type: path
  record:
    description: File to which the users who have each flag are written.
    type: path
attributes:
  check_mode:
    support: full
    details: [Measures, and writes no record.]
  diff_mode:
    support: N/A
    details: [There is nothing to compare.]
"""

EXAMPLES = r"""
- name: Share at 50 %, against the users of 25 %
  gradual.rollout.feature_share:
    base_url: https://lb1
    ca_path: /etc/gradual/ca.pem
    flags: [search, recommendations]
    previous: /var/lib/gradual/storefront/shares/25.json
    record: /var/lib/gradual/storefront/shares/50.json
"""

RETURN = r"""
features:
  description: For each flag the users asked, those who have it, their share, and those who lost it.
  type: dict
  returned: success
  sample: {"search": {"users": 2000, "on": 507, "share": 0.2535, "lost": 0}}
lost:
  description: Users who lost a flag since O(previous), over all flags; 0 without it.
  type: int
  returned: success
compared:
  description: Whether there was an earlier measurement to compare with.
  type: bool
  returned: success
ended:
  description: When the last user had been asked, in seconds since the epoch.
  type: float
  returned: success
began:
  description: When it began by this host's clock, in epoch seconds; since then the gate may look.
  type: float
  returned: success
seconds:
  description: How long it took.
  type: float
  returned: success
repeated:
  description: Requests that were sent again because of a closed connection or an answer 429 or 503.
  type: int
  returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.flags import measured_share

ARGUMENTS = {
    "base_url": {"type": "str", "required": True},
    "ca_path": {"type": "path"},
    "flags": {"type": "list", "elements": "str", "required": True},
    "users": {"type": "int", "default": 2000},
    "rate": {"type": "float", "default": 250},
    "timeout": {"type": "float", "default": 5},
    "previous": {"type": "path"},
    "record": {"type": "path"},
}


def share(module: AnsibleModule) -> dict[str, object]:
    """Measure, compare, record; returns the result of the module."""
    options = module.params
    for name in ("users", "rate"):
        if options[name] <= 0:
            raise measured_share.ShareError(f"{name} is {options[name]}; write a number above 0")
    before = measured_share.load(options["previous"]) if options["previous"] else None
    began = time.time()
    measured = measured_share.measure(
        options["base_url"], options["flags"], options["users"], options["rate"], options["ca_path"], options["timeout"]
    )
    if measured.mistakes:
        count = f"{len(measured.mistakes)} of {len(measured.mistakes) + len(measured.answered)} users asked"
        raise measured_share.ShareError(
            f"{count} got no usable answer from {options['base_url']}: {measured_share.told(measured.mistakes)}"
        )
    features = measured_share.compare(measured, before)
    if options["record"] and not module.check_mode:
        measured_share.save(options["record"], measured)
    return {
        "features": features,
        "lost": sum(each["lost"] for each in features.values()),
        "compared": before is not None,
        "began": round(began, 3),
        "ended": round(time.time(), 3),
        "seconds": round(measured.seconds, 2),
        "repeated": measured.repeated,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = share(module)
    except measured_share.ShareError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
