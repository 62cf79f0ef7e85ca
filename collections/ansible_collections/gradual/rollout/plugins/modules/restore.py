#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a backup back: a thin shell over module_utils/backup/restore.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore a backup beside the live data, or in its place
version_added: "0.1.0"
description:
  - V(restored) reads every file of the backup and compares it with its receipt, checks the disk space, restores beside
    the live databases, and compares the result with the receipt. A dump becomes a new database of the live cluster, or
    a new cluster; other backups become a new cluster. Live data is not changed, and no existing name, folder or port is
    used.
  - With O(in_place) the restored copy replaces the live one after the comparison. The replaced one is kept under
    another name, which is returned.
  - V(point) writes a named restore point into the write-ahead log. A backup of the method pgbackrest can be restored to
    it.
author:
  - The Gradual project (@gradual)
requirements:
  - The server package that the backup was taken with, on this host.
  - psycopg or psycopg2 (Debian's python3-psycopg or python3-psycopg2).
attributes:
  check_mode:
    description: Makes every check, reads the backup, and returns what would be done.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  path:
    description: Folder of the backup, as M(gradual.rollout.backup) returns it. Needed for V(restored).
    type: path
  state:
    description: Whether to restore, or to write a restore point now.
    type: str
    choices: [restored, point]
    default: restored
  target:
    description:
      - What to restore to. The default is V(database) for a dump, and V(cluster) for other methods.
    type: str
    choices: [database, cluster]
  database:
    description:
      - Name of the new database. The default is the old name with the backup's time, as in
        C(storefront_restored_20261123T120000Z).
    type: str
  folder:
    description: Data folder of the restored cluster. With O(in_place), the data folder that it replaces.
    type: path
  cluster_port:
    description: Port of the new cluster. It listens on a socket in O(socket_directory) only.
    type: int
  in_place:
    description:
      - Name of the backup's database, to confirm that it replaces the live data. Needs a backup of level V(restored).
      - The sessions of a live database are ended, and it is renamed. A live cluster must be stopped, and its data
        folder is renamed.
    type: str
  point:
    description: Name of the restore point to write or to restore to. To restore to one needs the method pgbackrest.
    type: str
  jobs:
    description: Number of processes that restore.
    type: int
    default: 2
  reserve_mib:
    description: MiB that have to stay free beside the restored copy.
    type: int
    default: 512
  timeout:
    description: Seconds that each program may take.
    type: int
    default: 3600
  deadline:
    description: Seconds to wait for a running backup or migration, and for sessions to end, before a database is
      replaced.
    type: int
    default: 60
  run_as:
    description: The system user of PostgreSQL, which owns the backups.
    type: str
    default: postgres
  socket_directory:
    description: Folder of the live cluster's socket.
    type: path
    default: /var/run/postgresql
  port:
    description: Port of the live cluster.
    type: int
    default: 5432
seealso:
  - module: gradual.rollout.backup
  - module: gradual.rollout.backup_verify
"""

EXAMPLES = r"""
- name: Restore yesterday's rows beside the live ones
  gradual.rollout.restore:
    path: /var/backups/gradual/storefront/storefront-20261123T120000Z
  register: restored

- name: Show how to read them
  ansible.builtin.debug:
    msg: "{{ restored.next }}"

- name: Replace the live database, which is kept under another name
  gradual.rollout.restore:
    path: /var/backups/gradual/storefront/storefront-20261123T120000Z
    in_place: storefront

- name: Write a restore point
  gradual.rollout.restore:
    state: point
    point: before-price-import
"""

RETURN = r"""
message:
  description: What was done, or in check mode would be, in a sentence.
  returned: success
  type: str
target:
  description: What it was restored to.
  returned: when state is restored
  type: str
  sample: database
database:
  description: Name of the restored database.
  returned: when the target is a database
  type: str
  sample: storefront_restored_20261123T120000Z
folder:
  description: Data folder of the restored cluster.
  returned: when the target is a cluster
  type: str
aside:
  description: New name of the replaced database or data folder.
  returned: with in_place
  type: str
roles_made:
  description: Roles of the backup that were made, without passwords.
  returned: when a database was restored
  type: list
  elements: str
next:
  description: What to type next.
  returned: when something was restored
  type: list
  elements: str
receipt:
  description: The receipt of the backup.
  returned: when state is restored
  type: dict
seconds:
  description: Duration in seconds.
  returned: when something was restored
  type: float
point:
  description: Name of the restore point.
  returned: when state is point
  type: str
lsn:
  description: Position of the restore point in the write-ahead log. Null in check mode.
  returned: when state is point
  type: str
timeline:
  description: The timeline of the restore point.
  returned: when state is point
  type: int
archived:
  description: Whether the server archives its write-ahead log.
  returned: when state is point
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.backup import restore
from ansible_collections.gradual.rollout.plugins.module_utils.backup.restore_request import Request
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import options as database_options
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user

ARGUMENTS = {
    **database_options.ARGUMENTS,
    "path": {"type": "path"},
    "state": {"type": "str", "choices": ["restored", "point"], "default": "restored"},
    "target": {"type": "str", "choices": ["database", "cluster"]},
    "database": {"type": "str"},
    "folder": {"type": "path"},
    "cluster_port": {"type": "int"},
    "in_place": {"type": "str"},
    "point": {"type": "str"},
    "jobs": {"type": "int", "default": 2},
    "reserve_mib": {"type": "int", "default": 512},
    "timeout": {"type": "int", "default": 3600},
    "deadline": {"type": "int", "default": 60},
}
WORK = {
    ("restored", True): restore.plan,
    ("restored", False): restore.restore,
    ("point", True): restore.plan_point,
    ("point", False): restore.make_point,
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "restored", ["path"]), ("state", "point", ["point"])],
    )
    given = module.params
    # What was not given is for the request to choose.
    wanted = Request(
        **{
            "path": "",
            **{key: value for key, value in given.items() if key not in ("state", "run_as") and value is not None},
        }
    )
    work = WORK[given["state"], module.check_mode]
    try:
        result = as_user(given["run_as"], lambda: work(wanted))
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
