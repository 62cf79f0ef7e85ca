# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules are told the phases of revisions whose files do not name one."""

from __future__ import annotations


class ModuleDocFragment:
    """The option of every module that reads revisions; its argument is module_utils/migration/phases.py's."""

    DOCUMENTATION = r"""
options:
  phases:
    description:
      - The phases of revisions whose files do not name one, such as those of third parties. The first entry that
        matches counts. An entry that matches no revision is an error.
      - A phase in the file wins over O(phases[].app) and O(phases[].pattern). If O(phases[].revision) says another
        phase than the file, that is an error.
    type: list
    elements: dict
    default: []
    suboptions:
      app:
        description: Label of an app, for V(django) only.
        type: str
      revision:
        description: Name of a revision.
        type: str
      pattern:
        description: Names of revisions, with C(*), C(?) and C([…]).
        type: str
      phase:
        description: The phase.
        type: str
        choices: [expand, contract]
        required: true
      reason:
        description: Why. It is recorded.
        type: str
        required: true
"""
