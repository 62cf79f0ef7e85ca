# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The options by which every module that asks Prometheus reaches it (doc fragment `prometheus`)."""

from __future__ import annotations

import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import Access
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    "prometheus": {"type": "str", "default": "http://127.0.0.1:9090"},
    "prometheus_username": {"type": "str"},
    "prometheus_password": {"type": "str", "no_log": True},
    "prometheus_ca_path": {"type": "path"},
    "prometheus_headers": {"type": "dict", "no_log": True},
}
# For those that read the application's counters (doc fragment `prometheus.application`).
APPLICATION_ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    "job": {"type": "str", "default": "application"},
    "timeout": {"type": "float", "default": 30},
}


def prometheus_of(options: t.Mapping[str, t.Any]) -> Prometheus:
    """A client from a module's options, of which `timeout` is its own; PrometheusError when the address is none."""
    access = (options[f"prometheus_{name}"] for name in ("username", "password", "ca_path", "headers"))
    return Prometheus(options["prometheus"], options["timeout"], Access(*access))
