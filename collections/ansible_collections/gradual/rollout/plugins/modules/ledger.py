#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Open a rollout, record in it, close it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger
short_description: Open a rollout, record its events, close it
version_added: 0.1.0
description:
  - Appends lines to the record of one application's rollouts, C(ledger.jsonl) in O(path).
  - Each line has the hash of the line before it. It is synced to disk before the module returns.
  - The writer holds a lease, so two runs never work on one application at the same time. Every event renews the lease.
  - Runs on the ledger host. The times of the lease are those of its clock.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.check_and_diff]
options:
  path:
    description: Directory of the ledger. It is created if it is missing.
    type: path
    required: true
  state:
    description:
      - V(opened) starts a rollout of O(release), or resumes the open rollout of the same manifest. If the newest
        rollout is completed and had the same artifact, features and migrations, nothing is started, even if its bake or
        gate differ.
      - V(recorded) adds O(events) to the newest rollout.
      - V(renewed) renews the lease of this run and never takes it. The action plugin does this every 30 seconds while a
        module runs.
      - V(released) releases the lease and leaves the rollout open, so that the next playbook can continue on any
        controller.
      - V(closed) adds O(events), then finishes the newest rollout with O(outcome) and releases the lease.
    type: str
    choices: [opened, recorded, renewed, released, closed]
    default: recorded
  release:
    description: The manifest, as M(gradual.rollout.manifest) returns it. Needed with O(state=opened).
    type: dict
  plan:
    description: The planned steps, for the event rollout.started.
    type: list
    elements: raw
  hosts:
    description: >-
      The release of each application host before the rollout: host → C({version, digest, directory}), for the event
      rollout.started.
    type: dict
  servers:
    description: >-
      The state of each server on each balancer before the rollout: balancer → server → state, for the event
      rollout.started.
    type: dict
  smoke:
    description: Which smoke tests passed on the previous release, C({held, failed}), for the event rollout.started.
    type: dict
  revision:
    description: The revision of the database schema before the rollout, for the event rollout.started.
    type: str
  force:
    description: With O(state=opened), start a new rollout even if the same release was completed already.
    type: bool
    default: false
  events:
    description: The events, in order. An empty list with O(state=recorded) renews the lease.
    type: list
    elements: dict
    default: []
    suboptions:
      event:
        description: Name of the event, such as V(step.started).
        type: str
        required: true
      data:
        description: Data of the event.
        type: dict
  outcome:
    description: Outcome of the rollout. Required with O(state=closed).
    type: str
    choices: [completed, returned, incomplete]
  rollout:
    description: The expected rollout. It is an error if another one is the newest.
    type: str
  lease_seconds:
    description:
      - How long the lease lasts after the last event, at most 90 seconds. While a module of this collection runs, the
        action plugin renews the lease of its run. So another run waits at most this long for a run that was killed.
    type: int
    default: 90
  hold_until:
    description:
      - After O(events) are written, wait until this time, in seconds since the epoch by the clock of this host. The
        action plugin waits on the controller.
    type: float
  holder:
    description: The writer. The action plugin sets it to C(user@controller/mark:pid) of ansible-playbook.
    type: str
  dead_holder:
    description:
      - A holder that no longer runs, whose lease can be taken over.
      - The action plugin sets it if the holder was a run on this controller that has ended.
    type: str
  take_over:
    description:
      - Take the lease from any holder. A run that loses it stops after its current module.
      - The action plugin sets it from the variable C(gradual_take_over), for a run that has not held the lease yet.
      - Without it, the action plugin waits until the lease of a run that does not renew it has expired, at most the
        length of a lease.
    type: bool
    default: false
  owned:
    description: Whether this run held the lease already, so that it must not take it again after it lost it. The action
      plugin sets it.
    type: bool
    default: false
seealso:
  - module: gradual.rollout.ledger_info
"""

EXAMPLES = r"""
- name: Start or resume the rollout
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    state: opened
    release: "{{ checked.manifest }}"

- name: Record the proven backup
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    events:
      - event: backup.proven
        data: {receipt: "{{ proven.receipt }}"}
      - event: step.finished
        data: {step: backup}

- name: Wait for five minutes and keep the lease
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
  description: State of the rollout, see M(gradual.rollout.ledger_info).
  returned: success
  type: dict
added:
  description: Names of the events that were added, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [lease.taken, rollout.resumed]
now:
  description: The time at the end by the clock of this host, in seconds since the epoch.
  returned: success
  type: float
lease:
  description: The lease, if another run holds it. C(left) is the number of seconds until it expires.
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
