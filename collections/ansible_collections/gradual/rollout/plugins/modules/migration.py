#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Migrate a database step by step: a thin shell over module_utils/migration/runner.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration
short_description: Migrate a database one revision at a time, after a proven backup, without blocking its users
version_added: "0.1.0"
description:
  - Reads the revision over its own connection before and after every step. A tool that ends with 0 without having
    applied the revision has failed. A tool that ends with an error although the revision is applied is reported as
    such.
  - Changes nothing without the receipt of a recent backup of this database that was proven by a restore.
  - Applies one revision at a time, each by the release's own tool as an unprivileged user, with a short lock timeout
    and long pauses between attempts, because other sessions wait behind each attempt.
  - Revisions that use CONCURRENTLY run without a lock timeout, which would only leave invalid indexes. Invalid indexes
    of a failed attempt are dropped before the next one, and those that are invalid afterwards are rebuilt.
  - Runs alone. It waits until O(deadline) for another migration, a backup by this collection, and any pg_dump of this
    database.
  - Applies revisions of the phase V(expand) only, unless O(phase) says otherwise. The phase is in the revision's file,
    for Alembic as C(phase = "expand") at the top level.
  - Records the SHA-256 of each revision's statements in the database, in C(gradual.migration_step), and refuses to
    continue when they were edited after they were applied. Comments and layout do not count.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.database
  - gradual.rollout.database.owner
  - gradual.rollout.phases
attributes:
  check_mode:
    description: Returns what is pending and what would be applied. Needs no receipt and changes nothing.
    support: full
  diff_mode:
    description: The revision before and after, in RV(from) and RV(to).
    support: none
options:
  adapter:
    description:
      - The migration tool. V(sql) is a folder of plain SQL files, C(0001_orders.sql), which psql runs, each in one
        transaction with its record.
      - "For V(sql) and V(sqitch) the phase is in a comment at the top of the file, C(-- gradual: phase=expand); for
        V(django) it is the attribute C(gradual_phase) of the class C(Migration). O(phases) is for files that are not
        yours to edit."
    type: str
    choices: [alembic, django, sql, sqitch]
    default: alembic
  directory:
    description: Folder of the staged release, with its own C(.venv) where the tool is Alembic or Django.
    type: path
    required: true
  path:
    description:
      - Folder of the migrations below O(directory). The one that contains C(versions) for Alembic, C(manage.py) for
        Django, C(sqitch.plan) for sqitch, or the SQL files themselves.
    type: str
    default: migrations
  target:
    description: V(head), a revision, or the first letters of one. A revision of Django is C(app.name). For
      O(state=reverted) the revision to revert.
    type: str
    default: head
  phase:
    description:
      - V(expand) applies the expand revisions that depend on no pending one of another phase. The others stay pending,
        in RV(left).
      - V(contract) applies all revisions up to the target.
    type: str
    choices: [expand, contract]
    default: expand
  state:
    description:
      - V(info) returns the database's revision and what is pending, V(applied) applies revisions.
      - V(reverted) reverts exactly the revision O(target), by the tool's own command and with the same checks. It must
        be an expand revision that this module applied and that no other revision depends on. Data in what it removes is
        lost, so use it for a schema that nobody uses yet; a rollback of the code does not need it.
    type: str
    choices: [info, applied, reverted]
    default: info
  migrate_as:
    description: System user of the release's tool when the module runs as root. It must be able to read O(directory).
    type: str
    default: nobody
  receipt:
    description: Receipt of a proven backup, as M(gradual.rollout.backup_verify) returns it, or the folder of that
      backup on this host.
    type: raw
  max_age:
    description: Seconds after which a receipt is too old.
    type: int
    default: 86400
  lock_timeout_ms:
    description: Milliseconds that one attempt waits for a lock. Other sessions wait behind it as long.
    type: int
    default: 50
  pause_ms:
    description: Milliseconds between two attempts, so that other sessions catch up.
    type: int
    default: 500
  deadline:
    description: Seconds to wait for a lock, a dump or another migration.
    type: int
    default: 60
  timeout:
    description: Seconds that one revision may run.
    type: int
    default: 3600
  max_lag_bytes:
    description: Before each step, wait until O(deadline) for replicas that are further behind than this. Without it,
      there is no wait.
    type: int
  max_lag_seconds:
    description: The same in seconds.
    type: float
seealso:
  - module: gradual.rollout.backup_verify
"""

EXAMPLES = r"""
- name: What is pending?
  gradual.rollout.migration:
    directory: /opt/storefront/releases/2.0.0-1f3a5c7e9b2d
    database: storefront

- name: Expand the schema
  gradual.rollout.migration:
    state: applied
    directory: /opt/storefront/releases/2.0.0-1f3a5c7e9b2d
    environment_file: /etc/gradual/storefront/database.environment
    receipt: "{{ proven.receipt }}"

- name: The same for a Django project whose manage.py is at the top of the release, not while a replica is far behind
  gradual.rollout.migration:
    state: applied
    adapter: django
    path: .
    directory: /opt/storefront/releases/2.0.0-1f3a5c7e9b2d
    environment_file: /etc/gradual/storefront/database.environment
    receipt: "{{ proven.receipt }}"
    max_lag_seconds: 10
"""

RETURN = r"""
current:
  description: Revision that the database was at, or null.
  returned: always
  type: str
from:
  description: The same.
  returned: always
  type: str
to:
  description: Revision that the database is at now, as the database says.
  returned: always
  type: str
pending:
  description: Revisions that have still to be applied on the way to the target, each with its phase.
  returned: always
  type: list
  elements: dict
would_apply:
  description: Revisions that would be applied, or reverted.
  returned: in check mode with O(state=applied) or O(state=reverted)
  type: list
  elements: str
applied:
  description: What was done in each step.
  returned: always
  type: list
  elements: dict
  contains:
    revision:
      description: The revision.
      type: str
    seconds:
      description: How long it took, pauses included.
      type: float
    attempts:
      description: How many attempts it took.
      type: int
    lock_waits:
      description: How many of them ended because a lock was not to be had in time.
      type: int
    blockers:
      description: Who held that lock.
      type: list
      elements: str
    notes:
      description: What else was done, such as rebuilding an index.
      type: list
      elements: str
failed_step:
  description: The step that failed, like one of RV(applied), or null.
  returned: on failure
  type: dict
message:
  description: Why nothing can be told yet, because the release is not staged in O(directory).
  returned: in check mode, where that is so
  type: str
left:
  description: Revisions of a later phase that stay pending.
  returned: always
  type: list
  elements: dict
invalid_indexes:
  description: Indexes of the database that are invalid.
  returned: always
  type: list
  elements: str
identity:
  description: Which server and database this is.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters, phases
from ansible_collections.gradual.rollout.plugins.module_utils.migration.reverting import Reverter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed, Migrator, Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

ARGUMENTS = {
    **database_options.ARGUMENTS,
    **database_options.OWNER_ARGUMENTS,
    "adapter": {"type": "str", "choices": list(adapters.ADAPTERS), "default": "alembic"},
    "directory": {"type": "path", "required": True},
    "path": {"type": "str", "default": "migrations"},
    "target": {"type": "str", "default": "head"},
    "phase": {"type": "str", "choices": ["expand", "contract"], "default": "expand"},
    "phases": phases.ARGUMENT,
    "state": {"type": "str", "choices": ["info", "applied", "reverted"], "default": "info"},
    "migrate_as": {"type": "str", "default": "nobody"},
    "receipt": {"type": "raw"},
    "max_age": {"type": "int", "default": 86400},
    "lock_timeout_ms": {"type": "int", "default": 50},
    "pause_ms": {"type": "int", "default": 500},
    "deadline": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 3600},
    "max_lag_bytes": {"type": "int"},
    "max_lag_seconds": {"type": "float"},
}
_SAME = (
    "target",
    "phase",
    "receipt",
    "max_age",
    "run_as",
    "migrate_as",
    "socket_directory",
    "port",
    "lock_timeout_ms",
    "pause_ms",
    "deadline",
    "timeout",
    "max_lag_bytes",
    "max_lag_seconds",
)


def request(module: AnsibleModule) -> Request:
    """The module's options as a request, with the variables of its environment file."""
    given = module.params
    variables: dict[str, str] = {}
    if given["environment_file"]:
        variables = dsn.read_variables(given["environment_file"])
    if given["database_url"]:
        variables["DATABASE_URL"] = given["database_url"]
    url = variables.get("DATABASE_URL", "")
    module.no_log_values.update(dsn.secrets(variables))
    if given["state"] != "info" and not url:
        raise DatabaseError(
            "DATABASE_URL of the schema's owner is missing; write the path of the file that has it as environment_file"
        )
    if not given["database"] and not url:
        raise DatabaseError("the database is missing; write database, or environment_file with DATABASE_URL")
    return Request(
        database=given["database"] or dsn.database_of(url), variables=variables, **{key: given[key] for key in _SAME}
    )


def migrate(module: AnsibleModule) -> dict[str, object]:
    """Return the state, or apply, as state says."""
    if module.check_mode and not os.path.isdir(module.params["directory"]):
        nothing: dict[str, object] = {
            key: [] for key in ("pending", "would_apply", "applied", "left", "invalid_indexes")
        }
        told = f"the release is not staged in {module.params['directory']} yet; what is pending is known only then"
        return {"changed": True, "message": told, "from": None, "to": None, "current": None, "identity": {}, **nothing}
    given = module.params
    adapter = adapters.of(given["adapter"], os.path.realpath(given["directory"]), given["path"], given["phases"])
    kind = Reverter if module.params["state"] == "reverted" else Migrator
    with kind(request(module), adapter) as migrator:
        if module.params["state"] == "info":
            return {"changed": False, **migrator.info()}
        if module.check_mode:
            planned = [one.revision for one in migrator.plan()]
            return {"changed": bool(planned), "would_apply": planned, **migrator.info()}
        result = migrator.apply()
        return {"changed": bool(result["applied"]), **result}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, mutually_exclusive=[("environment_file", "database_url")]
    )
    try:
        result = migrate(module)
    except MigrationFailed as error:
        module.fail_json(msg=str(error), **{"changed": bool(error.result.get("applied")), **error.result})
    except DatabaseError as error:
        module.fail_json(msg=f"The migration did not begin: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
