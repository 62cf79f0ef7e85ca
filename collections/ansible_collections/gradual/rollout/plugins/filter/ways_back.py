# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release each host goes back to when the ledger is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import way_back

DOCUMENTATION = """
name: ways_back
short_description: Which release each host goes back to when the ledger is lost
version_added: 0.1.0
author: The Gradual project (@gradual)
description:
  - Where all hosts are switched to one release, each goes to its C(previous), on which they have to agree.
  - Where only some were switched, those go to what the others are still switched to.
positional: _input
options:
  _input:
    description: Results of M(gradual.rollout.host_info), by host name. A host that is out of reach gets no way back.
    type: dict
    required: true
  to:
    description: Version of the release to go to, which lies on every host, instead of one that is found.
    type: str
    default: ""
"""

EXAMPLES = """
ways: "{{ found | gradual.rollout.ways_back(to='1.0.0') }}"
"""

RETURN = """
_value:
  description: For each host that could be looked at, C({version, digest, directory}).
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
