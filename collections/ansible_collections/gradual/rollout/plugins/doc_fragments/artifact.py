# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules fetch an artifact."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that fetches an artifact."""

    DOCUMENTATION = r"""
options:
  url_username:
    description: User for HTTP basic authentication at the server of O(url). Empty means none.
    type: str
  url_password:
    description: Password of O(url_username). It is not sent to where the server redirects.
    type: str
  url_headers:
    description: Headers of the request, such as C(Authorization) with a token. They do not follow a redirection.
    type: dict
  ca_path:
    description: PEM file of the authorities to trust for an https O(url). Default are the host's.
    type: path
"""
