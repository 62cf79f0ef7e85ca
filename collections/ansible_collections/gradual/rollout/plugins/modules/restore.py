#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a backup back: a thin shell over module_utils/backup/restore.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Bring a backup back beside what is live, or in its place
version_added: "0.1.0"
description:
  - V(restored) reads every file of the backup and compares it with its receipt, looks whether there is room, restores
    beside the live databases, and
    compares what is there then with the receipt. A dump becomes a new database of the live cluster, or a cluster of its
    own; other backups become a
    cluster of their own. Nothing that is live is touched, and no name, folder or port that is taken is used.
  - With O(in_place) the restored one takes the place of the live one, once it was compared. What was live until then is
    kept, under a name that is told.
  - V(point) writes a named place into the write-ahead log, which a backup of the method pgbackrest can be restored to.
author:
  - The Gradual project (@gradual)
requirements:
  - The server package that the backup was taken with, on this host.
  - psycopg or psycopg2 (Debian's python3-psycopg or python3-psycopg2).
attributes:
  check_mode:
    description: Makes every check, reads the backup, and says what would be done.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  path:
    description: Folder of the backup, as M(gradual.rollout.backup) returns it. Needed for V(restored).
    type: path
  state:
    description: Whether to restore, or to name the present moment so that one can restore to it.
    type: str
    choices: [restored, point]
    default: restored
  target:
    description:
      - What it is restored as. Default is V(database) for a dump, and V(cluster) for what holds a whole cluster.
    type: str
    choices: [database, cluster]
  database:
    description:
      - Name of the new database. Default is the old name and when the backup was taken, as in
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
      - The name of the database that the backup is of, from somebody who means to replace what is live. Needs a backup
        that was proven to V(restored).
      - A database is renamed aside after its sessions were ended. A cluster has to be stopped, and its data folder is
        renamed aside.
    type: str
  point:
    description: Name of the restore point, to make one or to restore to it. To restore to one needs the method
      pgbackrest.
    type: str
  jobs:
    description: Number of processes that restore.
    type: int
    default: 2
  reserve_mib:
    description: MiB that have to stay free beside what is restored.
    type: int
    default: 512
  timeout:
    description: Seconds that each program may take.
    type: int
    default: 3600
  deadline:
    description: Seconds to wait for a backup or a migration that runs, and for sessions to end, before a database is
      replaced.
    type: int
    default: 60
  run_as:
    description: The system user that PostgreSQL runs as, and that the backups belong to.
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
- name: Bring yesterday's rows back beside the live ones
  gradual.rollout.restore:
    path: /var/backups/gradual/storefront/storefront-20261123T120000Z
  register: restored

- name: Say how to look at them
  ansible.builtin.debug:
    msg: "{{ restored.next }}"

- name: Replace the live database, which is kept under another name
  gradual.rollout.restore:
    path: /var/backups/gradual/storefront/storefront-20261123T120000Z
    in_place: storefront

- name: Name this moment
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
  description: What it was restored as.
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
  description: Name of the database, or data folder, that was live until now.
  returned: with in_place
  type: str
roles_made:
  description: Roles of the backup that the cluster did not have. They have no password.
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
  description: How long it took.
  returned: when something was restored
  type: float
point:
  description: Name of the restore point.
  returned: when state is point
  type: str
lsn:
  description: Where the restore point is in the write-ahead log. Null in check mode.
  returned: when state is point
  type: str
timeline:
  description: The timeline that it is on.
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
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user

ARGUMENTS = {
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
    "run_as": {"type": "str", "default": "postgres"},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "port": {"type": "int", "default": 5432},
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
