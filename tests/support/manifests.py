"""The arguments with which the stories deploy: the releases of the sandbox, with short bakes."""

from __future__ import annotations

import json
from typing import Any

# Long enough for a verdict at the stories' load, short enough for a test. A stage lasts longer than the longest
# pause between two looks on a busy machine. The gate certifies on less evidence than a person would want.
SHORT: dict[str, Any] = {
    "bake": {"canary": 0, "aa": 0, "min": 10, "max": 90, "look": 5, "expiry": 45},
    "gate": {"harmless_share": 0.1, "low_traffic": "slo", "slow_seconds": 1.0},
    "backup": {"method": "dump", "level": "restored"},
}
# Fewer users are asked for their features than a rollout asks; where the report is held to its word, all that it wants.
FEW, ENOUGH = ["-e", "ramp_users=600"], ["-e", "ramp_users=4000"]
# What a story leaves behind may still alarm when the next one begins. Preflight would wait for the end of these alerts;
# the stories save that time.
LOUD = [
    "ApplicationHostDown",
    "ApplicationNotReady",
    "ErrorBudgetBurnsIn2Days",
    "ErrorBudgetBurnsIn5Days",
    "FeatureErrorsHigh",
    "FrontDoorDown",
    "FrontDoorErrorsHigh",
    "HealthCheckFailing",
    "HealthCheckStale",
]


def release(name: str, **changes: Any) -> list[str]:
    """Arguments of ansible-playbook that deploy releases/<name>.yml; `changes` replace keys of the manifest."""
    return [
        "-e",
        f"@releases/{name}.yml",
        "-e",
        json.dumps({**SHORT, "preflight_accepted_alerts": LOUD, **changes}),
        *FEW,
    ]


FIRST, GOOD = release("first"), release("epic21")
# All that a rollout can have, where a story needs it, for it takes its time: a backup that was tried out, an A/A stage,
# a first host that is watched before the others follow, and stages that last until other eyes have measured them too.
WHOLE = release(
    "epic21",
    bake={**SHORT["bake"], "canary": 10, "aa": 20, "min": 20, "expiry": 90},
    backup={"method": "dump", "level": "sound"},
)
