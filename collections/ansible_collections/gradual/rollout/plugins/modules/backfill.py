#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fill in the rows that were there before a migration: a thin shell over module_utils/migration/backfill_runner.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backfill
short_description: Fill in existing rows batch by batch, resumably and without blocking users
version_added: "0.1.0"
description:
  - Works through a table in the order of its key. Each batch is one short transaction that changes rows and records the
    position, so that a killed run loses nothing and repeats nothing. The next run continues from there.
  - Rows that others have locked are skipped and come in a later pass. A backfill is complete only when no row matches
    C(where).
  - The size of a batch follows its duration, O(batch_ms). The pause after each batch is at least as long as the batch.
  - Waits while a replica is too far behind, while the server is busy, and while a migration of the database runs.
  - Runs with the rights of the role in C(DATABASE_URL), the owner of the schema. One run at a time per database.
  - Refuses a backfill whose C(table), C(key), C(set) or C(where) has changed since it began.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.database
  - gradual.rollout.database.owner
attributes:
  check_mode:
    description: Returns how many rows are left. Changes nothing.
    support: full
  diff_mode:
    description: The results are numbers only.
    support: none
options:
  backfills:
    description: The backfills, in order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the backfill, under which the table C(gradual.backfill) has its progress.
        type: str
        required: true
      table:
        description: The table, with its schema unless it is in the role's search path.
        type: str
        required: true
      key:
        description: Column that orders the batches. It is NOT NULL and the first column of an index.
        type: str
        default: id
      set:
        description: Assignments of an UPDATE. After them O(backfills[].where) must be false.
        type: str
        required: true
      where:
        description: Condition of the rows that still need the change.
        type: str
        required: true
      batch:
        description: Rows of the first batch. A batch grows to at most ten times that.
        type: int
        default: 1000
      pause_ms:
        description: Minimum pause after each batch in milliseconds.
        type: int
        default: 100
  state:
    description: V(info) returns the progress of each, V(complete) runs until all are complete or O(deadline) has
      passed.
    type: str
    choices: [info, complete]
    default: info
  prove:
    description: With O(state=info), search for rows that are left even if the record says complete. This may read a
      whole table.
    type: bool
    default: false
  deadline:
    description: Seconds after which it stops. The next run continues from there.
    type: float
    default: 3600
  batch_ms:
    description: Milliseconds that a batch should take.
    type: int
    default: 200
  lock_timeout_ms:
    description: Milliseconds that a batch waits for a lock before it is retried later.
    type: int
    default: 50
  lag_bytes:
    description: How many bytes of WAL a replica may be behind. V(0) sets no limit.
    type: int
    default: 67108864
  lag_seconds:
    description: How many seconds a replica may be behind. V(0) sets no limit.
    type: float
    default: 10
  lag_ignored:
    description: Names (C(application_name)) of replicas that are late on purpose.
    type: list
    elements: str
    default: []
  active_sessions:
    description: How many sessions of others may run a statement during a batch. The default is twice the number of this
      host's processors.
    type: int
seealso:
  - module: gradual.rollout.migration
"""

EXAMPLES = r"""
- name: Fill in the cents of the orders
  gradual.rollout.backfill:
    state: complete
    environment_file: /etc/gradual/storefront/database.environment
    backfills:
      - name: total-in-cents
        table: orders
        set: cents = total * 100
        where: cents IS NULL

- name: Is all of it done?
  gradual.rollout.backfill:
    prove: true
    environment_file: /etc/gradual/storefront/database.environment
    backfills: "{{ manifest.migrations.backfills }}"
  register: filled
"""

RETURN = r"""
backfills:
  description: Each one, in order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    table:
      description: Its table.
      type: str
    finished:
      description: Whether it is complete.
      type: bool
    begun:
      description: Whether a run has begun it.
      returned: with O(state=info)
      type: bool
    position:
      description: The key, as text, up to which the present pass has come; null at the beginning of one.
      returned: with O(state=info)
      type: str
    total_rows:
      description: Rows changed by all runs.
      returned: with O(state=info)
      type: int
    recorded:
      description: Whether this run had anything to record.
      returned: with O(state=complete)
      type: bool
    passes:
      description: How often this run has come to the end of the table, or was on its way there.
      returned: with O(state=complete)
      type: int
    rows:
      description: Rows changed by this run.
      returned: with O(state=complete)
      type: int
    batches:
      description: Batches of this run.
      returned: with O(state=complete)
      type: int
    seconds:
      description: How long this run was at it.
      returned: with O(state=complete)
      type: float
    paused:
      description: "Seconds paused, by reason: between batches, lag, load, migration, held rows, retries."
      returned: with O(state=complete)
      type: dict
    retries:
      description: Batches that were rolled back after a lock timeout or a lost connection, and done again.
      returned: with O(state=complete)
      type: int
    waits_for:
      description: What it waits for; empty when it waits for nothing.
      returned: with O(state=complete)
      type: str
    left:
      description:
        - "Rows that are left, C({rows, how}). how is counted, proven, or, for a table of more than 64 MiB, estimated by
          the planner."
      type: dict
    remaining_seconds:
      description: Seconds left at the pace of this run; null when it has changed no row.
      returned: with O(state=complete)
      type: float
finished:
  description: Whether all are complete.
  returned: success
  type: bool
message:
  description: The progress in a sentence.
  returned: success
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill import backfills, sentence
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_runner import Runner
from ansible_collections.gradual.rollout.plugins.module_utils.migration.backfill_sessions import Request, variables_of
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.lag import Limits

BACKFILL = {
    "name": {"type": "str", "required": True},
    "table": {"type": "str", "required": True},
    "key": {"type": "str", "default": "id", "no_log": False},
    "set": {"type": "str", "required": True},
    "where": {"type": "str", "required": True},
    "batch": {"type": "int", "default": 1000},
    "pause_ms": {"type": "int", "default": 100},
}
ARGUMENTS = {
    **database_options.ARGUMENTS,
    **database_options.OWNER_ARGUMENTS,
    "backfills": {"type": "list", "elements": "dict", "required": True, "options": BACKFILL},
    "state": {"type": "str", "choices": ["info", "complete"], "default": "info"},
    "prove": {"type": "bool", "default": False},
    "deadline": {"type": "float", "default": 3600},
    "batch_ms": {"type": "int", "default": 200},
    "lock_timeout_ms": {"type": "int", "default": 50},
    "lag_bytes": {"type": "int", "default": 67108864},
    "lag_seconds": {"type": "float", "default": 10},
    "lag_ignored": {"type": "list", "elements": "str", "default": []},
    "active_sessions": {"type": "int"},
}
_SAME = ("run_as", "socket_directory", "port", "deadline", "batch_ms", "lock_timeout_ms")


def request(module: AnsibleModule) -> Request:
    """The module's options as a request."""
    given = module.params
    variables = variables_of(given["environment_file"], given["database_url"])
    module.no_log_values.update(dsn.secrets(variables))
    limits = Limits(given["lag_bytes"] or None, given["lag_seconds"] or None, tuple(given["lag_ignored"]))
    active = given["active_sessions"] if given["active_sessions"] is not None else 2 * (os.cpu_count() or 1)
    return Request(
        database=given["database"] or dsn.database_of(variables["DATABASE_URL"]),
        variables=variables,
        limits=limits,
        active_sessions=active,
        **{key: given[key] for key in _SAME},
    )


def fill(module: AnsibleModule) -> dict[str, object]:
    """Return the progress, or run, as state says."""
    wanted = backfills(module.params["backfills"])
    with Runner(request(module), wanted) as runner:
        looking = module.check_mode or module.params["state"] == "info"
        found = runner.info(module.params["prove"] or module.check_mode) if looking else runner.run()
    finished = all(one["finished"] for one in found)
    changed = (
        any(one["rows"] > 0 or one["recorded"] for one in found)
        if not looking
        else module.params["state"] == "complete" and not finished
    )
    return {"changed": changed, "backfills": found, "finished": finished, "message": sentence(found)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_one_of=[("environment_file", "database_url")],
        mutually_exclusive=[("environment_file", "database_url")],
    )
    try:
        result = fill(module)
    except DatabaseError as error:
        module.fail_json(msg=f"The backfill stopped: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
