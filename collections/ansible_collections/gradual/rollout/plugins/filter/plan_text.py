# Copyright: The Gradual project
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt)
"""A plan as text for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import steps as plan_steps
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import text

DOCUMENTATION = """
name: plan_text
short_description: A plan as text for the screen
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Renders what P(gradual.rollout.rollout_plan#filter) returns as aligned text with a timeline.
positional: _input, manifest
options:
  _input:
    description: The plan.
    type: list
    elements: dict
    required: true
  manifest:
    description: The manifest, for the headline.
    type: dict
"""

EXAMPLES = """
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ (plan | gradual.rollout.plan_text(manifest)).split('\\n') }}"
"""

RETURN = """
_value:
  description: Lines of at most 110 characters.
  type: str
"""


def plan_text(rows: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any] | None = None) -> str:
    """The plan as text; see plugin_utils/plan/text.py."""
    try:
        return text.render(rows, manifest)
    except plan_steps.PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"plan_text": plan_text}
