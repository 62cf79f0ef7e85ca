#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whose sessions a database has: a thin shell over module_utils/postgresql/clients.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_sessions_info
short_description: List an application's sessions in its database, with host and start time
version_added: "0.1.0"
description:
  - Reads the sessions of the roles that an application connects as, and of their members, and finds the host of each by
    its address.
  - The filter P(gradual.rollout.contract_objections#filter) decides which of them are of old code.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.database
options:
  database:
    description: Name of the database.
    type: str
    required: true
  roles:
    description: The roles that the application connects as. One that does not exist is an error.
    type: list
    elements: str
    required: true
  hosts:
    description: Host → the address that it connects from, in numbers or as a name that the database host can resolve.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: List the sessions
  gradual.rollout.database_sessions_info:
    database: storefront
    roles: [storefront_app]
    hosts: {app1: 192.0.2.11, app2: 192.0.2.12}
"""

RETURN = r"""
sessions:
  description: The sessions, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Its server process.
      type: int
    role:
      description: Its role.
      type: str
    application_name:
      description: Its application_name.
      type: str
    address:
      description: The client's address; null for a local socket.
      type: str
    host:
      description: The matching host of O(hosts), or null.
      type: str
    begun:
      description: Its start, in epoch seconds of the database's clock.
      type: float
    state:
      description: Its state, such as V(active) or V(idle).
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.clients import sessions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "database": {"type": "str", "required": True},
    "roles": {"type": "list", "elements": "str", "required": True},
    "hosts": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    try:
        with effective_user(given["run_as"]):
            session = Session(
                {"dbname": given["database"], "host": given["socket_directory"], "port": str(given["port"])},
                "gradual-sessions",
            )
        with session:
            found = sessions(session, given["roles"], {name: str(address) for name, address in given["hosts"].items()})
    except DatabaseError as error:
        module.fail_json(msg=f"The sessions of database {given['database']} cannot be listed: {error}")
    module.exit_json(changed=False, sessions=found)


if __name__ == "__main__":
    main()
