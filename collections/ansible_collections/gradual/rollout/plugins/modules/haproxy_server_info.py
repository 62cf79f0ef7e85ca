#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the servers of an HAProxy backend."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server_info
short_description: List the servers of a backend and their states
version_added: 0.1.0
description:
  - Uses HAProxy's runtime socket on the balancer itself.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  socket:
    description: Path of the runtime socket.
    type: path
    default: /run/haproxy/admin.sock
  backend:
    description: The backend.
    type: str
    required: true
  settle:
    description: Seconds to wait for servers that are between two states (V(UP 1/2), V(DOWN 1/2)).
    type: float
    default: 0
seealso:
  - module: gradual.rollout.haproxy_server
"""

EXAMPLES = r"""
- name: List the servers
  gradual.rollout.haproxy_server_info:
    backend: application
  register: balancer
"""

RETURN = r"""
servers:
  description: The servers.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the server.
      type: str
    state:
      description: One of ready, down (its checks fail), drained and maintenance.
      type: str
    up:
      description: Whether it gets requests, and its checks pass or it has none. False while it is between two states.
      type: bool
    status:
      description: HAProxy's own status, such as C(UP 1/2).
      type: str
    check:
      description: Result of the last health check, such as C(L7OK).
      type: str
    sessions:
      description: Requests that run on it or are queued for it.
      type: int
    connections:
      description: Open connections to it, including idle ones.
      type: int
    address:
      description: Its address and port.
      type: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.drain import settled
from ansible_collections.gradual.rollout.plugins.module_utils.haproxy.runtime_api import HaproxyError, Socket

ARGUMENTS: dict[str, Any] = {
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "backend": {"type": "str", "required": True},
    "settle": {"type": "float", "default": 0},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        found = settled(Socket(module.params["socket"]), module.params["backend"], module.params["settle"])
    except HaproxyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, servers=[{**asdict(server), "up": server.settled} for server in found])


if __name__ == "__main__":
    main()
