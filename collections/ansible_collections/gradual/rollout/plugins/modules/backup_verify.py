#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove a backup: a thin shell over module_utils/verify/restore_test.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify a backup by reading it and restoring it beside the live cluster
version_added: "0.1.0"
description:
  - Verifies the levels of a backup one by one. V(intact) reads every file and compares its SHA-256. V(readable) decodes
    every byte of the dump. V(restored) restores roles and database into a throwaway cluster, and compares schema,
    migration revision, number of rows and contents of every table with the backup's snapshot. V(sound) runs amcheck
    on the copy, tests the previous release on it, and rehearses the pending migrations with their duration and locks.
  - For a physical backup, V(intact) is also pg_verifybackup or pgBackRest's own verification, and V(restored) recovers
    to the restore point whose contents were digested.
  - The throwaway cluster has no network, no archive and no jobs, and is gone when the module ends, however it ends.
  - The receipt in the backup's folder is rewritten with the level that was reached this time.
author:
  - The Gradual project (@gradual)
requirements:
  - The server package that the backup was taken with, on this host.
  - psycopg or psycopg2 (Debian's python3-psycopg or python3-psycopg2).
attributes:
  check_mode:
    description: Returns what would be verified, and checks the disk space.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  path:
    description: Folder of the backup, as M(gradual.rollout.backup) returns it.
    type: path
    required: true
  level:
    description: The level to verify. Each one includes those before it. A migration needs V(restored).
    type: str
    choices: [taken, intact, readable, restored, sound]
    default: restored
  sound:
    description:
      - What to test on the restored copy at the level V(sound). A missing part is not tested, and is null in the
        receipt.
    type: dict
    suboptions:
      pending:
        description: >-
          The migrations to rehearse: C(adapter), C(directory), C(path), C(target), C(phase), C(phases),
          C(migrate_as), and C(environment_file), the file with the C(DATABASE_URL) of the live database.
        type: dict
      smoke:
        description: >-
          The previous release: C(directory), C(version), C(command) as argv, C(probes), C(probes_from) (whose probes
          they are, for messages), C(run_as), C(ready), the path of its readiness check, C(timeout) until it is ready in
          seconds, C(environment_file) as above, and C(environment) for more variables. No password is needed; the copy
          has its own.
        type: dict
  run_as:
    description: The system user that owns the backups and runs the throwaway cluster. PostgreSQL does not run as root.
    type: str
    default: postgres
  scratch:
    description: Parent folder of the throwaway cluster.
    type: path
    default: /var/tmp
  reserve_mib:
    description: MiB that have to stay free at O(scratch) beside the restored copy.
    type: int
    default: 512
  jobs:
    description: Number of processes that restore a database of more than 64 MiB.
    type: int
    default: 2
  timeout:
    description: Seconds that the restore may take.
    type: int
    default: 3600
seealso:
  - module: gradual.rollout.backup
"""

EXAMPLES = r"""
- name: Verify the new backup
  gradual.rollout.backup_verify:
    path: "{{ taken.path }}"
    level: restored
  register: proven

- name: Show the proven level
  ansible.builtin.debug:
    msg: "{{ proven.receipt.id }}: {{ proven.receipt.level }}, {{ proven.tables }} tables compared"
"""

RETURN = r"""
receipt:
  description: The receipt with the level that was reached.
  returned: always
  type: dict
  contains:
    level:
      description: The level.
      type: str
      sample: restored
    durations:
      description: Seconds of each part of taking and verifying.
      type: dict
seconds:
  description: Duration of the verification in seconds.
  returned: when proven
  type: float
tables:
  description: >-
    Number of tables in the receipt, every one of them compared at the level V(restored). 0 if no copy was compared yet.
  returned: when proven
  type: int
estimated_bytes:
  description: Estimated disk space of the restored copy.
  returned: in check mode
  type: int
message:
  description: What would be done, in a sentence.
  returned: in check mode
  type: str
"""

from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.verify import restore_test, soundness

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "level": {"type": "str", "choices": ["taken", "intact", "readable", "restored", "sound"], "default": "restored"},
    "sound": {"type": "dict", "options": {"pending": {"type": "dict"}, "smoke": {"type": "dict"}}},
    "run_as": {"type": "str", "default": "postgres"},
    "scratch": {"type": "path", "default": "/var/tmp"},
    "reserve_mib": {"type": "int", "default": 512},
    "jobs": {"type": "int", "default": 2},
    "timeout": {"type": "int", "default": 3600},
}


def to_try(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The given parts of `sound`, each with its environment from the options and from its file of secrets."""
    found = {}
    for name, part in (given or {}).items():
        if part:
            path = part.get("environment_file")
            variables = dict(part.get("environment") or {})
            if path:
                variables.update(dsn.read_variables(path, f"sound.{name}.environment_file"))
            if "DATABASE_URL" not in variables:
                raise DatabaseError(
                    f"sound.{name} has no DATABASE_URL; write the path of the file that has it as environment_file"
                )
            found[name] = {**part, "environment": variables}
    return found


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    work = restore_test.plan if module.check_mode else restore_test.prove
    try:
        options = to_try(given["sound"]) if given["level"] == "sound" and not module.check_mode else {}
        for part in options.values():
            module.no_log_values.update(dsn.secrets(part["environment"]))
        wanted = restore_test.RestoreTest(
            **{key: given[key] for key in ("path", "level", "scratch", "reserve_mib", "jobs", "timeout")}, sound=options
        )
        with soundness.root_helper_running(options):
            result = as_user(given["run_as"], lambda: work(wanted))
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    for one in [] if module.check_mode else result["receipt"]["unchecked"]:
        module.warn(f"not checked: {one}")
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
