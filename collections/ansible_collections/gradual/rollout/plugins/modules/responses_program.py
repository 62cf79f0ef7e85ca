#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Install on a host the program that carries out responses to alerts without a controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: responses_program
short_description: Install the program that responds to alerts
version_added: 0.1.0
description:
  - Writes one file that Python runs, with those parts of this collection that responses to alerts need, so that they
    work while no controller is there.
  - The role C(responses) runs it as a service on the monitoring host, and on the application hosts as the only command
    that the monitoring host's key can run.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.check_and_diff]
options:
  path:
    description: The file. Its directory is created if it is missing.
    type: path
    required: true
  state:
    description: Whether the file is there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Install the program
  gradual.rollout.responses_program:
    path: /usr/local/lib/gradual/responses.pyz
"""

RETURN = r"""
sha256:
  description: SHA-256 of the program.
  type: str
  returned: O(state=present)
"""

import hashlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gradual.rollout.plugins.module_utils.common import files
from ansible_collections.gradual.rollout.plugins.module_utils.responses import archive, program

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def install(path: str, wanted: bytes, check_mode: bool) -> bool:
    """Write the program; whether it differed."""
    try:
        with open(path, "rb") as stream:
            if stream.read() == wanted:
                return False
    except FileNotFoundError:
        pass
    if not check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        files.replace(path, wanted)
    return True


def remove(path: str, check_mode: bool) -> bool:
    """Remove the program; whether it was there."""
    if not os.path.lexists(path):
        return False
    if not check_mode:
        os.unlink(path)
    return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path, result = module.params["path"], {}
    try:
        if module.params["state"] == "absent":
            changed = remove(path, module.check_mode)
        else:
            wanted = archive.build(program.__name__)
            result["sha256"] = hashlib.sha256(wanted).hexdigest()
            changed = install(path, wanted, module.check_mode)
    except OSError as error:
        module.fail_json(msg=f"{path} cannot be written: {error.strerror}")
    state = {True: "differs\n", False: "as it should be\n"}[changed]
    module.exit_json(
        changed=changed,
        diff={"before_header": path, "after_header": path, "before": state, "after": "as it should be\n"},
        **result,
    )


if __name__ == "__main__":
    main()
