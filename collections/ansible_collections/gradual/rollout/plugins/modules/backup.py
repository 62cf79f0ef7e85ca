#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Back up one database: a thin shell over module_utils/backup/registry.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up a PostgreSQL database with a digest of its contents
version_added: "0.1.0"
description:
  - Backs up one database, or its whole cluster.
  - From the same snapshot come the number of rows and an order-independent digest of every table of the database, with
    which M(gradual.rollout.backup_verify) compares a restored copy. They are computed after the backup was taken, by a
    process that goes on when the module has returned. It holds the snapshot until then, O(digest_timeout) at most, and
    no migration of the database can begin. M(gradual.rollout.backup_verify) waits for it.
  - The backup contains roles and grants, but no passwords.
  - The backup is written under a temporary name, synced and checksummed, and only then gets its final name. Nothing is
    ever overwritten, and a failed backup leaves no files.
  - Before the backup, a row is written for it into the schema C(gradual) of the database. A restored copy must contain
    this canary row.
  - The output of the programs is checked as well as their exit status, because pg_dump ends with 0 on a full disk, and
    pgBackRest on a damaged page.
  - For a copy of the files, writes are blocked for some milliseconds, while a restore point and a snapshot are made. A
    copy that is recovered to this restore point must contain what the snapshot contains. There is no backup if writers
    do not end until O(deadline).
  - The returned receipt has the level V(taken), which proves nothing yet; its key C(lacks) says what it does not
    contain yet.
  - A backup and a migration of the same database never run at the same time, because pg_dump blocks every ALTER.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.database
attributes:
  check_mode:
    description: Returns what would be done, with the estimated size, and changes nothing.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  application:
    description: Name of the application, the first part of the backup's name.
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  destination:
    description: Folder for the backups of this application. It is made if it is missing, private to O(run_as).
    type: path
    required: true
  method:
    description: >-
      How to back up. V(dump) is pg_dump of one database. V(basebackup) is pg_basebackup of the whole cluster with its
      write-ahead log up to a restore point, at which the contents of O(database) are compared. V(pgbackrest) takes a
      backup into a repository of pgBackRest (2.41 or later), and is compared in the same way; O(destination) then has
      its receipt.
    type: str
    choices: [dump, basebackup, pgbackrest]
    default: dump
  format:
    description: For O(method=dump), one file (V(custom)), or a folder that is written by several processes at once
      (V(directory)).
    type: str
    choices: [custom, directory]
    default: custom
  type:
    description: For O(method=pgbackrest), everything, or what has changed since the last full backup (V(diff)) or the
      last one (V(incr)).
    type: str
    choices: [full, diff, incr]
    default: full
  options:
    description: >-
      For O(method=pgbackrest), the C(stanza), the path of the C(config)uration file (default C(/etc/pgbackrest.conf))
      and of the C(program) (default
      C(/usr/bin/pgbackrest)).
    type: dict
    default: {}
  jobs:
    description: Number of processes that dump a O(format=directory).
    type: int
    default: 2
  keep:
    description: Number of backups of this database to keep. The newest one that was proven by a restore is always kept.
    type: int
    default: 5
  reserve_mib:
    description: MiB that have to stay free at O(destination).
    type: int
    default: 512
  deadline:
    description: Seconds to wait for a running migration of this database, and for each lock that pg_dump needs.
    type: int
    default: 60
  digest_timeout:
    description: >-
      Seconds for which the digest of the live database, and so the snapshot, may last after the backup was taken. A
      backup without it cannot be proven by a restore. PostgreSQL cannot vacuum what the snapshot still sees.
    type: int
    default: 3600
seealso:
  - module: gradual.rollout.backup_verify
  - module: gradual.rollout.migration
"""

EXAMPLES = r"""
- name: Back up the shop
  gradual.rollout.backup:
    application: storefront
    database: storefront
    destination: /var/backups/gradual/storefront
  register: taken

- name: Back up the whole cluster into pgBackRest's repository
  gradual.rollout.backup:
    application: storefront
    database: storefront
    destination: /var/backups/gradual/storefront
    method: pgbackrest
    type: incr
    options: {stanza: main}

- name: Verify the backup
  gradual.rollout.backup_verify:
    path: "{{ taken.path }}"
"""

RETURN = r"""
path:
  description: Folder of the backup.
  returned: always
  type: str
  sample: /var/backups/gradual/storefront/storefront-20261123T120000Z
receipt:
  description: What was backed up, at the level V(taken). Empty in check mode.
  returned: always
  type: dict
size:
  description: Bytes of the backup.
  returned: when taken
  type: int
seconds:
  description: Duration in seconds.
  returned: when taken
  type: float
removed:
  description: Older backups that were removed.
  returned: when taken
  type: list
  elements: str
would_remove:
  description: Older backups that would be removed.
  returned: in check mode
  type: list
  elements: str
estimated_bytes:
  description: An upper estimate of the backup's size.
  returned: in check mode
  type: int
free_bytes:
  description: Bytes free at the destination.
  returned: in check mode
  type: int
message:
  description: What would be done, in a sentence.
  returned: in check mode
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.backup import registry, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup.base import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import account, as_user

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "application": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "destination": {"type": "path", "required": True},
    "method": {"type": "str", "choices": ["dump", "basebackup", "pgbackrest"], "default": "dump"},
    "format": {"type": "str", "choices": ["custom", "directory"], "default": "custom"},
    "type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "full"},
    "options": {"type": "dict", "default": {}},
    "jobs": {"type": "int", "default": 2},
    "keep": {"type": "int", "default": 5},
    "reserve_mib": {"type": "int", "default": 512},
    "deadline": {"type": "int", "default": 60},
    "digest_timeout": {"type": "int", "default": 3600},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    request = Request(
        **{
            key: given[key]
            for key in (
                "application",
                "database",
                "destination",
                "socket_directory",
                "port",
                "format",
                "jobs",
                "reserve_mib",
                "type",
            )
        },
        options=given["options"],
        keep=max(1, given["keep"]),
        deadline=given["deadline"],
        digest_timeout=max(1, given["digest_timeout"]),
    )
    method = registry.of(given["method"])
    try:
        who = account(given["run_as"])
        if module.check_mode:
            module.exit_json(changed=True, receipt={}, **as_user(given["run_as"], lambda: method.plan(request)))
        store.prepare(request.destination, who.pw_uid, who.pw_gid)
        result = as_user(given["run_as"], lambda: method.take(request))
    except DatabaseError as error:
        module.fail_json(msg=f"The backup of {request.database} was not taken: {error}")
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
