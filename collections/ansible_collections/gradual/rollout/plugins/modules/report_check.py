#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recompute a report from its ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_check
short_description: Recompute a report from its ledger
version_added: 0.1.0
description:
  - Verifies the chain of hashes of the ledger, the digests of the report's files, and every claim of C(report.json),
    which it makes again
    from the ledger. The verdicts of the gate are judged again from the counts that were recorded with them.
  - Fails when a single byte of the ledger or of the report has changed, and names what is wrong.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes, gradual.rollout.attributes.info_module]
options:
  path:
    description: Directory of the ledger.
    type: path
    required: true
  report:
    description: Directory that holds the report.
    type: path
    required: true
seealso:
  - module: gradual.rollout.report
"""

EXAMPLES = r"""
- name: Check the report of yesterday
  gradual.rollout.report_check:
    path: /var/lib/gradual/storefront
    report: /var/lib/gradual/storefront/reports/storefront-2.0.0-20261123T120000Z
"""

RETURN = r"""
claims:
  description: How many claims were recomputed.
  returned: always
  type: int
problems:
  description: What is wrong; empty when nothing is.
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
