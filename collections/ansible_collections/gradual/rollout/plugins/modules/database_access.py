#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a database and those who may use it: a thin shell over module_utils/postgresql/access.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_access
short_description: Make a database, its roles and their privileges
version_added: "0.1.0"
description:
  - Makes an owner, an application role with the privileges that it needs, and other roles that may connect.
  - No other role can connect. Roles get no special attributes, except REPLICATION for standbys by
    O(roles[].replication).
  - Passwords are compared with the server's stored ones, and sent as SCRAM verifiers only.
  - It drops nothing. A role or database that is no longer listed stays.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.attributes.check_and_diff
  - gradual.rollout.database
options:
  database:
    description: Name of the database. It is made if it is missing.
    type: str
    required: true
  owner:
    description: Role that owns the database. One of O(roles).
    type: str
    required: true
  user:
    description: Role of the application. One of O(roles).
    type: str
    required: true
  roles:
    description: Roles that log in with a password.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password:
        description: Its password, of printable ASCII characters.
        type: str
        required: true
      member_of:
        description: Roles whose privileges it shares, V(pg_monitor) for example.
        type: list
        elements: str
        default: []
      replication:
        description: Whether standbys stream with this role. It cannot connect to the database then.
        type: bool
        default: false
  table_privileges:
    description: What O(user) may do with every table that O(owner) makes in schema C(public) from now on.
    type: list
    elements: str
    choices: [SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER]
    default: []
  sequence_privileges:
    description: What O(user) may do with every sequence that O(owner) makes in schema C(public) from now on.
    type: list
    elements: str
    choices: [USAGE, SELECT, UPDATE]
    default: []
  extensions:
    description: Extensions of the database.
    type: list
    elements: str
    default: []
  slots:
    description: Physical replication slots, one for each standby, of lower case letters, digits and underscores.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Make the database of the storefront
  gradual.rollout.database_access:
    database: storefront
    owner: storefront_owner
    user: storefront_app
    roles:
      - {name: storefront_owner, password: "{{ vault_database_owner_password }}"}
      - {name: storefront_app, password: "{{ vault_database_application_password }}"}
      - {name: gradual_monitoring, password: "{{ vault_database_monitoring_password }}", member_of: [pg_monitor]}
    table_privileges: [SELECT, INSERT, UPDATE, DELETE]
    sequence_privileges: [USAGE, SELECT]
"""

RETURN = r"""
statements:
  description: The statements that were run, or would be in check mode, without passwords.
  returned: always
  type: list
  elements: str
  sample: ['GRANT CONNECT ON DATABASE "storefront" TO "storefront_app"']
existed:
  description: Whether the database existed before.
  returned: always
  type: bool
waiting:
  description: Settings of the server whose new value waits for a restart.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import access
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "database": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "roles": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "member_of": {"type": "list", "elements": "str", "default": []},
            "replication": {"type": "bool", "default": False},
        },
    },
    "table_privileges": {
        "type": "list",
        "elements": "str",
        "default": [],
        "choices": ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
    },
    "sequence_privileges": {"type": "list", "elements": "str", "default": [], "choices": ["USAGE", "SELECT", "UPDATE"]},
    "extensions": {"type": "list", "elements": "str", "default": []},
    "slots": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    wanted = access.Wanted(
        given["database"],
        given["owner"],
        tuple(
            access.Login(role["name"], role["password"], tuple(role["member_of"]), role["replication"])
            for role in given["roles"]
        ),
        tuple(role["name"] for role in given["roles"] if role["name"] != given["owner"] and not role["replication"]),
        given["user"],
        {"tables": given["table_privileges"], "sequences": given["sequence_privileges"]},
        tuple(given["extensions"]),
        tuple(given["slots"]),
    )
    parameters = {"host": given["socket_directory"], "port": str(given["port"]), "user": given["run_as"]}
    try:
        result = as_user(given["run_as"], lambda: access.bring(parameters, wanted, module.check_mode))
    except DatabaseError as error:
        module.fail_json(msg=f"The roles of database {given['database']} are not as wanted: {error}")
    after = "".join(f"{told}\n" for told in result["statements"])
    module.exit_json(changed=bool(after), diff={"before": "", "after": after}, **result)


if __name__ == "__main__":
    main()
