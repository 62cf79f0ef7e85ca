#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a streaming standby of a cluster: a thin shell over module_utils/postgresql/standby.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_standby
short_description: Turn an unused cluster into a streaming standby
version_added: "0.1.0"
description:
  - Replaces the data of the cluster on this host by a copy of the primary's, by pg_basebackup, and starts it as a
    standby.
  - C(primary_conninfo) and C(primary_slot_name) are read from the server's configuration. The slot must exist.
  - A cluster that is a standby already is not changed, whatever primary it follows.
  - A primary with user data is refused. Its data is never deleted.
  - If the copy does not stream within a minute, the previous cluster is put back.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.attributes.check_and_diff
  - gradual.rollout.database
options:
  unit:
    description: The systemd unit of the cluster.
    type: str
    required: true
  timeout:
    description: Seconds that the copy may take.
    type: int
    default: 86400
"""

EXAMPLES = r"""
- name: Follow the primary that primary_conninfo names
  gradual.rollout.database_standby:
    unit: postgresql@15-main.service
"""

RETURN = r"""
steps:
  description: The steps that were done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [pg_basebackup of the primary into /var/lib/postgresql/15/main, start as its standby]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import standby
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "unit": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 86400},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    parameters = {
        "dbname": "postgres",
        "host": given["socket_directory"],
        "port": str(given["port"]),
        "user": given["run_as"],
    }
    try:
        result = standby.bring(parameters, given["run_as"], given["unit"], given["timeout"], module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=f"The cluster of {given['unit']} is no standby: {error}")
    after = "".join(f"{step}\n" for step in result["steps"])
    module.exit_json(changed=bool(after), diff={"before": "", "after": after}, **result)


if __name__ == "__main__":
    main()
