# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules reach Prometheus."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION is for every module that asks Prometheus, APPLICATION for those that read the application's
    counters."""

    DOCUMENTATION = r"""
options:
  prometheus:
    description:
      - Address of Prometheus.
      - The host's proxies hold for it (C(http_proxy), C(https_proxy), C(no_proxy)).
    type: str
    default: http://127.0.0.1:9090
  prometheus_username:
    description: User for HTTP basic authentication. Empty means none.
    type: str
  prometheus_password:
    description: Password of O(prometheus_username).
    type: str
  prometheus_headers:
    description: Headers of every request, for example C(Authorization) with a bearer token, or C(X-Scope-OrgID).
    type: dict
  prometheus_ca_path:
    description: PEM file of the authorities to trust for an https address. Default are the host's.
    type: path
"""

    APPLICATION = r"""
options:
  job:
    description: The job in Prometheus that scrapes the application.
    type: str
    default: application
  timeout:
    description: Seconds to wait for one answer of Prometheus.
    type: float
    default: 30
"""
