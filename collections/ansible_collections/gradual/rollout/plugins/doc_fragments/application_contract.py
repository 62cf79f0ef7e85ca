# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules are told what they may expect of an application."""

from __future__ import annotations

from textwrap import indent

# Those of module_utils/application/asking.py.
OPTIONS = """\
features:
  description: Flags that the application must know. The default are those that its metrics name.
  type: list
  elements: str
slow_seconds:
  description: The manifest's C(gate.slow_seconds). The histograms must have a bucket at it.
  type: float
  default: 0.5
paths:
  description: Paths that differ from those of the contract. Keys are V(health), V(ready), V(version), V(metrics) and
    V(features).
  type: dict
  default: {}
user_key:
  description: Where the application reads the user, V(cookie NAME) or V(header NAME).
  type: str
  default: cookie visitor
"""


class ModuleDocFragment:
    """DOCUMENTATION is for modules that check the application contract beside their own work, ASKED for the module that
    does nothing else."""

    DOCUMENTATION = f"""
options:
  application_contract:
    description:
      - If given, the running application is asked for each item of the application contract, as
        M(gradual.rollout.contract_check) does.
    type: dict
    suboptions:
{indent(OPTIONS, " " * 6)}"""

    ASKED = f"""
options:
{indent(OPTIONS, " " * 2)}"""
