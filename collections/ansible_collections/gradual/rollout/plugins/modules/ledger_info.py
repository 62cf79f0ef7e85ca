#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the record of the rollouts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Read the state of a rollout from the ledger
version_added: 0.1.0
description:
  - Verifies the hash chain of the ledger in O(path), and computes the state of one rollout from its events.
  - Runs on the ledger host.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  path:
    description: Directory of the ledger. A missing one is an empty ledger.
    type: path
    required: true
  rollout:
    description: Name of the rollout. The default is the newest one.
    type: str
  include_events:
    description: Return the rollout's lines too.
    type: bool
    default: false
seealso:
  - module: gradual.rollout.ledger
"""

EXAMPLES = r"""
- name: Read the state of the rollout
  gradual.rollout.ledger_info:
    path: /var/lib/gradual/storefront
  register: known
"""

RETURN = r"""
rollout:
  description: The rollout, or null if the ledger is empty.
  returned: success
  type: dict
  contains:
    id:
      description: Name of the rollout.
      type: str
      sample: storefront-2.0.0-20260101T120000Z
    open:
      description: Whether it is not finished. A finished rollout that was partly rolled back afterwards is open again.
      type: bool
    outcome:
      description: Its outcome, one of completed, returned and incomplete; null before it was finished for the first
        time.
      type: str
    completed:
      description: Whether it was finished as completed and nothing that users notice changed after that.
      type: bool
    manifest:
      description: Its manifest.
      type: dict
    digest:
      description: SHA-256 of the manifest's canonical JSON.
      type: str
    started:
      description: Its start, in UTC.
      type: str
    finished:
      description: Its last end, in UTC; else null.
      type: str
    plan:
      description: The plan at the start.
      type: list
    revision:
      description: The revision of the database schema before the rollout.
      type: str
    servers:
      description: >-
        Balancer → server → its state at the start, as M(gradual.rollout.haproxy_server_info) returns it; null if
        unknown.
      type: dict
    smoke:
      description: >-
        Which smoke tests passed at the start on the previous release, C({held, failed}); null if unknown.
      type: dict
    steps:
      description: "Step → C({state, started, finished, error, task, host}); state is started, finished or failed."
      type: dict
    failed:
      description: "The failure that no later success of its step has resolved, C({step, host, task, error, at}); else
        null."
      type: dict
    hosts:
      description: >-
        Host → C({before, to, now, drained, since, left, switched}); now is untouched, released, returned or
        lost.
      type: dict
    receipt:
      description: The receipt of the proven backup; else null.
      type: dict
    migrated:
      description: "C({from, to}) of the expand migrations; else null."
      type: dict
    certified:
      description: Percentage of the last certified stage; 0 if there is none or the flags were turned off.
      type: int
    stage:
      description: The percentage that was set last; null before the first stage, 0 after the flags were turned off.
      type: int
    stages:
      description: "Stages in the order they were set, C({percent, set, expiry, certified})."
      type: list
      elements: dict
    flags_off:
      description: When the flags were turned off; null if they were not.
      type: str
    approvals:
      description: Percentages after which a person approved the next stage.
      type: list
      elements: int
    approved:
      description: "The same with who and when, C({percent, by, at})."
      type: list
      elements: dict
    aa:
      description: >-
        Start and end of the A/A stage, C({since, until}) in seconds since the epoch; else null.
      type: dict
    canary:
      description: >-
        How the canary's watch ended, C({host, ended, at}) with V(passed) or V(skipped); null before its end.
      type: dict
    killed:
      description: "Its features that were killed and not allowed again: flag → C({at, by, reason})."
      type: dict
    contracted:
      description: Whether the point of no return was passed, or may have been.
      type: bool
    contract:
      description: >-
        C({began, applied, from, to, before}) of the last contraction; applied is null if its end is unknown. Null
        before the first.
      type: dict
    durations:
      description: For each step the median of its seconds in the completed rollouts of this ledger.
      type: dict
    lease:
      description: "C({holder, seconds, since, until, held}); held says whether it is valid now."
      type: dict
owed:
  description: The backfills of all rollouts that must be complete before the schema is contracted, as in their
    manifests.
  returned: success
  type: list
  elements: dict
clock:
  description: The time by the ledger host's clock, in seconds since the epoch.
  returned: success
  type: float
intact:
  description: Whether no line was changed.
  returned: success
  type: bool
broken_at:
  description: Number of the first changed line, or null.
  returned: success
  type: int
broken:
  description: What is wrong with it.
  returned: success
  type: str
torn:
  description: Bytes of an incomplete last line after a crash. They are ignored, and the next event removes them.
  returned: success
  type: int
events:
  description: Number of lines, up to the first changed one.
  returned: success
  type: int
last_hash:
  description: Hash of the last of these lines. Keep it elsewhere to prove later that no line at the end was removed.
  returned: success
  type: str
rollouts:
  description: Names of all rollouts, oldest first.
  returned: success
  type: list
  elements: str
lines:
  description: The lines of the rollout.
  returned: with O(include_events=true)
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, read
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import identifiers, owed, rollout_state

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "rollout": {"type": "str"},
    "include_events": {"type": "bool", "default": False},
}


def look(path: str, identifier: str | None, include_events: bool) -> dict[str, Any]:
    """Everything the module returns about the ledger in `path`."""
    reading = read(path)
    known = identifiers(reading.lines)
    if identifier and identifier not in known:
        raise LedgerError(
            f"rollout: the ledger in {path} knows no {identifier!r}; write one of"
            f" {', '.join(known) or 'nothing, it is empty'}"
        )
    state = rollout_state(reading.lines, identifier, time.time())
    found: dict[str, Any] = {
        "rollout": state,
        "owed": owed(reading.lines),
        "clock": time.time(),
        "intact": reading.intact,
        "broken_at": reading.broken.seq if reading.broken else None,
        "broken": str(reading.broken) if reading.broken else None,
        "torn": reading.torn,
        "events": len(reading.lines),
        "last_hash": reading.last_hash,
        "rollouts": known,
    }
    if include_events:
        found["lines"] = [line for line in reading.lines if state and line["rollout"] == state["id"]]
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(
            changed=False, **look(module.params["path"], module.params["rollout"], module.params["include_events"])
        )
    except LedgerError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
