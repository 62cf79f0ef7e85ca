#!/usr/bin/python
# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Validate the release manifest and report all errors at once
version_added: 0.1.0
description:
  - Reads the keys of the manifest from the variables (a file with C(-e @releases/...), C(-e key=value), a survey),
    validates them, and adds the defaults.
  - Fails with one message that lists every error with its path, the value, and what to write instead.
  - An extra variable that is not a key of the manifest and overrides no variable of the inventory, the play or a role
    is an error too. Names that begin with C(ansible_), C(awx_), C(tower_) or C(gradual_) are accepted, and those in the
    inventory's list C(manifest_foreign_variables), in which V(*) matches any text.
  - Blank answers of a survey and empty lists of choices count as not given.
  - A list or a mapping can be given as JSON or YAML text.
  - Runs on the controller and connects to no host.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  values:
    description: The manifest itself, instead of the one in the variables.
    type: dict
  known:
    description: More accepted names of extra variables.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Check the manifest
  gradual.rollout.manifest:
  register: checked
"""

RETURN = r"""
manifest:
  description: The manifest, with its defaults.
  returned: success
  type: dict
digest:
  description: SHA-256 of its canonical JSON. The ledger recognises a manifest by it.
  returned: success
  type: str
mistakes:
  description: All errors.
  returned: always
  type: list
  elements: str
"""
