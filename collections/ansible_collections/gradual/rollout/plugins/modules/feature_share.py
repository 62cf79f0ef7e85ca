#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the share of users who have each feature, through the front door."""

from __future__ import annotations

DOCUMENTATION = r"""
module: feature_share
short_description: Measure the share of users who have each feature
version_added: 0.1.0
description:
  - Requests O(path) of the application as many users, over TLS and keep-alive connections, at a steady rate.
  - The users are the same in every measurement. So it can count users who lose a feature from one stage to the next.
  - Fails if a user gets no answer, because the share among the answers is not the share of all users.
  - An application without O(path) answers 404 to every user. Then nothing is measured, and RV(measured) is false.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
options:
  base_url:
    description: Public address of the application, for example V(https://shop.example.org).
    type: str
    required: true
  ca_path:
    description: PEM file of the authorities to trust. Default are the host's.
    type: path
  flags:
    description: Keys of the flags.
    type: list
    elements: str
    required: true
  users:
    description: Number of users.
    type: int
    default: 2000
  rate:
    description: Maximum number of users per second.
    type: float
    default: 250
  timeout:
    description: Seconds to wait for one answer.
    type: float
    default: 5
  path:
    description: Path that answers with the features of the calling user.
    type: str
    default: /api/features
  user_key:
    description: Where the application reads the user, V(cookie NAME) or V(header NAME).
    type: str
    default: cookie visitor
  previous:
    description: File that O(record) wrote at the previous stage. Users in it who no longer have a flag are counted.
    type: path
  record:
    description: File for the users who have each flag.
    type: path
attributes:
  check_mode:
    support: full
    details: [Measures. Writes no record.]
  diff_mode:
    support: N/A
    details: [There is nothing to compare.]
"""

EXAMPLES = r"""
- name: Measure the share at 50 % and compare with the users of 25 %
  gradual.rollout.feature_share:
    base_url: https://lb1
    ca_path: /etc/gradual/ca.pem
    flags: [search, recommendations]
    previous: /var/lib/gradual/storefront/shares/25.json
    record: /var/lib/gradual/storefront/shares/50.json
"""

RETURN = r"""
measured:
  description: Whether the application has an address to ask at. If not, RV(features) is empty and RV(lost) is null.
  type: bool
  returned: success
features:
  description: For each flag the number of users, those who have it, their share, and those who lost it.
  type: dict
  returned: success
  sample: {"search": {"users": 2000, "on": 507, "share": 0.2535, "lost": 0}}
lost:
  description: Users who lost a flag since O(previous), summed over all flags. 0 without O(previous).
  type: int
  returned: success
compared:
  description: Whether there was an earlier measurement.
  type: bool
  returned: success
ended:
  description: End of the measurement, in seconds since the epoch.
  type: float
  returned: success
began:
  description: Start of the measurement by this host's clock, in seconds since the epoch.
  type: float
  returned: success
seconds:
  description: Duration of the measurement.
  type: float
  returned: success
repeated:
  description: Requests that were repeated after a closed connection or an answer 429 or 503.
  type: int
  returned: success
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import USER_KEY
from ansible_collections.gradual.rollout.plugins.module_utils.flags import measured_share

ARGUMENTS = {
    "base_url": {"type": "str", "required": True},
    "ca_path": {"type": "path"},
    "flags": {"type": "list", "elements": "str", "required": True},
    "users": {"type": "int", "default": 2000},
    "rate": {"type": "float", "default": 250},
    "timeout": {"type": "float", "default": 5},
    "path": {"type": "str", "default": measured_share.PATH},
    "user_key": {"type": "str", "default": USER_KEY, "no_log": False},
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
        options["base_url"],
        options["flags"],
        options["users"],
        options["rate"],
        options["ca_path"],
        options["timeout"],
        measured_share.Where(options["path"], options["user_key"]),
    )
    if measured.no_address:
        features: dict[str, dict[str, Any]] = {}
    elif measured.mistakes:
        count = f"{len(measured.mistakes)} of {len(measured.mistakes) + len(measured.answered)} users asked"
        raise measured_share.ShareError(
            f"{count} got no usable answer from {options['base_url']}: {measured_share.told(measured.mistakes)}"
        )
    else:
        features = measured_share.compare(measured, before)
    if features and options["record"] and not module.check_mode:
        measured_share.save(options["record"], measured)
    return {
        "features": features,
        "measured": bool(features),
        "lost": sum(each["lost"] for each in features.values()) if features else None,
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
