#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Open a rollout, record in it, close it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger
short_description: Open a rollout, record what happened in it, close it
version_added: 0.1.0
description:
  - Adds lines to the record of the rollouts of one application, C(ledger.jsonl) in O(path).
  - Lines are chained by their hashes, and on the disk before the module returns.
  - Whoever writes holds the lease; two runs never work on one application at the same time. Every event renews the
    lease.
  - Runs on the ledger host. The lease's times are those of its clock.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  path:
    description: Directory of the ledger. Made if absent.
    type: path
    required: true
  state:
    description:
      - V(opened) starts a rollout of O(release), or resumes the open one of the same manifest. A completed one that
        brought the
        same artifact, features and migrations, with nothing after it, is found and left alone, however it was watched.
      - V(recorded) adds O(events) to the newest rollout.
      - V(renewed) renews the lease of this run, and never takes it. The action plugin does so every half minute while a
        module runs.
      - V(released) gives the lease back and leaves the rollout open, for the next playbook to go on from wherever it
        runs.
      - V(closed) adds O(events), then finishes the newest rollout with O(outcome) and gives the lease back.
    type: str
    choices: [opened, recorded, renewed, released, closed]
    default: recorded
  release:
    description: The manifest, as M(gradual.rollout.manifest) returns it. Needed with O(state=opened).
    type: dict
  plan:
    description: The steps planned, kept in the event rollout.started.
    type: list
    elements: raw
  hosts:
    description: >-
      What each application host runs before the rollout: host → C({version, digest, directory}), kept in
      rollout.started.
    type: dict
  servers:
    description: >-
      The state of each server on each balancer before the rollout: balancer → server → state, kept in
      rollout.started.
    type: dict
  smoke:
    description: Which smoke tests held before the rollout on what ran then, C({held, failed}), kept in rollout.started.
    type: dict
  revision:
    description: The revision of the database schema before the rollout, kept in rollout.started.
    type: str
  force:
    description: With O(state=opened), start a new rollout even where the same release has been completed already.
    type: bool
    default: false
  events:
    description: What happened, in order. An empty list with O(state=recorded) renews the lease.
    type: list
    elements: dict
    default: []
    suboptions:
      event:
        description: Name of the event, such as V(step.started).
        type: str
        required: true
      data:
        description: What there is to know about it.
        type: dict
  outcome:
    description: How the rollout ended. Needed with O(state=closed).
    type: str
    choices: [completed, returned, incomplete]
  rollout:
    description: The rollout meant. An error when another one is the newest.
    type: str
  lease_seconds:
    description:
      - How long the lease lasts after the last event, 90 seconds at the most. While any module of this collection runs,
        the action plugin
        renews the lease of its run; so nobody waits longer than this for a run that was killed.
    type: int
    default: 90
  hold_until:
    description:
      - Once O(events) are written, wait for this moment (epoch seconds by the clock of this host). The action plugin
        waits, on the controller.
    type: float
  holder:
    description: Who writes. Set by the action plugin to user@controller:pid of ansible-playbook.
    type: str
  dead_holder:
    description:
      - A holder that is known to be dead, whose lease may be taken over.
      - Set by the action plugin when it finds that the holder was a run on this very controller, and is no more.
    type: str
  take_over:
    description:
      - Take the lease whoever holds it. A run that loses it stops after the module that it is running.
      - Set by the action plugin from the variable C(gradual_take_over), for a run that has not held the lease yet.
      - Without it the action plugin waits, up to the length of the lease, until the lease of a run that does not renew
        it has expired.
    type: bool
    default: false
  owned:
    description: Whether this run holds the lease as far as it knows, so that it must not take it a second time. Set by
      the action plugin.
    type: bool
    default: false
seealso:
  - module: gradual.rollout.ledger_info
"""

EXAMPLES = r"""
- name: Begin the rollout, or go on with it
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    state: opened
    release: "{{ checked.manifest }}"

- name: Tell that the backup has been proven
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    events:
      - event: backup.proven
        data: {receipt: "{{ proven.receipt }}"}
      - event: step.finished
        data: {step: backup}

- name: Wait for five minutes, with the lease in hand
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    hold_until: "{{ begun.now + 300 }}"

- name: Finish
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    state: closed
    outcome: completed
"""

RETURN = r"""
rollout:
  description: The rollout as it is now; see M(gradual.rollout.ledger_info).
  returned: success
  type: dict
added:
  description: The names of the events that were added (in check mode, that would be).
  returned: success
  type: list
  elements: str
  sample: [lease.taken, rollout.resumed]
now:
  description: The time by the clock of this host at the end, in epoch seconds.
  returned: success
  type: float
lease:
  description: Who holds the lease, when that is somebody else; C(left) tells how many seconds it lasts unless it is
    renewed.
  returned: failure, when the lease is held
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.events import checked
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, locked, read, stamp
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import rollout_state

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["opened", "recorded", "renewed", "released", "closed"], "default": "recorded"},
    "release": {"type": "dict"},
    "plan": {"type": "list", "elements": "raw"},
    "hosts": {"type": "dict"},
    "servers": {"type": "dict"},
    "smoke": {"type": "dict"},
    "revision": {"type": "str"},
    "force": {"type": "bool", "default": False},
    "events": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"event": {"type": "str", "required": True}, "data": {"type": "dict"}},
    },
    "outcome": {"type": "str", "choices": ["completed", "returned", "incomplete"]},
    "rollout": {"type": "str"},
    "lease_seconds": {"type": "int", "default": 90},
    "hold_until": {"type": "float"},
    "holder": {"type": "str"},
    "dead_holder": {"type": "str"},
    "take_over": {"type": "bool", "default": False},
    "owned": {"type": "bool", "default": False},
}


def decide(lines: list[dict[str, Any]], given: dict[str, Any]) -> lease.Decision:
    """What these parameters add to a ledger of these lines."""
    request = lease.Request(
        given["holder"] or "unknown",
        time.time(),
        given["lease_seconds"],
        given["dead_holder"],
        given["take_over"],
        given["owned"],
    )
    events = checked(given["events"])
    if given["state"] == "opened":
        facts = {key: given[key] for key in ("plan", "hosts", "servers", "smoke", "revision")}
        return lease.opened(lines, given["release"], facts, request, given["force"])
    if given["state"] == "closed":
        return lease.closed(lines, given["outcome"], request, given["rollout"], events)
    if given["state"] == "renewed":
        return lease.renewed(lines, request, given["rollout"])
    if given["state"] == "released":
        return lease.released(lines, request, given["rollout"])
    return lease.recorded(lines, events, request, given["rollout"])


def foreseen(lines: list[dict[str, Any]], decision: lease.Decision) -> list[dict[str, Any]]:
    """The lines as they would be after the decision, for check mode."""
    now = stamp()
    return lines + [
        {"time": now, "rollout": decision.rollout, "event": name, "data": data} for name, data in decision.events
    ]


def result(lines: list[dict[str, Any]], decision: lease.Decision) -> dict[str, Any]:
    """What the module returns; renewing the lease alone is no change."""
    names = [name for name, _data in decision.events]
    shown = "".join(f"{name}\n" for name in names)
    return {
        "changed": any(name != "lease.renewed" for name in names),
        "added": names,
        "rollout": rollout_state(lines, decision.rollout, time.time()),
        "now": round(time.time(), 3),
        "diff": {"before_header": "ledger", "after_header": "ledger", "before": "", "after": shown},
    }


def run(given: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Decide, and unless in check mode append, under one lock."""
    if check_mode:
        reading = read(given["path"])
        if reading.broken:
            raise LedgerError(
                f"The ledger in {given['path']} was changed by something other than Gradual: {reading.broken}"
            )
        decision = decide(reading.lines, given)
        return result(foreseen(reading.lines, decision), decision)
    with locked(given["path"]) as ledger:
        decision = decide(ledger.reading.lines, given)
        if decision.events:
            ledger.append(decision.rollout, decision.events)
        return result(ledger.reading.lines, decision)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "opened", ("release",)), ("state", "closed", ("outcome",))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except lease.LeaseHeld as error:
        module.fail_json(msg=str(error), lease=error.lease)
    except LedgerError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
