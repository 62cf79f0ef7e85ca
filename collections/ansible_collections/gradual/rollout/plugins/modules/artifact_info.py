#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that an artifact can be downloaded and has the expected SHA-256."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_info
short_description: Check that an artifact can be downloaded and has the expected SHA-256
version_added: 0.1.0
description:
  - Downloads the whole artifact over http or https, compares its SHA-256, and keeps nothing of it.
  - Fails if it does not exist, cannot be reached from this host, or is a different file.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module, gradual.rollout.artifact]
options:
  url:
    description: URL of the artifact, http or https.
    type: str
    required: true
  sha256:
    description: The expected SHA-256, as 64 hex digits.
    type: str
    required: true
  timeout:
    description: Seconds that the server may be silent.
    type: int
    default: 30
seealso:
  - module: gradual.rollout.release
"""

EXAMPLES = r"""
- name: Check the artifact before anything changes
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
  description: Its SHA-256.
  returned: success
  type: str
seconds:
  description: Duration of the download.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import (
    FETCH_ARGUMENTS,
    ArtifactError,
    access_of,
    fetch,
)

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "sha256": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 30},
    **FETCH_ARGUMENTS,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    began = time.monotonic()
    try:
        size = fetch(given["url"], given["sha256"], timeout=given["timeout"], access=access_of(given))
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False, size=size, sha256=given["sha256"].lower(), seconds=round(time.monotonic() - began, 3)
    )


if __name__ == "__main__":
    main()
