#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recompute a report from its ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_check
short_description: Recompute a report from its ledger
version_added: 0.1.0
description:
  - Verifies the hash chain of the ledger and the digests of the report's files. Recomputes every claim of
    C(report.json) from the ledger, and every verdict of the gate from the counts recorded with it.
  - Fails if one byte of the ledger or of the report was changed, and says what is wrong.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  path:
    description: Directory of the ledger.
    type: path
    required: true
  report:
    description: Directory of the report.
    type: path
    required: true
seealso:
  - module: gradual.rollout.report
"""

EXAMPLES = r"""
- name: Check yesterday's report
  gradual.rollout.report_check:
    path: /var/lib/gradual/storefront
    report: /var/lib/gradual/storefront/reports/storefront-2.0.0-20261123T120000Z
"""

RETURN = r"""
claims:
  description: Number of recomputed claims.
  returned: always
  type: int
problems:
  description: What is wrong, one sentence each. Empty if nothing is.
  returned: always
  type: list
  elements: str
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import FILE
from ansible_collections.gradual.rollout.plugins.module_utils.report import check
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import ReportError

ARGUMENTS = {"path": {"type": "path", "required": True}, "report": {"type": "path", "required": True}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        ledger = check.read_ledger(os.path.join(module.params["path"], FILE))
        files = check.read_report(module.params["report"])
    except ReportError as error:
        module.fail_json(msg=str(error), claims=0, problems=[str(error)])
    problems = check.check(ledger, files)
    if problems:
        module.fail_json(msg="The report does not hold: " + "; ".join(problems), claims=0, problems=problems)
    module.exit_json(changed=False, claims=len(json.loads(files["report.json"])["claims"]), problems=[])


if __name__ == "__main__":
    main()
