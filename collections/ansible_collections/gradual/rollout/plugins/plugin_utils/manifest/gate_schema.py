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
            "Seconds for which users of the first host with the new code are compared with those of the others before"
            " these follow; 0 for none."
        ),
    },
    "aa": {
        "type": "int",
        "default": 300,
        "least": 0,
        "description": (
            "Seconds before the first stage in which the users of every stage are compared while the features are off;"
            " 0 for none."
        ),
    },
    "min": {
        "type": "int",
        "default": int(GATE_DEFAULTS.min),
        "least": 1,
        "description": "Seconds that a stage is watched at the least.",
    },
    "max": {
        "type": "int",
        "default": int(GATE_DEFAULTS.max),
        "least": 1,
        "description": "Seconds after which a stage that the gate cannot promote is given up.",
    },
    "look": {
        "type": "int",
        "default": int(GATE_DEFAULTS.look),
        "least": 1,
        "description": "Seconds between two looks.",
    },
    "expiry": {
        "type": "int",
        "default": 300,
        "least": 30,
        "description": "Seconds after which a stage that nobody looks at any more expires by itself.",
    },
    "deadline": {
        "type": "int",
        "least": 1,
        "description": (
            "Seconds after which a stage is given up even while the gate holds; half more than max without it."
        ),
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
        "description": "What it is called; errors and slow are always there.",
    },
    "counter": {
        "type": "str",
        "pattern": r"[a-zA-Z_:][a-zA-Z0-9_:]*",
        "example": "feature_orders_total",
        "description": "The counter, with the labels feature and variant; not for errors and slow.",
    },
    "labels": {
        "type": "dict",
        "default": {},
        "description": "Further labels that count; a label feature limits the metric to this feature.",
    },
    "harm": {
        "type": "str",
        "default": "more",
        "choices": ["more", "fewer"],
        "description": "What is worse a request: more of it, or fewer.",
    },
    "role": {
        "type": "str",
        "default": "guardrail",
        "choices": ["guardrail", "signal"],
        "description": "Whether harm aborts the stage, or only holds it.",
    },
    "weight": {
        "type": "float",
        "default": 1.0,
        "least": 0.01,
        "most": 100,
        "description": "Its part of alpha, compared with the others.",
    },
}

GATE: dict[str, Field] = {
    "alpha": _share(GATE_DEFAULTS.alpha, "Chance of stopping a harmless release, however often it is looked at."),
    "certify_alpha": _share(
        GATE_DEFAULTS.certify_alpha, "Chance of promoting a release whose harm is as large as margin says."
    ),
    "tolerated_ratio": {
        "type": "float",
        "default": GATE_DEFAULTS.tolerated_ratio,
        "least": 1,
        "description": "How many times worse than control is no harm yet.",
    },
    "margin": {
        "type": "float",
        "default": GATE_DEFAULTS.margin,
        "least": 1,
        "description": "How many times worse than control must be ruled out before a stage is promoted.",
    },
    "slow_seconds": {
        "type": "float",
        "default": GATE_DEFAULTS.slow_seconds,
        "least": 0.001,
        "description": "A request that takes longer is slow; a bucket of the histogram.",
    },
    "hard_error_share": _share(
        GATE_DEFAULTS.hard_error_share, "Share of failed requests that aborts a stage whatever control does."
    ),
    "hard_slow_share": _share(
        GATE_DEFAULTS.hard_slow_share, "Share of slow requests that aborts a stage whatever control does."
    ),
    "harmless_share": _share(None, "Share of bad requests that is no harm whatever control does; none without it."),
    "low_traffic": {
        "type": "str",
        "default": "refuse",
        "choices": ["refuse", "slo", "hold"],
        "description": (
            "What to do when the traffic cannot carry the ramp: refuse it, certify by harmless_share, or begin and"
            " hold."
        ),
    },
    "min_requests": {
        "type": "int",
        "default": GATE_DEFAULTS.min_requests,
        "least": 1,
        "description": "Requests on each side before a verdict.",
    },
    "on_no_data": {
        "type": "str",
        "default": GATE_DEFAULTS.on_no_data,
        "choices": ["rollback", "manual"],
        "description": "What to do at the end of a stage that could not be judged.",
    },
    "metrics": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": METRIC,
        "description": "Counters to judge beside errors and slow answers; or role and weight of those two.",
    },
    "holdback": {
        "type": "int",
        "default": 0,
        "least": 0,
        "most": 50,
        "description": (
            "Percentage of users who are kept without the features while 100 % bakes, to compare with; 0 for none."
        ),
    },
}
