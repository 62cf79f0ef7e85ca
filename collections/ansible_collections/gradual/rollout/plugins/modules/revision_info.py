#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which migrations a database has had, and whether its server takes writes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: revision_info
short_description: Return the applied migrations of a database, and whether its server is a standby
version_added: 0.1.0
description:
  - Reads the migration tool's table in its own session. Neither the tool nor a release is needed on the host.
  - A database that cannot be read is not an error; then RV(recorded) and RV(standby) are null, and RV(reason) says why.
    A playbook must then assume the worst case.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.database, gradual.rollout.attributes.info_module]
options:
  adapter:
    description: The migration tool.
    type: str
    choices: [alembic, django, sql, sqitch]
    default: alembic
  database:
    description: Name of the database. Taken from the C(DATABASE_URL) in O(environment_file) when it is not given.
    type: str
  environment_file:
    description: File on this host with lines C(KEY=value), among them C(DATABASE_URL).
    type: path
seealso:
  - module: gradual.rollout.migration_lint
"""

EXAMPLES = r"""
- name: Read the applied migrations
  gradual.rollout.revision_info:
    database: storefront
"""

RETURN = r"""
recorded:
  description: What the tool's table holds; an empty list without such a table, null when it is unknown.
  returned: always
  type: list
  elements: str
applied:
  description: Gradual's own records of the applied revisions, by name, each the checksum of what was applied; null when
    it is unknown.
  returned: always
  type: dict
empty:
  description: Whether the database has no table but those of extensions, of migration tools and of Gradual; null when
    it is unknown.
  returned: always
  type: bool
standby:
  description: Whether the server is a standby (C(pg_is_in_recovery())), which takes no writes; null when it is unknown.
  returned: always
  type: bool
reason:
  description: Why it is unknown.
  returned: when it is unknown
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.migration import steps
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn, revisions
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import effective_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "adapter": {"type": "str", "choices": list(revisions.READERS), "default": "alembic"},
    "database": {"type": "str"},
    "environment_file": {"type": "path"},
}


def database(given: dict[str, str | None]) -> str:
    """The database's name, from the options or from the environment file."""
    file = given["environment_file"]
    if given["database"] or not file:
        return given["database"] or ""
    if not os.path.isfile(file):
        raise DatabaseError(f"there is no {file} on this host yet")
    return dsn.database_of(dsn.read_variables(file).get("DATABASE_URL", ""))


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_one_of=[("database", "environment_file")]
    )
    given = module.params
    standby = None
    try:
        name = database(given)
        with effective_user(given["run_as"]):
            session = Session(
                {"dbname": name, "host": given["socket_directory"], "port": str(given["port"])}, "gradual-look"
            )
        with session:
            standby = bool(session.value("SELECT pg_is_in_recovery()"))
            recorded = revisions.READERS[given["adapter"]](session)
            applied = steps.sums(session, given["adapter"])
            empty = revisions.empty(session)
            module.exit_json(changed=False, recorded=recorded, applied=applied, empty=empty, standby=standby)
    except (DatabaseError, OSError) as error:
        module.exit_json(changed=False, recorded=None, applied=None, empty=None, standby=standby, reason=str(error))


if __name__ == "__main__":
    main()
