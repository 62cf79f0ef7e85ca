# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The opening of a playbook: its hosts, if it is launched as a whole."""

from __future__ import annotations

DOCUMENTATION = r"""
name: whole_group
short_description: The hosts of a play, if its playbook is launched as a whole
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Returns the given group, for the keyword C(hosts) of the first play of a playbook.
  - Fails if Ansible would skip a part of the playbook without an error, because of C(--limit), C(--tags),
    C(--skip-tags), C(--start-at-task) or C(--step), or if the inventory lacks the groups of a fleet.
  - The groups C(database) and C(database_primary) may be empty, for an application without a database. Both must be in
    the inventory.
  - Fails if ansible-core is older than the collection supports.
  - Ansible templates C(hosts) of every play, whatever the tags and the limit, before any task. A task cannot do
    this check, because each of these options can skip a task.
options:
  _terms:
    description: The group.
    required: true
  limit_allowed:
    description: Whether the playbook may be limited to some hosts.
    type: bool
    default: false
  needs_database:
    description: Whether the playbook has nothing to do without a database. It then fails if the groups C(database) and
      C(database_primary) are empty.
    type: bool
    default: false
  without_database:
    description: The group to return instead if the inventory says that there is no database.
    type: str
notes:
  - C(ansible-playbook --syntax-check) is permitted, because it runs no task.
  - The tags C(molecule-notest) and C(notest), which Molecule always skips, are on no task, so they
    may be skipped.
"""

EXAMPLES = r"""
- name: Switch every host
  hosts: "{{ lookup('gradual.rollout.whole_group', 'application') }}"
"""

RETURN = r"""
_raw:
  description: The group as it was given.
  type: list
  elements: str
"""

from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.release import __version__
from ansible_collections.gradual.rollout.plugins.plugin_utils.launch_check import objection, too_old, without_database
from ansible_collections.gradual.rollout.plugins.plugin_utils.preload import load_once, show_lines_at_once


class LookupModule(LookupBase):
    """Entry point for Ansible."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The terms as they are, or an error that says what to type."""
        self.set_options(var_options=variables, direct=kwargs)
        old = too_old(__version__)
        if old:
            raise AnsibleError(old)
        if not context.CLIARGS.get("syntax"):
            groups = (variables or {}).get("groups") or {}
            against = objection(
                context.CLIARGS, groups, self.get_option("limit_allowed"), self.get_option("needs_database")
            )
            if against:
                raise AnsibleError(against)
            # This lookup is templated before the first task, so before the first worker is forked.
            load_once()
            show_lines_at_once()
            if self.get_option("without_database") and without_database(groups):
                return [self.get_option("without_database")]
        return terms
