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
  - Takes a server out of traffic only while enough others are up, and fails otherwise with what it has seen. Up is what
    HAProxy calls
    V(UP) or V(no check). A server that is between two states (V(UP 1/2)) is given five seconds. A server that gets no
    requests anyway may
    always be taken out. Looking and acting is one step, whoever else does the same on this balancer.
  - The newest call for a server wins. One that a killed run has left waiting, such as for the end of a drain, then
    stops and changes nothing.
  - Keeps the state of all servers in O(state_file) after each change, since HAProxy forgets it on reload otherwise. A
    file that cannot be
    written, as on a full disk, is a warning, since the servers are in the wanted state by then.
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
        A drain that does not end within O(timeout) is taken back, and so is one during which too many other servers go
        down.
      - V(maintenance) takes it out at once, as is right for a host that is lost.
      - V(ready) lets it in and waits until a health check has passed since.
      - V(enabled) ends a drain or a maintenance and waits for nothing. The server is down until its health checks pass,
        as one is on which
        nothing runs yet.
    type: str
    choices: [drained, maintenance, ready, enabled]
    required: true
  timeout:
    description: Seconds that each server may take.
    type: float
    default: 30
  min_in_traffic:
    description:
      - The least number of other servers of the backend that must be up before one is drained or put into maintenance.
      - Without it, two thirds of O(up_before), rounded down, and one at least. V(0) permits the last server, which
        users will feel.
    type: int
  up_before:
    description: Names of the servers that were up when the rollout began. Without it, those that are up now count.
    type: list
    elements: str
  must_be_up:
    description: Names of servers that must be up before any other is drained or put into maintenance, such as those
      that were switched already.
    type: list
    elements: str
    default: []
  balancer:
    description: Name of the balancer in messages. Its host name if left out.
    type: str
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
    min_in_traffic: 2
  delegate_to: lb1

- name: See whether it could be drained
  gradual.rollout.haproxy_server:
    backend: application
    servers: [app1]
    state: drained
    up_before: [app1, app2, app3]
  check_mode: true
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
refused:
  description: Whether it failed because too few other servers are up. Then nothing was changed, or what was changed was
    taken back.
  returned: failure
  type: bool
"""

import platform
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.host_lock import Claim, Overtaken
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.drain import (
    NotEnough,
    NotInTime,
    Rule,
    Wish,
    move,
)
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Socket

ARGUMENTS: dict[str, Any] = {
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "backend": {"type": "str", "required": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["drained", "maintenance", "ready", "enabled"], "required": True},
    "timeout": {"type": "float", "default": 30},
    "min_in_traffic": {"type": "int"},
    "up_before": {"type": "list", "elements": "str"},
    "must_be_up": {"type": "list", "elements": "str", "default": []},
    "balancer": {"type": "str"},
    "state_file": {"type": "str", "default": "/var/lib/haproxy/server-state"},
}


def work(given: dict[str, Any], check_mode: bool, warn: Callable[[str], None]) -> dict[str, Any]:
    """Move the servers, and keep what the balancer knows then."""
    balancer = Socket(given["socket"])
    rule = Rule(given["min_in_traffic"], given["up_before"], given["must_be_up"], given["balancer"] or platform.node())
    wish = Wish(
        given["backend"],
        given["state"],
        given["timeout"],
        check_mode,
        rule,
        lambda name: Claim("haproxy", given["socket"], given["backend"], name),
    )
    try:
        results = move(balancer, given["servers"], wish)
    finally:
        if given["state_file"] and not check_mode:
            keep(balancer, given["state_file"], warn)
    lines = {
        when: "".join(f"{given['backend']}/{result['server']} {result[when]}\n" for result in results)
        for when in ("before", "after")
    }
    return {"changed": any(result["changed"] for result in results), "results": results, "diff": lines}


def keep(balancer: Socket, path: str, warn: Callable[[str], None]) -> None:
    """Keep the state of all servers for the next reload; HAProxy has obeyed by now, so what goes wrong here is only
    told."""
    try:
        balancer.save(path)
    except HaproxyError as error:
        warn(
            f"The servers are as wanted, but their state is not kept: {error}. A reload of HAProxy may forget which of"
            " them are out of traffic."
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module.params, module.check_mode, module.warn))
    except (NotEnough, NotInTime) as error:
        module.fail_json(msg=str(error), results=error.results, refused=isinstance(error, NotEnough))
    except (HaproxyError, Overtaken) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
