#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a running application for each item of the application contract."""

from __future__ import annotations

DOCUMENTATION = r"""
module: contract_check
short_description: Ask a running application for each item of the application contract
version_added: 0.1.0
description:
  - Requests the addresses of the application contract, reads the metrics, and names what is missing, wrong or slow,
    with what to add to the application.
  - It changes nothing. Its requests have the header C(X-Gradual-Probe).
  - Without an item of the severity V(must), no release can be rolled out, and the module fails. Without one of the
    severity V(less), the application is served with what it gives, and the finding says what is not measured.
author: [The Gradual project (@gradual)]
extends_documentation_fragment:
  - gradual.rollout.attributes.info_module
  - gradual.rollout.application_contract.asked
options:
  url:
    description: Address of the application, such as V(http://127.0.0.1:8080). Not that of the balancer, which hides
      some of the paths.
    type: str
    required: true
  ca_path:
    description: PEM file of the authorities to trust. Default are the host's.
    type: path
  application:
    description: The application that must run. Without it, any.
    type: str
  release:
    description: The release that must run. Without it, any.
    type: str
  digest:
    description: The digest of the release that must run. Without it, any.
    type: str
  report_only:
    description: Do not fail.
    type: bool
    default: false
seealso:
  - module: gradual.rollout.http_probe
"""

EXAMPLES = r"""
- name: Ask the application on this host for each item of the contract
  gradual.rollout.contract_check:
    url: http://127.0.0.1:8080
    features: [search]
    paths: {ready: /status}
"""

RETURN = r"""
findings:
  description:
    - "For each item C({item, severity, state, got, expected, add, consequence})."
    - C(severity) is V(must) or V(less), C(state) is V(ok), V(missing), V(wrong) or V(slow).
    - C(add) is what to write, and C(consequence) what is not possible or not measured without the item.
  returned: always
  type: list
  elements: dict
lines:
  description: The findings as lines of a table, with a sum.
  returned: always
  type: list
  elements: str
refusal:
  description: Why no release can be rolled out; null if one can.
  returned: always
  type: str
not_measured:
  description: A sentence for each finding of the severity V(less) that is not V(ok).
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.application import asking, contract
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "ca_path": {"type": "path"},
    **asking.OPTIONS,
    "application": {"type": "str"},
    "release": {"type": "str"},
    "digest": {"type": "str"},
    "report_only": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    known = {key: given[key] for key in ("application", "release", "digest")}
    try:
        findings = asking.check(
            given["url"], asking.expected_of(given, **known), given["user_key"], ca_path=given["ca_path"]
        )
    except HttpError as error:
        module.fail_json(msg=str(error), findings=[], lines=[], refusal=str(error), not_measured=[])
    result = {
        "changed": False,
        "findings": findings,
        "lines": contract.table(findings),
        "refusal": contract.refusal(findings, given["url"]),
        "not_measured": [contract.sentence(each) for each in contract.failed(findings, contract.LESS)],
    }
    if result["refusal"] and not given["report_only"]:
        module.fail_json(msg=result["refusal"], **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
