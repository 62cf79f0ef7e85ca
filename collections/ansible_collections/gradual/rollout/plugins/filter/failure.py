# Copyright: the Gradual project
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt)
"""The sentence an operator needs out of a failed task's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_mark import sentence

DOCUMENTATION = """
name: failure
short_description: What failed, where and why, as the ledger records it
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Turns C(ansible_failed_result) into the data of the ledger event C(step.failed).
positional: _input
options:
  _input:
    description: The failed result, of one task or of a loop.
    type: dict
    required: true
  step:
    description: The step of the rollout that failed.
    type: str
    required: true
  host:
    description: The host whose task failed. If a host was lost, it is named instead.
    type: str
    required: true
  task:
    description: The name of the failed task.
    type: str
    required: true
  killed:
    description: Features that a person has killed, as M(gradual.rollout.feature_flags) returns them. They are named
      first, because without them a step fails in ways that say nothing about the release.
    type: dict
    default: {}
"""

EXAMPLES = """
- name: Record what failed
  gradual.rollout.ledger:
    path: /var/lib/gradual/storefront
    events:
      - event: step.failed
        data: "{{ ansible_failed_result | gradual.rollout.failure(step='backup', host='db1', task='Take a backup') }}"
"""

RETURN = """
_value:
  description: A dictionary with C(step), C(host), C(task) and C(error).
  type: dict
"""


def failed_part(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result itself or, for a loop, the result of the first item that failed."""
    for item in result.get("results") or []:
        if isinstance(item, Mapping) and item.get("failed"):
            return item
    return result


def failure(
    result: Mapping[str, Any], step: str, host: str, task: str, killed: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return {"step", "host", "task", "error"}; error is never empty."""
    part = failed_part(result)
    error = str(part.get("msg") or part.get("stderr") or part.get("module_stderr") or "it failed without saying why")
    told = [sentence(flag, mark) for flag, mark in sorted((killed or {}).items())]
    error = ". ".join([*(one for one in told if one not in error), error.strip()])
    return {"step": step, "host": str(part.get("lost_host") or host), "task": task, "error": error}


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"failure": failure}
