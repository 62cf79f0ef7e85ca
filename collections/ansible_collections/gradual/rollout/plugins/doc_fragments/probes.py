# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules are told which requests to send and which answers to expect."""

from __future__ import annotations


class ModuleDocFragment:
    """The option of every module that takes probes; its argument is module_utils/common/probe.py's."""

    DOCUMENTATION = r"""
options:
  probes:
    description: The requests, and the expected answers.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the probe in messages.
        type: str
      path:
        description: Path with query.
        type: str
        required: true
      method:
        description: The HTTP method.
        type: str
        default: GET
      headers:
        description: Headers to send.
        type: dict
        default: {}
      body:
        description: The body. A string is sent unchanged, anything else as JSON.
        type: raw
      user:
        description: The user, sent as C(user_key) says. Flags are evaluated for it.
        type: str
      user_key:
        description: Where the application reads the user, V(cookie NAME) or V(header NAME).
        type: str
        default: cookie visitor
      status:
        description: The expected status.
        type: int
        default: 200
      contains:
        description: Text that the answer must contain.
        type: str
      json:
        description: Values that the JSON answer must have, by dotted path.
        type: dict
      flag:
        description: The variant of the feature for which this is expected. Returned unchanged.
        type: str
        choices: ["on", "off"]
"""
