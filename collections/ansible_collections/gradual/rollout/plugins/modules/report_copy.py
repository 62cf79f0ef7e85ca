#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_copy
short_description: Copy a report to the controller if possible
version_added: 0.1.0
description:
  - Copies the files of a report from the ledger host to the controller.
  - Never fails. If the controller cannot write them (a read-only checkout, a full disk, no permission), or the host is
    lost, RV(msg) says where the report is and why it was not copied.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A report is new with every rollout.
options:
  directory:
    description: Directory of the files, as M(gradual.rollout.report) returns it.
    type: str
    required: true
  files:
    description: SHA-256 of each file by its name, as M(gradual.rollout.report) returns it. Files that exist already are
      not copied again.
    type: dict
    required: true
  to:
    description: Directory on the controller, relative to the working directory of Ansible.
    type: str
    required: true
seealso:
  - module: gradual.rollout.report
"""

EXAMPLES = r"""
- name: Copy the report to the controller
  gradual.rollout.report_copy:
    directory: "{{ written.directory }}"
    files: "{{ written.files }}"
    to: ".gradual/reports/{{ written.rollout }}"
"""

RETURN = r"""
copied:
  description: Whether all files are on the controller.
  returned: always
  type: bool
to:
  description: The directory on the controller.
  returned: always
  type: str
msg:
  description: Where the report is, and if it was not copied, why.
  returned: always
  type: str
"""
