# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Looks that go on from the past of the look before see what a look that fetches everything sees, whatever happens."""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
import random
import re
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import fold, unfold
from ansible_collections.gradual.rollout.plugins.module_utils.gate.past import Past, past_of
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import Seen
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError, settings_from
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.gate.verdict import judge, judge_again
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    PrometheusError,
    Series,
)

Json = dict[str, t.Any]
START = 1_780_000_000.0
AA = (START - 60, START - 5)
SETTINGS = settings_from({}, {"min": 300, "max": 900, "look": 10})
ORDERS = {"name": "orders", "counter": "feature_orders_total", "harm": "fewer", "role": "signal"}


class Memory(Prometheus):
    """A Prometheus that knows a sample from some time on, and counts the samples that it returns."""

    def __init__(self) -> None:
        super().__init__("http://memory")
        self.known: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float, float]]] = {}
        self.returned = 0
        self.down = False

    def add(self, name: str, labels: dict[str, str], at: float, value: float, delay: float = 0.0) -> None:
        self.known.setdefault((name, frozenset(labels.items())), []).append((at, value, at + delay))

    def series(self, selector: str, since: float, until: float) -> list[Series]:
        if self.down:
            raise PrometheusError("Prometheus at http://memory does not answer")
        name, inside = re.fullmatch(r"(\w+)\{(.*)\}", selector).groups()  # type: ignore[union-attr]
        wanted = re.findall(r'(\w+)=~"([^"]*)"', inside.replace("\\\\", "\\"))
        found = []
        for (known, pairs), samples in self.known.items():
            labels = dict(pairs)
            if known == name and all(re.fullmatch(value, labels.get(label, "")) for label, value in wanted):
                first = bisect.bisect_left(samples, (since,))
                end = bisect.bisect_right(samples, (until, math.inf))
                kept = [(at, value) for at, value, seen in samples[first:end] if seen <= until]
                self.returned += len(kept)
                if kept:
                    found.append(Series.of(labels, kept))
        return found


@dataclasses.dataclass
class Host:
    """What happens to a host, in seconds after the stage began."""

    name: str
    silent: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    unsampled: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    broken: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    absent: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    restarts: list[float] = dataclasses.field(default_factory=list)
    late: float = 0.0


def within(spans: list[tuple[float, float]], at: float) -> bool:
    return any(begin <= at < end for begin, end in spans)


def scraped(memory: Memory, host: Host, seconds: int, interval: float, dice: random.Random, harm_from: float) -> None:
    """Remember one host from the A/A stage on; its counters are those of the application contract."""
    totals: dict[tuple[str, str, str], float] = {}
    labels = {"job": "application", "host": host.name, "instance": f"{host.name}:8080"}
    due, last = -65.0 + dice.random() * interval, -65.0
    while due < seconds:
        at, due = due + dice.uniform(-0.02, 0.02), due + interval
        if any(last < restart <= at for restart in host.restarts):
            totals = dict.fromkeys(totals, 0.0)
        last = at
        shares = {"aa25": 1, "aa50": 1, "off": 2} if at < 0 else {"on": 1, "off": 3}
        for variant, share in shares.items():
            events = [dice.random() for _event in range(dice.randrange(6 * share))]
            bad = 0.15 if variant == "on" and at >= harm_from else 0.02
            for part, grown in {
                "ok": sum(event >= bad for event in events),
                "error": sum(event < bad for event in events),
                "count": len(events),
                "bucket": sum(event >= 0.03 for event in events),
                "orders": sum(event > 0.8 for event in events),
            }.items():
                totals["search", part, variant] = totals.get(("search", part, variant), 0.0) + grown
        if within(host.unsampled, at):
            continue
        delay = host.late if dice.random() < 0.2 else 0.0
        memory.add("up", labels, START + at, 0.0 if within(host.silent, at) else 1.0, delay)
        if within(host.silent, at):
            continue
        for (feature, part, variant), total in totals.items():
            name, own = {
                "ok": ("feature_requests_total", {"outcome": "ok"}),
                "error": ("feature_requests_total", {"outcome": "error"}),
                "count": ("feature_request_duration_seconds_count", {}),
                "bucket": ("feature_request_duration_seconds_bucket", {"le": "0.5"}),
                "orders": ("feature_orders_total", {}),
            }[part]
            if part == "error" and variant == "on" and within(host.absent, at):
                continue
            value = float("nan") if part == "error" and within(host.broken, at) else total
            memory.add(name, {**labels, "feature": feature, "variant": variant, **own}, START + at, value, delay)


def spans(dice: random.Random, seconds: int) -> list[tuple[float, float]]:
    """One short or long span in the stage, or none."""
    begin = dice.uniform(10, seconds)
    return dice.choice([[], [(begin, begin + dice.choice([2, 4, 8, 30, 90, 150, 10_000]))]])


def played(seed: int, seconds: int) -> Memory:
    dice, memory = random.Random(seed), Memory()
    asleep = dice.choice([[], spans(dice, seconds)])
    harm_from = dice.choice([1e9, dice.uniform(60, seconds)])
    interval = dice.choice([1.0, 2.0])
    for number in range(3):
        host = Host(
            f"app{number}",
            *(spans(dice, seconds), asleep, spans(dice, seconds), spans(dice, seconds)),
            restarts=dice.choice([[], [dice.uniform(10, seconds)]]),
            late=dice.choice([0.0, interval]),
        )
        scraped(memory, host, seconds, interval, dice, harm_from)
    return memory


def stage(elapsed: float, percent: int = 25) -> Stage:
    return Stage(
        ["search"], percent, START, START + elapsed, 0.5, aa=AA, metrics=[ORDERS], lookback=50.0, hosts=["app0"]
        if percent == 100
        else (),
    )  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 7, 10, 11, 17])
def test_a_look_with_a_past_is_the_look_at_everything(seed: int) -> None:
    dice, seconds, percent = random.Random(-seed), 300, 100 if seed % 6 == 5 else 25
    memory = played(seed, seconds)
    given: Past | None
    past, recorded, before, elapsed = None, None, None, 0.0
    while elapsed < seconds:
        elapsed += dice.uniform(1, 30)
        now = stage(elapsed, percent)
        whole, _next_past = gate_look.look(memory, now, SETTINGS)
        given = past_of(json.loads(json.dumps(dataclasses.asdict(past))), START) if past else None
        seen, past = gate_look.look(memory, now, SETTINGS, given)
        recorded = unfold(fold(seen, before), recorded)
        before = seen
        assert recorded == whole
        assert judge_again(recorded) == judge_again(whole)
    assert past is not None
    assert past.length > 50


def test_a_prometheus_that_fails_meanwhile_gives_a_record_that_is_whole_again() -> None:
    memory = played(1, 300)
    past, recorded, before = None, None, None
    for elapsed in range(10, 300, 10):
        memory.down = elapsed in (150, 160)
        whole, _next_past = gate_look.look(memory, stage(elapsed), SETTINGS)
        seen, past = gate_look.look(memory, stage(elapsed), SETTINGS, past)
        recorded = unfold(fold(seen, before), recorded)
        before = seen
        assert recorded == whole
        assert (past is None) == (memory.down or elapsed <= 30)


def test_another_scrape_interval_is_a_look_at_everything() -> None:
    memory = Memory()
    scraped(memory, Host("app0"), 120, 1.0, random.Random(1), 1e9)
    _seen, past = gate_look.look(memory, stage(120), SETTINGS)
    assert past is not None
    for (name, pairs), samples in list(memory.known.items()):
        total = samples[-1][1]
        for place in range(1, 120):
            memory.add(name, dict(pairs), START + 120 + 5 * place, total)
    for elapsed, whole in ((150, False), (400, True)):
        seen, _past = gate_look.look(memory, stage(elapsed), SETTINGS, past)
        assert ("rows_kept" not in seen["counts"]["metrics"][0]) is whole


def test_the_last_of_2000_looks_costs_what_the_first_cost() -> None:
    """In samples that Prometheus returns and rows that are judged, also after a run that was killed and resumed."""
    memory, past = Memory(), None
    scraped(memory, Host("app0"), 2002, 1.0, random.Random(1), 1e9)
    settings = settings_from({}, {"min": 3000, "max": 9000, "look": 1})
    work: list[tuple[int, int]] = []
    for number in range(1, 2001):
        memory.returned = 0
        now = Stage(["search"], 25, START, START + number, 0.5)
        seen, past = gate_look.look(memory, now, settings, None if number == 1501 else past)
        errors = seen["counts"]["metrics"][0]
        work.append((memory.returned, len(errors["rows"])))
        assert seen["intervals"] == len(errors["rows"]) + errors.get("rows_kept", 0)
    for column in (0, 1):
        first, last = (sum(each[column] for each in part) for part in (work[:100], work[-100:]))
        assert last <= 1.2 * first
    assert work[1500][0] > 10 * work[1499][0], "a process without the past fetches everything, once"
    assert work[1501] <= work[1499]


def test_rows_that_are_not_there_need_their_past() -> None:
    memory = played(2, 200)
    _seen, past = gate_look.look(memory, stage(100), SETTINGS)
    assert past is not None
    seen, _past = gate_look.look(memory, stage(120), SETTINGS, past)
    assert judge(seen["counts"], SETTINGS, past.metrics)["verdict"] == seen["verdict"]
    with pytest.raises(GateError, match="expected a past of them"):
        judge(seen["counts"], SETTINGS)
    with pytest.raises(GateError, match="give what the look before returned as past"):
        past_of({"since": START}, START)
    assert past_of(dataclasses.asdict(past), START + 1) is None, "another stage has another past"
    assert past_of({}, START) is None


@pytest.mark.parametrize("fewer", [False, True])
def test_the_summary_of_rows_says_what_the_rows_say_and_does_not_grow(fewer: bool) -> None:
    """Whatever the place of the cut: the sums at every begin and split, and the blocks that a hard limit asks for."""
    dice = random.Random(7)
    rows: list[t.Any] = [
        None if dice.random() < 0.1 else [float(at), dice.randrange(3), 0, dice.randrange(5), 0] for at in range(3000)
    ]
    whole, cut = Seen(fewer), Seen(fewer)
    for end in range(30, 3000, 30):
        whole.add_all(rows[end - 30 : end])
        cut = Seen(fewer, json.loads(json.dumps(cut.summary())))
        cut.add_all(rows[end - 30 : end])
        kept = cut.summary()
        assert kept["sums"] == whole.tally.summary()
        assert len(kept["sums"]) <= 27
        assert len(kept["latest"]) <= 46
        assert (kept["length"], kept["unseen"]) == (end, whole.unseen)


def test_a_later_sample_than_can_be_waited_for_is_not_counted() -> None:
    """The negative control of the tests above: what is settled stays as it is."""
    memory = played(3, 300)
    past = None
    for elapsed in (100, 200):
        _seen, past = gate_look.look(memory, stage(elapsed), SETTINGS, past)
    late = [key for key in memory.known if key[0] == "feature_requests_total"]
    for name, pairs in late:
        memory.known[name, pairs] = [
            (at, value + 50 if at >= START + 50 else value, seen) for at, value, seen in memory.known[name, pairs]
        ]
    whole, _past = gate_look.look(memory, stage(210), SETTINGS)
    seen, _past = gate_look.look(memory, stage(210), SETTINGS, past)
    assert seen["metrics"][0]["treatment"]["events"] < whole["metrics"][0]["treatment"]["events"]
