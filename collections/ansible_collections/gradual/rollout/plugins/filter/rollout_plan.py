# Copyright: The Gradual project
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt)
"""The plan of a rollout, made from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import steps as plan_steps

DOCUMENTATION = """
name: rollout_plan
short_description: The steps of a rollout, what each changes and what undoes it
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Makes the plan of a rollout from its manifest. Preflight shows and records it before anything changes.
positional: _input
options:
  _input:
    description: The manifest, as M(gradual.rollout.manifest) returns it.
    type: dict
    required: true
  hosts:
    description: The application hosts in the order of the rollout, canary first; or a mapping with the key
      C(application).
    type: raw
  durations:
    description: Seconds by step, as earlier completed rollouts took (M(gradual.rollout.ledger_info)).
    type: dict
    default: {}
  state:
    description: The rollout as M(gradual.rollout.ledger_info) returns it; marks the steps that are done already.
    type: dict
    default: {}
  forecast:
    description: What M(gradual.rollout.forecast_info) returns. It says how long each stage must bake.
    type: dict
    default: {}
  felt:
    description: Whether users will notice the restart, because one host alone serves them
      (P(gradual.rollout.restart_is_felt#filter)).
    type: bool
    default: false
  waves:
    description: How many hosts are switched at once, wave by wave (P(gradual.rollout.wave_sizes#filter)).
    type: list
    elements: int
    default: [1]
  phases:
    description: The phases of revisions that are not in their files, as M(gradual.rollout.migration_lint) returns them.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = """
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ manifest | gradual.rollout.rollout_plan(hosts=groups['application']) | gradual.rollout.plan_text }}"
"""

RETURN = """
_value:
  description:
    - One row a step, with C(step), C(stage) (of the ramp, else null), C(what), C(changes), C(undo),
      C(expected_seconds),
      C(source) (C(traffic), C(earlier runs), C(manifest) or C(estimate)), C(risk), C(seen_by), C(then),
      C(point_of_no_return),
      C(later) (no part of deploy.yml) and C(state).
    - The row of C(migrate) has O(phases), with the reason of each.
    - With O(forecast), the stages of the ramp have C(power) as well.
  type: list
  elements: dict
"""


def rollout_plan(
    manifest: Mapping[str, Any],
    hosts: Any = None,
    durations: Mapping[str, float] | None = None,
    state: Mapping[str, Any] | None = None,
    forecast: Mapping[str, Any] | None = None,
    felt: bool = False,
    waves: Sequence[int] = (1,),
    phases: Sequence[Mapping[str, str]] = (),
) -> list[dict[str, Any]]:
    """Rows of the plan; see plugin_utils/plan/steps.py."""
    try:
        return plan_steps.make(
            manifest,
            hosts=hosts,
            durations=durations,
            state=state,
            forecast=forecast,
            felt=felt,
            waves=waves,
            phases=phases,
        )
    except plan_steps.PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"rollout_plan": rollout_plan}
