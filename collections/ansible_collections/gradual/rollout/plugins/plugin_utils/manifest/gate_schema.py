# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys `bake` and `gate` of a release manifest. Their defaults are those of the gate itself."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.fields import NAME, Field

# What the gate does where a manifest says nothing.
GATE_DEFAULTS = Settings()

BAKE: dict[str, Field] = {
    "canary": {
        "type": "int",
        "default": 300,
        "least": 0,
        "description": (
            "Seconds in which the users of the canary are compared with the users of the other hosts, "
            "before the other hosts follow. 0 means no comparison."
        ),
    },
    "aa": {
        "type": "int",
        "default": 300,
        "least": 0,
        "description": ("Seconds of the A/A stage, before the first stage. 0 means no A/A stage."),
    },
    "min": {
        "type": "int",
        "default": int(GATE_DEFAULTS.min),
        "least": 1,
        "description": "Minimum seconds for which a stage bakes.",
    },
    "max": {
        "type": "int",
        "default": int(GATE_DEFAULTS.max),
        "least": 1,
        "description": "Seconds after which a stage that the gate has not promoted holds until the deadline.",
    },
    "look": {
        "type": "int",
        "default": int(GATE_DEFAULTS.look),
        "least": 1,
        "description": "Seconds between two recorded looks. In between, the gate looks twice a second for an abort.",
    },
    "expiry": {
        "type": "int",
        "default": 300,
        "least": 30,
        "description": "Seconds after which a stage expires by itself if no run extends it.",
    },
    "deadline": {
        "type": "int",
        "least": 1,
        "description": ("Seconds after which a hold ends as on_no_data says. The default is one and a half times max."),
    },
}


def _share(default: float | None, description: str) -> Field:
    field: Field = {"type": "float", "least": 0.0001, "most": 0.9999, "description": description}
    return field if default is None else {**field, "default": default}


METRIC: dict[str, Field] = {
    "name": {
        "type": "str",
        "required": True,
        "pattern": NAME,
        "example": "orders",
        "description": "Name of the metric. The metrics errors and slow always exist.",
    },
    "counter": {
        "type": "str",
        "pattern": r"[a-zA-Z_:][a-zA-Z0-9_:]*",
        "example": "feature_orders_total",
        "description": "The counter, with the labels feature and variant. Not for errors and slow.",
    },
    "labels": {
        "type": "dict",
        "default": {},
        "description": ("Further labels of the series to count. The label feature limits the metric to this feature."),
    },
    "harm": {
        "type": "str",
        "default": "more",
        "choices": ["more", "fewer"],
        "description": "What is harm: more of it per request, or fewer.",
    },
    "role": {
        "type": "str",
        "default": "guardrail",
        "choices": ["guardrail", "signal"],
        "description": "Whether harm aborts the stage (guardrail) or only holds it (signal).",
    },
    "weight": {
        "type": "float",
        "default": 1.0,
        "least": 0.01,
        "most": 100,
        "description": "Weight of the metric when alpha is shared among the metrics of its role.",
    },
}

GATE: dict[str, Field] = {
    "alpha": _share(GATE_DEFAULTS.alpha, "Chance of stopping a harmless release, however many looks there are."),
    "certify_alpha": _share(
        GATE_DEFAULTS.certify_alpha, "Chance of certifying a release whose harm is exactly margin."
    ),
    "tolerated_ratio": {
        "type": "float",
        "default": GATE_DEFAULTS.tolerated_ratio,
        "least": 1,
        "description": "Largest ratio of treatment to control that is not yet harm.",
    },
    "margin": {
        "type": "float",
        "default": GATE_DEFAULTS.margin,
        "least": 1,
        "description": "Ratio of treatment to control that must be excluded before a stage is promoted.",
    },
    "slow_seconds": {
        "type": "float",
        "default": GATE_DEFAULTS.slow_seconds,
        "least": 0.001,
        "description": "A request that takes longer is slow. It must be a bucket bound of the histogram.",
    },
    "hard_error_share": _share(
        GATE_DEFAULTS.hard_error_share,
        "Share of failed requests that aborts a stage, unless the control is near it too.",
    ),
    "hard_slow_share": _share(
        GATE_DEFAULTS.hard_slow_share, "Share of slow requests that aborts a stage, unless the control is near it too."
    ),
    "harmless_share": _share(
        None, ("Share of bad requests below which a stage is certified, whatever the control does. Without it, none.")
    ),
    "low_traffic": {
        "type": "str",
        "default": "refuse",
        "choices": ["refuse", "slo", "hold"],
        "description": (
            "What to do if the traffic is too low to judge the ramp: refuse stops before anything "
            "changes, slo certifies by harmless_share, hold begins and holds."
        ),
    },
    "min_requests": {
        "type": "int",
        "default": GATE_DEFAULTS.min_requests,
        "least": 1,
        "description": "Requests that each arm needs before a stage is promoted.",
    },
    "on_no_data": {
        "type": "str",
        "default": GATE_DEFAULTS.on_no_data,
        "choices": ["rollback", "manual"],
        "description": "What to do when a hold lasts until the deadline.",
    },
    "metrics": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": METRIC,
        "description": ("Counters to judge in addition to errors and slow answers. Also role and weight of these two."),
    },
    "holdback": {
        "type": "int",
        "default": 0,
        "least": 0,
        "most": 50,
        "description": (
            "Percentage of users who stay without the features while 100 % bakes, as the control. 0 means none."
        ),
    },
}
