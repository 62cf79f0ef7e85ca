"""The gates that others ship, reimplemented, so that they can be judged on the same traffic as ours.

Each product is a general state machine with its own defaults, and a thin `decide(trace, interval)` that configures it
as an
operator would for a share of errors. A trace is what `make replay` reads:
{"name", "stages": [{"percent", "aa": [look], "looks": [look or None]}]}, a look {"treatment": {"events", "bad"},
"control": {"events", "bad"}}.
A decision is {"verdict": "promote" | "abort" | "hold", "stage": percent, "look": from 1 within the stage, "bad_served":
bad events of the
treatment up to and with that look, over all stages}. "hold" means: paused, or the looks ran out before anything was
decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.bench.baselines import argo, flagger, kayenta

Decide = Callable[[Mapping[str, Any], float], dict[str, Any]]

# The name in the table of the benchmark: how it decides.
BASELINES: dict[str, Decide] = {
    "Argo Rollouts, failureLimit 0": partial(argo.decide, failure_limit=0),
    "Argo Rollouts, failureLimit 3": partial(argo.decide, failure_limit=3),
    "Flagger, threshold 5": flagger.decide,
    "Kayenta, 50 points": kayenta.decide,
}
