#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drain and admit servers of an HAProxy backend."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Drain, disable and enable servers of a backend
version_added: 0.1.0
description:
  - Uses HAProxy's runtime socket on the balancer itself.
  - Waits until the servers have the wanted state. No request fails because of it.
  - Takes a server out of traffic only while enough other servers are up; else it fails and lists their states. A server
    is up if HAProxy's status is V(UP) or V(no check). A server between two states (V(UP 1/2)) gets five seconds. A
    server without requests can always be taken out. The check and the change are one step under a lock on this
    balancer.
  - The newest call for a server wins. An older call that still waits, for example after its run was killed, stops and
    changes nothing.
  - Writes the state of all servers to O(state_file) after each change, because HAProxy loses it on reload otherwise. A
    file that cannot be written, for example on a full disk, is only a warning, because the servers have the wanted
    state by then.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.check_and_diff, gradual.rollout.probes]
options:
  socket:
    description: Path of the runtime socket with level admin.
    type: path
    default: /run/haproxy/admin.sock
  backend:
    description: The backend.
    type: str
    required: true
  servers:
    description: Names of the servers.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) sends no new requests to a server, waits until its requests have ended, then puts it into
        maintenance. The drain is reverted if it does not end within O(timeout), or if too many other servers go down
        meanwhile.
      - V(maintenance) takes it out of traffic at once. Use it for a host that is lost.
      - V(ready) admits it and waits until a health check has passed. Then O(probes), its smoke tests, are sent through
        the front door, with its name in the header C(X-Gradual-Server). If one fails three times, a server that was out
        of traffic before is put into maintenance again.
      - V(enabled) ends a drain or a maintenance and does not wait. The server is down until its health checks pass. Use
        it for a host on which nothing runs yet.
    type: str
    choices: [drained, maintenance, ready, enabled]
    required: true
  timeout:
    description: Seconds that each server may take.
    type: float
    default: 30
  min_in_traffic:
    description:
      - How many other servers of the backend must be up before one is drained or put into maintenance.
      - The default is two thirds of O(up_before), rounded down, but at least one. V(0) permits the last server; users
        notice that.
    type: int
  up_before:
    description: Names of the servers that were up when the rollout began. The default is those that are up now.
    type: list
    elements: str
  must_be_up:
    description: Names of servers that must be up before another one is drained or put into maintenance, such as those
      that were switched already.
    type: list
    elements: str
    default: []
  front_door:
    description: Where O(probes) are sent. Needed with them.
    type: dict
    suboptions:
      url:
        description: The origin that users ask, such as V(https://storefront.example.org).
        type: str
        required: true
      address:
        description: Address of this balancer. The Host header and the certificate are still those of the URL.
        type: str
      ca_path:
        description: PEM file of the authorities to trust for https. Default are the host's.
        type: path
  balancer:
    description: Name of the balancer in messages. The default is its host name.
    type: str
  state_file:
    description: The global C(server-state-file) of HAProxy's configuration. Empty means that no state is written.
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

- name: Check whether it can be drained
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
    probes:
      - {path: /, contains: Storefront}
    front_door: {url: "https://storefront.example.org", address: 192.0.2.10}
  delegate_to: lb1
"""

RETURN = r"""
results:
  description:
    - "For each server C({server, before, after, status, sessions, seconds, changed})."
    - before and after are ready, down, drained or maintenance; sessions is the number of requests that still run at the
      end.
  returned: unless the balancer cannot be reached
  type: list
  elements: dict
refused:
  description: Whether it failed because too few other servers are up. Then nothing was changed, or the change was
    reverted.
  returned: failure
  type: bool
"""

import platform
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.host_lock import Claim, Overtaken
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import ARGUMENT
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.drain import (
    NotEnough,
    NotInTime,
    Wish,
    move,
)
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.min_in_traffic import Rule
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Socket
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.smoke_test import (
    FrontDoor,
    SmokeTestFailed,
    smoke_test,
)

ARGUMENTS: dict[str, Any] = {
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "backend": {"type": "str", "required": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["drained", "maintenance", "ready", "enabled"], "required": True},
    "timeout": {"type": "float", "default": 30},
    "min_in_traffic": {"type": "int"},
    "up_before": {"type": "list", "elements": "str"},
    "must_be_up": {"type": "list", "elements": "str", "default": []},
    "probes": ARGUMENT,
    "front_door": {
        "type": "dict",
        "options": {
            "url": {"type": "str", "required": True},
            "address": {"type": "str"},
            "ca_path": {"type": "path"},
        },
    },
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
        if given["probes"] and given["state"] == "ready" and not check_mode:
            smoke_test(balancer, wish, results, FrontDoor(**given["front_door"]), given["probes"])
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
    module = AnsibleModule(argument_spec=ARGUMENTS, required_by={"probes": "front_door"}, supports_check_mode=True)
    try:
        module.exit_json(**work(module.params, module.check_mode, module.warn))
    except (NotEnough, NotInTime, SmokeTestFailed) as error:
        module.fail_json(msg=str(error), results=error.results, refused=isinstance(error, NotEnough))
    except (HaproxyError, Overtaken) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
