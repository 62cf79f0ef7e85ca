#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the report of a rollout from its ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the report of a rollout from its ledger
version_added: 0.1.0
description:
  - Makes C(report.json), C(report.md) and C(report.html) from the ledger in O(path) and from nothing else, so that
    M(gradual.rollout.report_check) can make them again and compare.
  - Every claim names the lines of the ledger that show it. What no line shows is called not measured.
  - Records the digests of the files in the ledger, as the event C(report.written). Writing the same report again
    changes nothing.
  - Runs on the ledger host.
author: [The Gradual project (@gradual)]
requirements: [python3-matplotlib, python3-jinja2]
extends_documentation_fragment: [gradual.rollout.attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A report is new with every rollout.
options:
  path:
    description: Directory of the ledger.
    type: path
    required: true
  rollout:
    description: Name of the rollout. The default is the newest one.
    type: str
  directory:
    description: Directory of the report. The default is C(reports/ROLLOUT) in O(path).
    type: path
seealso:
  - module: gradual.rollout.report_check
"""

EXAMPLES = r"""
- name: Write the report
  gradual.rollout.report:
    path: /var/lib/gradual/storefront
  register: written

- name: Show how it ended
  ansible.builtin.debug:
    msg: "{{ written.summary }}"
"""

RETURN = r"""
directory:
  description: Directory of the report.
  returned: success
  type: str
files:
  description: SHA-256 of each file, by name.
  returned: success
  type: dict
rollout:
  description: Name of the rollout.
  returned: success
  type: str
outcome:
  description: Its outcome, V(completed), V(returned) or V(incomplete), else V(open).
  returned: success
  type: str
gate:
  description:
    - V(PASS) only if the rollout is completed and every required criterion was shown. V(CONCERNS) if something was not
      measured.
    - V(RETURNED) if somebody asked for a rollback and it succeeded. Else V(FAIL).
  returned: success
  type: str
reasons:
  description: Why the gate is not V(PASS).
  returned: success
  type: list
  elements: str
summary:
  description: The report in a few lines, outcome first.
  returned: success
  type: list
  elements: str
next_steps:
  description: What an operator should do next.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError
from ansible_collections.gradual.rollout.plugins.module_utils.report import files
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import ReportError

ARGUMENTS = {"path": {"type": "path", "required": True}, "rollout": {"type": "str"}, "directory": {"type": "path"}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = files.write(
            module.params["path"], module.params["rollout"], module.params["directory"], module.check_mode
        )
    except (ReportError, LedgerError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
