#!/usr/bin/python
# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Check the release manifest, with every mistake at once
version_added: 0.1.0
description:
  - Reads the manifest's keys among the variables (from a file with C(-e @releases/...), from C(-e key=value), from a
    survey),
    checks them, and fills in the defaults.
  - Fails with one message that names every mistake with its path, the value seen, and what to write instead.
  - An extra variable that is no key of a manifest, and overrides no variable of the inventory, the play or a role, is a
    mistake too.
    Names that begin with C(ansible_), C(awx_), C(tower_) or C(gradual_) are let through, and those that the inventory
    names in the list C(manifest_foreign_variables), in which V(*) stands for any text.
  - Blank answers of a survey count as absent, and so does an empty list of choices.
  - A list or a mapping may be the JSON or YAML text of one.
  - Runs on the controller and contacts no host.
author: [The Gradual project (@gradual)]
extends_documentation_fragment: [gradual.rollout.attributes.info_module]
options:
  values:
    description: The manifest, instead of the one among the variables.
    type: dict
  known:
    description: Further names that extra variables may have.
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
  description: SHA-256 of its canonical JSON, by which the ledger knows it again.
  returned: success
  type: str
mistakes:
  description: Every mistake.
  returned: always
  type: list
  elements: str
"""
