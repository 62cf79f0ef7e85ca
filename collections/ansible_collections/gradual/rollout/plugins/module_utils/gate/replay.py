# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The gate over recorded counts, as if live: for those who want to see what it would have said before they trust it.

The document: {"interval_seconds": s, "traces": [{"name": ..., "stages": [{"percent": p, "aa": [look...], "looks":
[look...]}]}]}; a look is
{"treatment": {"events": n, "bad": b}, "control": {"events": n, "bad": b}}, or null where there were no data; one metric
a trace. The looks
of a stage are its bake: it ends when they run out, whatever bake.max says.

    python -m ansible_collections.gradual.rollout.plugins.module_utils.gate.replay COUNTS.json [GATE.yml or GATE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.metric_verdict import MetricGate, capped
from ansible_collections.gradual.rollout.plugins.module_utils.gate.seen import Row, is_number, sensible
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import (
    GateError,
    Settings,
    settings_from,
    spent_in,
)
from ansible_collections.gradual.rollout.plugins.module_utils.gate.verdict import compared

Json = t.Dict[str, t.Any]
# What a line holds, in this order.
KEYS = ("name", "verdict", "stage", "look", "bad_served", "e_value", "reason")


def judge_trace(trace: t.Mapping[str, t.Any], interval: float, settings: Settings) -> Json:
    """The verdict on one trace; raises GateError naming the place, the value seen and what to write.

    `interval` is in seconds; the keys are KEYS and "looks", how many looks each stage took.
    """
    name = str(trace.get("name"))
    stages = trace.get("stages")
    if not isinstance(stages, list) or not stages:
        raise GateError(f"trace {name}: stages is {stages!r:.60}; write a list of at least one stage")
    percents = [_percent(stage, f"trace {name}, stage {number + 1}") for number, stage in enumerate(stages)]
    looks = [_rows(stage.get("looks"), f"trace {name}, stage {percent:g}") for stage, percent in zip(stages, percents)]
    held = [any(row and row[2] for row in rows) for rows in looks]
    with_control = compared([0.0 if control else percent for percent, control in zip(percents, held)])
    bad_served, spent, before = 0, [], {"events": 0, "bad": 0}
    last: Json = {}
    for number, (stage, percent, control, rows) in enumerate(zip(stages, percents, held, looks)):
        aa = [[0, *row] for row in _rows(stage.get("aa"), f"trace {name}, stage {percent:g}, aa") if row]
        head = {"feature": name, "metric": "bad", "kind": "errors", "aa": aa, "before": before}
        alone = percent >= 100 and not control
        gate = MetricGate(head, settings, settings.alpha * spent_in(number, with_control), percent, alone)
        verdict, look = "hold", 0
        for look, row in enumerate(rows, 1):
            gate.seen.add(look * interval, row)
            bad_served += int(row[1]) if row else 0
            verdict = gate.judge(full=False)["verdict"]
            if verdict == "abort" or (verdict == "promote" and look * interval >= settings.min):
                break
            verdict = "hold"
        spent.append(look)
        reason = gate.judge(full=False)["reason"]
        last = {
            "verdict": verdict,
            "stage": percent,
            "look": look,
            "e_value": capped(gate.log_e_value()),
            "reason": reason,
        }
        if verdict != "promote":
            break
        total = gate.tally.between(0, len(gate.tally))
        before = {"events": int(total.all_events), "bad": int(total.all_bad)}
    return {"name": trace.get("name"), "bad_served": bad_served, "looks": spent, **last}


def _percent(stage: t.Any, where: str) -> float:
    percent = stage.get("percent") if isinstance(stage, dict) else None
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 < percent <= 100:
        raise GateError(f"{where}: percent is {percent!r}; write a number above 0 and up to 100")
    return percent


def _rows(looks: t.Any, where: str) -> t.List[t.Optional[Row]]:
    if looks is None:
        return []
    if not isinstance(looks, list):
        raise GateError(f"{where}: its looks are {looks!r:.60}; write a list of looks")
    return [_row(look, f"{where}, look {number}") for number, look in enumerate(looks, 1)]


def _row(look: t.Any, where: str) -> t.Optional[Row]:
    if look is None:
        return None
    found = None
    if isinstance(look, dict) and isinstance(look.get("treatment"), dict):
        arms = look["treatment"], look.get("control") or {"events": 0, "bad": 0}
        if isinstance(arms[1], dict):
            found = sensible([0, *(arm.get(key) for arm in arms for key in ("events", "bad"))])
    if found is None:
        raise GateError(
            f'{where} is {json.dumps(look):.90}; write null or {{"treatment": {{"events": n, "bad": b}}, "control":'
            " {…}}, 0 <= b <= n"
        )
    return found


def settings_of(document: t.Any) -> Settings:
    """Settings from what a gate file holds: a manifest, or the keys of its `gate` and `bake` by themselves. No shortest
    bake unless it says so."""
    if not isinstance(document, dict):
        raise GateError(f"the gate file holds {document!r:.60}; write a mapping of settings, as gate in a manifest")
    if any(isinstance(document.get(key), dict) for key in ("gate", "bake")):
        gate, bake = document.get("gate") or {}, document.get("bake") or {}
        if not (isinstance(gate, dict) and isinstance(bake, dict)):
            raise GateError(
                f"the gate file has {gate!r:.60} as gate and {bake!r:.60} as bake; write a mapping of settings in each"
            )
    else:
        gate, bake = document, {}
    known = {*Settings.__dataclass_fields__, "aa", "expiry", "metrics", "holdback"}
    for key in [*gate, *bake]:
        if key not in known:
            raise GateError(
                f"gate: {key}: no such setting; write one of {', '.join(sorted(Settings.__dataclass_fields__))}"
            )
    smallest = {"min": 1e-9, "max": 1e9} if not {"min", "max"} & {*gate, *bake} else {}
    return settings_from(gate, {**smallest, **bake})


def lines(document: t.Any, settings: Settings) -> t.Iterator[str]:
    """One JSON line a trace; raises GateError before the first one where the document makes no sense."""
    traces = document.get("traces") if isinstance(document, dict) else None
    interval = document.get("interval_seconds") if isinstance(document, dict) else None
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise GateError(
            f'the counts hold {document!r:.60}; write {{"interval_seconds": s, "traces": [{{"name", "stages"}}]}}'
        )
    if not isinstance(interval, (int, float)) or not is_number(interval) or interval <= 0:
        raise GateError(f"interval_seconds is {interval!r}; write the seconds between two looks")
    for trace in traces:
        judged = judge_trace(trace, float(interval), settings)
        yield json.dumps({key: judged[key] for key in KEYS}, ensure_ascii=False)


def main(argv: t.Optional[t.Sequence[str]] = None) -> int:
    """Replay a file; exit status 2 with one sentence when it cannot be used."""
    parser = argparse.ArgumentParser(prog="replay", description="The gate over recorded counts, one JSON line a trace.")
    parser.add_argument("counts", help="JSON file of recorded counts")
    parser.add_argument("gate", nargs="?", help="YAML or JSON file of settings, as gate in a manifest")
    given = parser.parse_args(argv)
    try:
        settings = settings_of(read(given.gate, yaml=True) or {} if given.gate else {})
        # All or nothing: who reads the lines may take them for the whole.
        told = list(lines(read(given.counts), settings))
    except GateError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    sys.stdout.writelines(f"{line}\n" for line in told)
    return 0


def read(path: str, yaml: bool = False) -> t.Any:
    try:
        with open(path, encoding="utf-8") as handle:
            if not yaml:
                return json.load(handle)
            import yaml as parser  # here, since a host that judges looks needs no YAML

            return parser.safe_load(handle)
    except (OSError, ValueError) as error:
        raise GateError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # yaml.YAMLError, which is known only where yaml is
        raise GateError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


if __name__ == "__main__":
    sys.exit(main())
