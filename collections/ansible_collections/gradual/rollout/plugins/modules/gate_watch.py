#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate_watch
short_description: Watch a stage or a canary with the gate until it has decided
version_added: 0.1.0
description:
  - Looks with M(gradual.rollout.gate_look) twice a second, and records and shows a look each O(every) seconds, and the
    look that decides.
  - Fails at once if a look finds harm, if there was no data for too long, if the share of users is wrong, or if this
    run has lost the lock.
  - While it looks, it measures the share of users with M(gradual.rollout.feature_share), and extends the expiry of the
    stage with M(gradual.rollout.feature_flags) on all hosts at once. The stage passes only if its share is right.
  - If a stage fails, the features are turned off on all hosts before anything is recorded.
  - The action plugin does this on the controller, so a stage expires if the controller dies.
  - The task's host must be the host of the ledger.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
options:
  ledger:
    description: Directory of the ledger.
    type: str
    required: true
  look:
    description: The options of M(gradual.rollout.gate_look), without C(since), C(not_before) and C(early).
    type: dict
    required: true
  since:
    description: When the stage or the canary began, in seconds since the epoch, by the clock of this host.
    type: float
    required: true
  first:
    description: Seconds after O(since) of the first recorded look.
    type: float
    default: 2
  every:
    description: Seconds from one recorded look to the next. If a look takes longer, the moments in it are left out.
    type: float
    required: true
  share:
    description: The options of M(gradual.rollout.feature_share). Without it, no share is measured.
    type: dict
  tolerance:
    description: Points by which the measured share may differ from O(stage.shown).
    type: float
    default: 3
  stage:
    description: The stage to watch. Write this or O(canary).
    type: dict
    suboptions:
      hosts:
        description:
          - For each application host the options C(path) and C(verify_url) of M(gradual.rollout.feature_flags).
        type: dict
        required: true
      application:
        description: Name of the application, written into the metadata of the flag file.
        type: str
      processes:
        description:
          - What the processes of each host reported when the share was written, as the module feature_flags returns it.
          - The share is taken from them if the application has no address for O(share) to ask at.
        type: dict
        default: {}
      features:
        description: The features of the manifest.
        type: list
        elements: dict
        required: true
      certified:
        description: The percentage of users that stays when the stage expires.
        type: int
        required: true
      shown:
        description: The percentage of users of the stage.
        type: int
        required: true
      expiry:
        description: Seconds after which the stage expires. The expiry is extended after each third of them.
        type: float
        required: true
      ends:
        description: When the stage expires as it was written, in seconds since the epoch by the controller's clock.
        type: float
        required: true
  canary:
    description: The canary to watch.
    type: dict
    suboptions:
      host:
        description: The host.
        type: str
        required: true
      least:
        description: Minimum number of seconds to watch it.
        type: float
        required: true
      balancers:
        description: The balancers that say whether it is in traffic.
        type: list
        elements: str
        required: true
      socket:
        description: HAProxy's runtime socket on them.
        type: str
        required: true
      backend:
        description: The backend on them.
        type: str
        required: true
attributes:
  check_mode:
    support: full
    details: [Looks at nothing and changes nothing.]
  diff_mode:
    support: N/A
    details: [There is nothing to compare.]
seealso:
  - module: gradual.rollout.gate_look
"""

EXAMPLES = r"""
- name: Watch the stage of 25 %
  gradual.rollout.gate_watch:
    ledger: /var/lib/gradual/storefront
    since: "{{ recorded.now }}"
    every: 10
    look:
      prometheus: http://127.0.0.1:9090
      features: [search]
      percent: 25
      bake: {min: 60, max: 600, look: 10}
    stage:
      hosts:
        app1: &flags
          path: /etc/gradual/storefront/flags.json
          verify_url: http://127.0.0.1:8080/metrics
        app2: *flags
      features: [{flag: search}]
      certified: 0
      shown: 25
      expiry: 60
      ends: "{{ written_until }}"
  delegate_to: mon1
  run_once: true
"""

RETURN = r"""
verdict:
  description: The verdict of the last look.
  type: str
  returned: success
reason:
  description: Why, in one sentence.
  type: str
  returned: success
elapsed:
  description: Seconds from O(since) to the last look.
  type: float
  returned: success
number:
  description: The number of looks.
  type: int
  returned: success
"""
