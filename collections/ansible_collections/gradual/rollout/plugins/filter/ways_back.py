# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The release that each host is rolled back to if the ledger is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import way_back

DOCUMENTATION = """
name: ways_back
short_description: The release that each host is rolled back to if the ledger is lost
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - If all hosts run one release, each is rolled back to its C(previous). All must have the same C(previous).
  - If only some hosts were switched, these are rolled back to the release of the others.
positional: _input
options:
  _input:
    description: Results of M(gradual.rollout.host_info), by host name. A host that cannot be reached is left out.
    type: dict
    required: true
  to:
    description: Version of the release to roll back to. It must be on every host. Without it, the filter finds one.
    type: str
    default: ""
"""

EXAMPLES = """
ways: "{{ found | gradual.rollout.ways_back(to='1.0.0') }}"
"""

RETURN = """
_value:
  description: For each host that could be read, C({version, digest, directory}).
  type: dict
"""


def ways_back(hosts: Mapping[str, Mapping[str, Any]], to: str = "") -> dict[str, dict[str, Any]]:
    """See plugin_utils/fleet/way_back.py."""
    try:
        return way_back.ways_back(hosts, str(to or ""))
    except way_back.NoWayBack as error:
        raise AnsibleFilterError(f"No host was switched: {error}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Filters by name."""
        return {"ways_back": ways_back}
