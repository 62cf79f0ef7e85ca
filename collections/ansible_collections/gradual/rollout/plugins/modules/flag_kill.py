#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flag_kill
short_description: Turn a flag off on every host at once and keep it off, or allow it again
version_added: 0.1.0
description:
  - Runs M(gradual.rollout.feature_flags) on all O(hosts) at once, and shows the result of each host as it comes. A host
    that is lost delays no other.
  - Neither the ledger nor its lock is used.
  - Fails only for wrong options. What was not done is in RV(problem), so that the kill can be recorded first.
  - The action plugin does this on the controller. The host of the task is not contacted.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
options:
  flag:
    description: Key of the flag.
    type: str
    required: true
  state:
    description: V(killed) turns the flag off and marks it. V(allowed) removes the mark and leaves the flag off.
    type: str
    choices: [killed, allowed]
    default: killed
  hosts:
    description:
      - For each application host the options C(path) and C(verify_url) of M(gradual.rollout.feature_flags).
    type: dict
    required: true
  by:
    description: Who kills or allows the flag. The default is C(user@controller).
    type: str
  reason:
    description: Why the flag is killed.
    type: str
  timeout:
    description: Seconds within which every process must evaluate the flag as off.
    type: float
    default: 8
attributes:
  check_mode:
    support: full
    details: [Returns what would change. Writes nothing and verifies nothing.]
  diff_mode:
    support: full
    details: [Shows the file of each host before and after.]
seealso:
  - module: gradual.rollout.feature_flags
"""

EXAMPLES = r"""
- name: Turn the feature off on every host, and keep it off
  gradual.rollout.flag_kill:
    flag: search
    reason: wrong prices
    hosts:
      app1: &flags
        path: /etc/gradual/storefront/flags.json
        verify_url: http://127.0.0.1:8080/metrics
      app2: *flags
  run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts where it is done and every process agrees.
  type: list
  elements: str
  returned: success
changed_hosts:
  description: The hosts whose flag file was changed.
  type: list
  elements: str
  returned: success
unverified:
  description: The hosts where the file is written, and not every process agrees or could be asked.
  type: list
  elements: str
  returned: success
lost:
  description: The hosts where nothing could be written.
  type: list
  elements: str
  returned: success
unknown:
  description: The hosts whose flag file does not have the flag.
  type: list
  elements: str
  returned: success
mark:
  description: "When, by whom and why the flag was killed, and what it showed: C({at, by, reason, showed}); else null."
  type: dict
  returned: success
by:
  description: Who kills or allows the flag.
  type: str
  returned: success
problem:
  description: What is not done on every host, why, and what to do; empty if all is done.
  type: str
  returned: success
"""
