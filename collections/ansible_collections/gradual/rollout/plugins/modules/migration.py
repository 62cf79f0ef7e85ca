#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Migrate a database step by step: a thin shell over module_utils/migration/runner.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration
short_description: Migrate a database one revision at a time, behind a proven backup, without stalling its users
version_added: "0.1.0"
description:
  - Reads the revision over a connection of its own before and after every step. A tool that ends with 0 without having
    moved the database has failed, and
    one that ends with an error although the database has moved is told as what it is.
  - Changes nothing without a receipt of a backup of this very database, proven by a restore and young enough.
  - Applies one revision at a time, each by the release's own tool as an unprivileged user, with a short timeout for
    locks and long pauses, since the share
    of time spent in the lock's queue is what stalls others.
  - Revisions that use CONCURRENTLY run without a lock timeout, which would only leave invalid indexes. Such indexes of
    an attempt that died are dropped
    before, and those that are invalid afterwards are rebuilt.
  - Runs alone. A second migrator, a backup by this collection and any running pg_dump of this database are waited for
    until O(deadline).
  - Applies revisions of the phase V(expand) only, unless asked for more. The phase is read from the revision's file,
    C(phase = "expand") at the top level
    of one of Alembic's.
  - Keeps the SHA-256 of each revision's file in the database, in C(gradual.migration_step), and refuses to go on when
    one was edited after it was applied.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.database
attributes:
  check_mode:
    description: Tells what is pending and what would be applied. Needs no receipt and changes nothing.
    support: full
  diff_mode:
    description: The revision before and after, in RV(from) and RV(to).
    support: none
options:
  adapter:
    description:
      - The migration tool. V(sql) is a folder of plain SQL files, C(0001_orders.sql), which psql runs, each in one
        transaction with the row that records it.
      - "For V(sql) and V(sqitch) the phase is in a comment at the top of the file, C(-- gradual: phase=expand); for
        V(django) it is the attribute
        C(gradual_phase) of the class C(Migration), and for apps of others the setting C(GRADUAL_PHASES), by the label
        of the app."
    type: str
    choices: [alembic, django, sql, sqitch]
    default: alembic
  directory:
    description: Folder of the staged release, with its own C(.venv) where the tool is Alembic or Django.
    type: path
    required: true
  path:
    description:
      - Folder of the migrations below O(directory). The one that holds C(versions) for Alembic, C(manage.py) for
        Django, C(sqitch.plan) for sqitch, or the
        SQL files themselves.
    type: str
    default: migrations
  target:
    description: V(head), a revision, or the first letters of one. A revision of Django's is C(app.name). For
      O(state=reverted) the one to go back from.
    type: str
    default: head
  phase:
    description:
      - With V(expand) the expand revisions up to the first one of another phase are applied. The rest stays pending, in
        RV(left).
      - With V(contract) everything up to the target is applied.
    type: str
    choices: [expand, contract]
    default: expand
  state:
    description:
      - V(info) tells where the database stands, V(applied) brings it forward.
      - V(reverted) goes one step back, from exactly the revision that O(target) names. Only from an expand revision
        that this module applied and that no
        other rests on, by the tool's own way back, behind the same dsn. What was written meanwhile into what it
        takes away is lost, so it is for a schema
        that nobody uses yet; a rollback of the code does not need it.
    type: str
    choices: [info, applied, reverted]
    default: info
  database:
    description: Name of the database. Taken from the C(DATABASE_URL) when it is not given.
    type: str
  environment_file:
    description: File on this host with lines of C(KEY=value), C(DATABASE_URL) of the role that owns the schema among
      them.
    type: path
  database_url:
    description: The C(DATABASE_URL) itself, instead of a file. It reaches the tool by its environment, never by an
      argument.
    type: str
  migrate_as:
    description: System user that the release's tool runs as when the module runs as root. It has to be able to read
      O(directory).
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
    description: Milliseconds that one attempt waits for a lock. Others wait behind it for as long.
    type: int
    default: 50
  pause_ms:
    description: Milliseconds between two attempts, in which everybody else catches up.
    type: int
    default: 500
  deadline:
    description: Seconds after which a lock, a dump or another migrator is waited for no longer.
    type: int
    default: 60
  timeout:
    description: Seconds that one revision may run.
    type: int
    default: 3600
  max_lag_bytes:
    description: Before each step, wait until no replica is further behind than this. Until O(deadline); nothing is
      waited for when this is not given.
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
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.reverting import Reverter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed, Migrator, Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

ARGUMENTS = {
    "adapter": {"type": "str", "choices": ["alembic", "django", "sql", "sqitch"], "default": "alembic"},
    "directory": {"type": "path", "required": True},
    "path": {"type": "str", "default": "migrations"},
    "target": {"type": "str", "default": "head"},
    "phase": {"type": "str", "choices": ["expand", "contract"], "default": "expand"},
    "state": {"type": "str", "choices": ["info", "applied", "reverted"], "default": "info"},
    "database": {"type": "str"},
    "environment_file": {"type": "path"},
    "database_url": {"type": "str", "no_log": True},
    "migrate_as": {"type": "str", "default": "nobody"},
    "receipt": {"type": "raw"},
    "max_age": {"type": "int", "default": 86400},
    "lock_timeout_ms": {"type": "int", "default": 50},
    "pause_ms": {"type": "int", "default": 500},
    "deadline": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 3600},
    "max_lag_bytes": {"type": "int"},
    "max_lag_seconds": {"type": "float"},
    "run_as": {"type": "str", "default": "postgres"},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "port": {"type": "int", "default": 5432},
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
    """The module's options as a request; the environment from its file."""
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
            "there is no DATABASE_URL of the owner of the schema; name a file that has it as environment_file"
        )
    if not given["database"] and not url:
        raise DatabaseError("which database? Give database, or environment_file with DATABASE_URL")
    return Request(
        database=given["database"] or dsn.database_of(url), variables=variables, **{key: given[key] for key in _SAME}
    )


def migrate(module: AnsibleModule) -> dict[str, object]:
    """Look or apply, as asked."""
    if module.check_mode and not os.path.isdir(module.params["directory"]):
        nothing: dict[str, object] = {
            key: [] for key in ("pending", "would_apply", "applied", "left", "invalid_indexes")
        }
        told = f"the release is not staged in {module.params['directory']} yet; what is pending can be told only then"
        return {"changed": True, "message": told, "from": None, "to": None, "current": None, "identity": {}, **nothing}
    adapter = adapters.of(module.params["adapter"], os.path.realpath(module.params["directory"]), module.params["path"])
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
        module.fail_json(msg=f"The migration was not begun: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
