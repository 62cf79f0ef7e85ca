"""What each of 2,000 looks at one stage costs, on a Prometheus of its own: whether the last costs what the first did.

Three hosts with two features are scraped once a second, and looked at once a second. At look 1,500 the process that
looks is killed, and the next one begins without what the last look left.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import settings_from
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

from tests.services.history import START, History, prometheus
from tests.services.shops import shop

FEATURES = ("search", "cart")
KILLED_AT, PART = 1500, 100
SETTINGS = settings_from({}, {"min": 1e6, "max": 2e6, "look": 1})


def costs(looks: int) -> list[float]:
    """Seconds of process time of each look: fetching, counting, judging, and what it leaves to the next one."""
    history = History()
    for number in range(3):
        history.host(
            "application", f"app{number}", lambda _second: shop(features=FEATURES), looks + 2, shift=0.3 * number
        )
    spent: list[float] = []
    past: Any = None
    with tempfile.TemporaryDirectory() as folder:
        history.write(Path(folder))
        with prometheus(Path(folder)) as address:
            client = Prometheus(address)
            for number in range(1, looks + 1):
                stage = Stage(FEATURES, 25, START, START + number + 1, 0.5)
                begun = time.process_time()
                _seen, past = gate_look.look(client, stage, SETTINGS, None if number == KILLED_AT + 1 else past)
                spent.append(time.process_time() - begun)
    return spent


def sentence(spent: list[float]) -> str:
    """The mean of the first and of the last looks, and of the one that began without the past."""
    first, last = (1000 * sum(part) / len(part) for part in (spent[:PART], spent[-PART:]))
    return (
        f"{len(spent)} looks at one stage: the first {PART} {first:.1f} ms each, the last {PART} {last:.1f} ms,"
        f" {last / first:.2f} times as much; look {KILLED_AT + 1}, after a kill, {1000 * spent[KILLED_AT]:.1f} ms"
    )
