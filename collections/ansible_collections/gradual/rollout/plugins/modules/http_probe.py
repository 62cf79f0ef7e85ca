#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Smoke tests over HTTP."""

from __future__ import annotations

DOCUMENTATION = r"""
module: http_probe
short_description: Send requests to an application and check the answers
version_added: 0.1.0
description:
  - Runs a list of probes over one keep-alive connection.
  - Fails if one of them failed, and says for each what was expected and what came back, unless O(report_only) is set.
  - Redirects are not followed; a probe can expect one.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module, gradual.rollout.probes]
options:
  base_url:
    description: The origin, such as V(https://storefront.example.org).
    type: str
    required: true
  headers:
    description: Headers to send with every probe.
    type: dict
    default: {}
  address:
    description: Connect to this address instead of the URL's host. The Host header and the certificate are still those
      of the URL.
    type: str
  ca_path:
    description: PEM file of the authorities to trust for https. Default are the host's.
    type: path
  attempts:
    description: How often a probe is tried until it passes.
    type: int
    default: 1
  pause:
    description: Seconds between two attempts.
    type: float
    default: 1
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 5
  report_only:
    description: Return failed probes without failing.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Probe the front door
  gradual.rollout.http_probe:
    base_url: https://storefront.example.org
    probes:
      - {name: page, path: /, contains: Storefront}
      - {name: search, path: "/api/search?q=tea", user: smoke, json: {found_by: words}}
"""

RETURN = r"""
results:
  description:
    - "For each probe C({name, passed, seen, wanted, seconds, status, attempts})."
    - seen and wanted have the same keys. Without an answer, seen has only C(error), and status is null.
  returned: always
  type: list
  elements: dict
passed:
  description: Number of probes that passed.
  returned: always
  type: int
failed_probes:
  description: Number of probes that failed.
  returned: always
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import ARGUMENT, failure_of, probe_all

ARGUMENTS: dict[str, Any] = {
    "base_url": {"type": "str", "required": True},
    "probes": ARGUMENT,
    "headers": {"type": "dict", "default": {}},
    "address": {"type": "str"},
    "ca_path": {"type": "path"},
    "attempts": {"type": "int", "default": 1},
    "pause": {"type": "float", "default": 1},
    "timeout": {"type": "float", "default": 5},
    "report_only": {"type": "bool", "default": False},
}


def work(given: dict[str, Any]) -> dict[str, Any]:
    """Run the probes and count."""
    headers = {str(key): str(value) for key, value in given["headers"].items()}
    with Session(given["base_url"], given["timeout"], given["ca_path"], given["address"]) as session:
        results = probe_all(session, given["probes"], headers, given["attempts"], given["pause"])
    passed = sum(result["passed"] for result in results)
    return {"changed": False, "results": results, "passed": passed, "failed_probes": len(results) - passed}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["probes"] is None:
        module.fail_json(msg="probes is missing; write a list of requests, such as [{path: /}]")
    try:
        found = work(module.params)
    except HttpError as error:
        module.fail_json(msg=str(error), results=[], passed=0, failed_probes=len(module.params["probes"]))
    failure = failure_of(found["results"], module.params["base_url"])
    if failure and not module.params["report_only"]:
        module.fail_json(msg=failure, **found)
    module.exit_json(**found)


if __name__ == "__main__":
    main()
