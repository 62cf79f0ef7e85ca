"""python -m tests.bench.speed: what one look costs in time of our own, and how many recorded traces a second replay
judges.

One look is 10 metrics (5 features) and 1,000 intervals on three hosts: from the samples as Prometheus sends them to the
counts, and from
the counts to the verdict, without and with an A/A stage of 1,000 intervals. Fetching is left aside. Each figure is the
best of some
attempts, in time of the process, so that what else the machine does counts for little. The look shall take 50 ms or
less. Then 2,000 looks at one stage, fetching included: the last 100 shall cost at most 1.2 times as much as the first.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate import replay
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.gate.counts import Counts
from ansible_collections.gradual.rollout.plugins.module_utils.gate.fetch import Fetched
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Series
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.increases import Key, Target

from tests.bench import long_stage
from tests.bench.traffic import SCENARIOS, Shape, simulate, trace

FEATURES = [f"feature-{number}" for number in range(5)]
HOSTS, INTERVALS, SECONDS = 3, 1000, 15
STARTED = 1_780_000_000.0
LENGTH = SECONDS * (INTERVALS + 2)
# Events of an interval on one host at most, by variant: the same users before the stage as in it.
NOW, BEFORE = {"on": 40, "off": 120}, {"aa25": 40, "aa50": 40, "off": 80}
SETTINGS = gate_verdict.settings_from({}, {"min": 30, "max": 2 * LENGTH, "look": 30})


def samples(since: float, variants: dict[str, int]) -> list[Target]:
    """Every counter of every host, scraped every SECONDS seconds, not quite regularly; about a hundredth of the events
    are bad."""
    dice, found = random.Random(1), []
    for number in range(HOSTS):
        table: dict[Key, list[Series]] = {}
        times = [
            round(since + SECONDS * (scrape + number / HOSTS) + dice.uniform(-0.02, 0.02), 3)
            for scrape in range(INTERVALS + 2)
        ]
        for feature in FEATURES:
            for variant, most in variants.items():
                totals = dict.fromkeys(("ok", "error", "answers", "fast"), 0)
                values: dict[str, list[float]] = {part: [] for part in totals}
                for _scrape in times:
                    events = dice.randrange(most)
                    failed, slow = (sum(dice.randrange(100) < 1 for _event in range(events)) for _kind in range(2))
                    for part, grown in (
                        ("ok", events - failed),
                        ("error", failed),
                        ("answers", events),
                        ("fast", events - slow),
                    ):
                        totals[part] += grown
                        values[part].append(float(totals[part]))
                for part in totals:
                    table[feature, part, variant] = [Series({}, list(times), values[part])]
        found.append(Target(f"app{number}", table))
    return found


def best(attempts: int, what: Callable[[], Any]) -> float:
    """Seconds of process time of the fastest of so many attempts."""
    spent = []
    for _attempt in range(attempts):
        begun = time.process_time()
        what()
        spent.append(time.process_time() - begun)
    return min(spent)


def look(attempts: int, calibrated: bool) -> tuple[float, float, str]:
    """(seconds from samples to counts, seconds from counts to verdict, the verdict) of one look, with an A/A stage or
    without."""
    aa = (STARTED - LENGTH, STARTED) if calibrated else None
    stage = Stage(FEATURES, 25, STARTED, STARTED + LENGTH, 0.5, aa=aa)
    now = samples(STARTED, NOW)
    before = samples(STARTED - LENGTH, BEFORE) if calibrated else []

    def counted() -> Counts:
        # New targets, as from a new query: what an earlier attempt has worked out is not used again.
        fresh, calm = ([Target(each.host, each.table) for each in targets] for targets in (now, before))
        return gate_look.counted(Fetched(fresh, calm, []), stage)[0]

    counts = counted()
    if any(len(metric["rows"]) != INTERVALS or bool(metric["aa"]) != calibrated for metric in counts["metrics"]):
        raise SystemExit("speed: the samples gave other counts than they should")
    return (
        best(attempts, counted),
        best(attempts, lambda: gate_verdict.judge(counts, SETTINGS)),
        gate_verdict.judge(counts, SETTINGS)["verdict"],
    )


def replayed(attempts: int, rate: float, traces: int = 50) -> tuple[float, float]:
    """(traces a second, looks a trace took) in ramps of 25, 50 and 100 % at `rate` requests a second, 100 looks in each
    stage and in the A/A stage."""
    batch = simulate(SCENARIOS["no-change"], rate, traces, shape=Shape(aa_looks=100, looks=100))
    recorded = [trace(batch, number) for number in range(traces)]
    settings = replay.settings_of({})

    def judged() -> list[int]:
        return [sum(replay.judge_trace(each, batch.shape.interval, settings)["looks"]) for each in recorded]

    return traces / best(attempts, judged), sum(judged()) / traces


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.speed",
        description="What one look costs, and how many traces a second replay judges.",
    )
    parser.add_argument("--attempts", type=int, default=7, help="the best of so many counts")
    attempts = parser.parse_args().attempts
    print(f"one look over {2 * len(FEATURES)} metrics and {INTERVALS} intervals, best of {attempts}, fetching aside:")
    for calibrated in (False, True):
        counting, judging, verdict = look(attempts, calibrated)
        title = f"with an A/A of {INTERVALS} intervals" if calibrated else "without an A/A"
        whole = 1000 * (counting + judging)
        print(
            f"  {title:30} samples -> counts {1000 * counting:5.1f} ms, counts -> verdict {1000 * judging:5.1f} ms,"
            f" together {whole:5.1f} ms ({verdict})"
        )
    print("replay of good releases, 100 looks a stage at most and an A/A of 100:")
    for rate in (1.0, 100.0):
        pace, looks = replayed(2, rate)
        print(f"  {rate:3.0f} requests a second {pace:6.0f} traces a second, {looks:.0f} looks each")
    print(long_stage.sentence(long_stage.costs(2000)))


if __name__ == "__main__":
    main()
