#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which backups there are: a thin shell over module_utils/backup/store.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups and their proven levels
version_added: "0.1.0"
description:
  - Reads the receipts below a folder, and checks their seals and that every file of each backup exists with its size.
  - Contents are not checked; M(gradual.rollout.backup_verify) does that.
author:
  - The Gradual project (@gradual)
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
options:
  destination:
    description: Folder of an application's backups. It may be missing.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: List the backups
  gradual.rollout.backup_info:
    destination: /var/backups/gradual/storefront
  register: backups

- name: Show the newest proven backup
  ansible.builtin.debug:
    var: backups.newest_proven.path
"""

RETURN = r"""
receipts:
  description: Receipts of the backups, oldest first.
  returned: always
  type: list
  elements: dict
newest_proven:
  description: The newest receipt at the level V(restored), or null.
  returned: always
  type: dict
broken:
  description: Backups whose receipt or files are wrong, each with the C(path) and the C(reason).
  returned: always
  type: list
  elements: dict
leftovers:
  description: Folders of unfinished backups. The next backup removes them.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store

ARGUMENTS = {"destination": {"type": "path", "required": True}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path = module.params["destination"]
    good, broken = store.survey(path)
    module.exit_json(
        changed=False,
        receipts=good,
        newest_proven=store.newest_proven(good),
        broken=broken,
        leftovers=store.leftovers(path),
    )


if __name__ == "__main__":
    main()
