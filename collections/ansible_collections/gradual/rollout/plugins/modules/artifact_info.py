#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look whether an artifact is there and is the one that is meant."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_info
short_description: Look whether an artifact is there and is the one that is meant
version_added: 0.1.0
description:
  - Reads the artifact to its end, over http or https, keeps nothing of it, and compares its digest.
  - Fails with what was seen when it is not there, cannot be reached from this host, or is another file.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  url:
    description: Where the artifact is, http or https.
    type: str
    required: true
  sha256:
    description: The digest that it must have, as 64 hex digits.
    type: str
    required: true
  timeout:
    description: Seconds to wait for the server to say something.
    type: int
    default: 30
  ca_path:
    description: PEM file of the authorities to trust for https. Default are the host's.
    type: path
seealso:
  - module: gradual.rollout.release
"""

EXAMPLES = r"""
- name: Stop before anything has changed when the artifact is not there
  gradual.rollout.artifact_info:
    url: https://artifacts.example.org/storefront-2.0.0.tar.gz
    sha256: 8826d3e7d2271de7b0745ab1eca458cf39fb4ae6de792a71cb174d87252701b4
"""

RETURN = r"""
size:
  description: Size of the packed artifact in bytes.
  returned: success
  type: int
sha256:
  description: Its digest.
  returned: success
  type: str
seconds:
  description: How long reading it took.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import ArtifactError, fetch

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "sha256": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 30},
    "ca_path": {"type": "path"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    began = time.monotonic()
    try:
        size = fetch(given["url"], given["sha256"], timeout=given["timeout"], ca_path=given["ca_path"])
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False, size=size, sha256=given["sha256"].lower(), seconds=round(time.monotonic() - began, 3)
    )


if __name__ == "__main__":
    main()
