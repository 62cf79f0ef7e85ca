#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the record of the rollouts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Read what the record says about a rollout
version_added: 0.1.0
description:
  - Verifies the chain of the ledger in O(path) and replays it to the state of one rollout.
  - Runs on the ledger host.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  path:
    description: Directory of the ledger. An absent one is an empty ledger.
    type: path
    required: true
  rollout:
    description: Which rollout. Default is the newest.
    type: str
  include_events:
    description: Return the rollout's lines too.
    type: bool
    default: false
seealso:
  - module: gradual.rollout.ledger
"""

EXAMPLES = r"""
- name: See how far the rollout is
  gradual.rollout.ledger_info:
    path: /var/lib/gradual/storefront
  register: known
"""

RETURN = r"""
rollout:
  description: The rollout, or null when the ledger is empty.
  returned: success
  type: dict
  contains:
    id:
      description: Name of the rollout.
      type: str
      sample: storefront-2.0.0-20260101T120000Z
    open:
      description: Whether it is still to be finished. One that was finished and then went back in part is open again.
      type: bool
    outcome:
      description: How it was finished, one of completed, returned and incomplete; null while it is open for the first
        time.
      type: str
    completed:
      description: Whether it was finished as completed and nothing that users see happened after that.
      type: bool
    manifest:
      description: The manifest that is rolled out.
      type: dict
    digest:
      description: SHA-256 of the manifest's canonical JSON.
      type: str
    started:
      description: When it was started, in UTC.
      type: str
    finished:
      description: When it was finished last, in UTC; else null.
      type: str
    plan:
      description: The plan as it was when the rollout was started.
      type: list
    revision:
      description: The revision of the database schema before the rollout.
      type: str
    servers:
      description: >-
        Balancer → server → its state when the rollout was started, as M(gradual.rollout.haproxy_server_info) tells
        it; null when not known.
      type: dict
    smoke:
      description: >-
        Which smoke tests held when the rollout was started on what ran then, C({held, failed}); null when that is
        not known.
      type: dict
    steps:
      description: "Step → C({state, started, finished, error, task, host}); state is started, finished or failed."
      type: dict
    failed:
      description: "The failure that has not been overcome, C({step, host, task, error, at}); else null."
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
      description: Percentage of the last certified stage; 0 when there is none or the flags were turned off.
      type: int
    stage:
      description: Percentage that was set last; null before the first stage, 0 after the flags were turned off.
      type: int
    stages:
      description: "Stages in the order they were set, C({percent, set, expiry, certified})."
      type: list
      elements: dict
    flags_off:
      description: When the flags were turned off; null when they are not.
      type: str
    approvals:
      description: Percentages after which a person has said to go on.
      type: list
      elements: int
    approved:
      description: "The same with who and when, C({percent, by, at})."
      type: list
      elements: dict
    aa:
      description: >-
        When the users of all stages were compared with the features off, C({since, until}) in epoch seconds; else
        null.
      type: dict
    canary:
      description: >-
        How the watch of the first host ended, C({host, ended, at}) with V(passed) or V(skipped); null when it has
        not.
      type: dict
    contracted:
      description: Whether the point of no return has been passed, or may have been.
      type: bool
    contract:
      description: >-
        C({began, applied, from, to, before}); applied is null for one whose end is not known; null before the
        first.
      type: dict
    durations:
      description: For each step the median of its seconds in the completed rollouts of this ledger.
      type: dict
    lease:
      description: "C({holder, seconds, since, until, held}); held tells whether it counts at this moment."
      type: dict
owed:
  description: The backfills of all rollouts that have to be complete before the schema is contracted, as their
    manifests have them.
  returned: success
  type: list
  elements: dict
clock:
  description: The present by the clock that the ledger's times come from, in epoch seconds.
  returned: success
  type: float
intact:
  description: Whether every line is as it was written.
  returned: success
  type: bool
broken_at:
  description: Number of the first line that is not, and null when all are.
  returned: success
  type: int
broken:
  description: What is wrong with that line.
  returned: success
  type: str
torn:
  description: Bytes of a last line that a crash cut off; they do not count, and the next event removes them.
  returned: success
  type: int
events:
  description: How many lines the ledger has, up to the first broken one.
  returned: success
  type: int
last_hash:
  description: Hash of the last of these lines. Kept elsewhere, it shows later that no line was cut off the end.
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
