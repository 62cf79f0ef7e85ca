#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drain and admit servers of an HAProxy backend."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Take servers out of traffic and let them in again
version_added: 0.1.0
description:
  - Speaks to HAProxy's runtime socket on the balancer itself.
  - Waits until what it says is so. No request fails because of it.
  - Keeps the state of all servers in O(state_file) after each change, since HAProxy forgets it on reload otherwise.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  socket:
    description: The runtime socket, with level admin.
    type: path
    default: /run/haproxy/admin.sock
  backend:
    description: The backend.
    type: str
    required: true
  servers:
    description: Names of servers in it.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) gives a server no new requests, waits until none is under way, then puts it into maintenance.
        A drain that does not end within O(timeout) is taken back.
      - V(maintenance) takes it out at once, as is right for a host that is lost.
      - V(ready) lets it in and waits until a health check has passed since.
    type: str
    choices: [drained, maintenance, ready]
    required: true
  timeout:
    description: Seconds that each server may take.
    type: float
    default: 30
  state_file:
    description: The global C(server-state-file) of HAProxy's configuration. Empty to keep nothing.
    type: str
    default: /var/lib/haproxy/server-state
seealso:
  - module: gradual.rollout.haproxy_server_info
"""

EXAMPLES = r"""
- name: Drain
  gradual.rollout.haproxy_server:
    backend: application
    servers: [app1]
    state: drained
  delegate_to: lb1

- name: Admit
  gradual.rollout.haproxy_server:
    backend: application
    servers: [app1]
    state: ready
  delegate_to: lb1
"""

RETURN = r"""
results:
  description:
    - "For each server C({server, before, after, status, sessions, seconds, changed})."
    - before and after are ready, down, drained or maintenance; sessions are those still under way at the end.
  returned: always, unless the balancer cannot be asked
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.draining import NotInTime, Wish, move
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy import HaproxyError, Socket

ARGUMENTS: dict[str, Any] = {
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "backend": {"type": "str", "required": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["drained", "maintenance", "ready"], "required": True},
    "timeout": {"type": "float", "default": 30},
    "state_file": {"type": "str", "default": "/var/lib/haproxy/server-state"},
}


def work(given: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Move the servers, and keep what the balancer knows then."""
    balancer = Socket(given["socket"])
    wish = Wish(given["backend"], given["state"], given["timeout"], check_mode)
    try:
        results = move(balancer, given["servers"], wish)
    finally:
        if given["state_file"] and not check_mode:
            balancer.save(given["state_file"])
    lines = {when: "".join(f"{given['backend']}/{result['server']} {result[when]}\n" for result in results) for when in ("before", "after")}
    return {"changed": any(result["changed"] for result in results), "results": results, "diff": lines}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module.params, module.check_mode))
    except NotInTime as error:
        module.fail_json(msg=str(error), results=error.results)
    except HaproxyError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
