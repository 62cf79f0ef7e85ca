"""python -m tests.bench.safety [--rounds 10] [--full 2] [--stage 390] [--rates 60] [--out FOLDER]: from the first bad
answer to safe users on a fleet.

Rolls out a release whose feature errs and one whose feature is slow while users come, and takes the times from the
ledger and the bad answers from the load's own record: `--full` times from the previous release until all hosts are back
on it, then `--rounds` times with the code already there, so that only the flags are turned off. Then the stage goes on
for `--stage` seconds while nothing stops it, and the decision loops of Argo and Flagger are played on its counts.

Needs a fleet ($GRADUAL_FLEET). Writes FOLDER/results.json and FOLDER.md; rates that are not played now keep their
figures. `--render` makes the page again from results.json. Exit status 1 when a check does not hold.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import unfolded

from tests.bench import loops
from tests.bench.tables import check_lines, machine, table
from tests.support import fleet
from tests.support.manifests import SHORT, release
from tests.support.story import Story

Json = dict[str, Any]
OUT = Path("docs/bench-safety")
RATE, ROUNDS, FULL, STAGE = 60, 10, 2, 390
# The A/A stage tells the gate the usual rates; without it every stage begins with less evidence.
BAKE = {**SHORT["bake"], "aa": 20}
RELEASES = {"errors": "epic21-errors", "slow": "epic21-slow"}
# The spans of a figure, from one moment of the record to another.
SPANS = {
    "first bad answer to decision": ("first_bad", "noticed_at"),
    "decision to off": ("noticed_at", "flags_off_at"),
    "first bad answer to off": ("first_bad", "flags_off_at"),
    "decision to all hosts back": ("noticed_at", "hosts_back_at"),
}
# Wanted at 60 requests a second and three hosts: seconds in the median.
WANTED = {"first bad answer to off": 6.0, "decision to off": 1.5, "decision to all hosts back": 25.0}


def played(story: Story, kind: str, rate: int, **changes: Any) -> tuple[Json, list[Json], Json]:
    """One rollout under load: the load's record, the ledger's lines and the report of it."""
    before = len(fleet.ledger())
    story.begin_load(rate)
    try:
        story.play("deploy.yml", *release(RELEASES[kind], **{"bake": BAKE, **changes}))
    finally:
        load = story.end_load()
    lines = unfolded(fleet.events(fleet.ledger()[before:]))
    reported = fleet.execute("mon1", "cat", f"{fleet.LEDGER}/reports/{lines[-1]['rollout']}/report.json")
    return load, lines, json.loads(reported)


def moment(time: str) -> float:
    """Seconds since the epoch."""
    return datetime.datetime.fromisoformat(time).timestamp()


def row(kind: str, rate: int, load: Json, lines: list[Json], report: Json) -> Json:
    """The moments of a rollout that was stopped, in seconds since the epoch, and what the users got."""
    times = report["times"]
    hidden = [moment(line["time"]) for line in lines if line["event"] == "aa.ended"][-1]
    # A bad answer of the erring release is in the load's record; of the slow one the gate's own count is what there is.
    failures = [at for at in (moment(one["time"]) for one in load["failures"]) if at > hidden]
    looks = [line["data"] for line in lines if line["event"] == "gate.looked"]
    return {
        "kind": kind,
        "rate": rate,
        **{key: times[key] for key in ("noticed_at", "flags_off_at", "hosts_back_at")},
        "first_bad": min(failures) if kind == "errors" and failures else times["first_bad_at"],
        "shown_at": looks[-1]["counts"]["since"],
        "judged_at": looks[-1]["counts"]["until"],
        "interval": looks[-1]["counts"]["interval"],
        "looks": len(looks),
        "verdict": looks[-1]["verdict"],
        "sent": load["sent"],
        "bad": len(failures) if kind == "errors" else load["slow"],
        "after_off": sum(at > times["flags_off_at"] for at in failures),
    }


def full(kind: str, rate: int) -> Json:
    """From the previous release until all hosts are back on it."""
    with Story(f"safety-{kind}") as story:
        return row(kind, rate, *played(story, kind, rate))


def repeated(kind: str, rate: int, rounds: int, stage: int) -> Iterator[tuple[str, Json]]:
    """("rows", each round with the code already there), then ("stages", the stage that nothing stops) if it lasts."""
    with Story(f"safety-{kind}") as story:
        for _round in range(rounds):
            yield "rows", row(kind, rate, *played(story, kind, rate, on_abort="flags"))
        if stage:
            yield "stages", unstopped(story, kind, rate, stage)


def unstopped(story: Story, kind: str, rate: int, seconds: int) -> Json:
    """A stage of so many seconds in which harm only holds, and what each loop decides on its counts."""
    signals = [{"name": name, "role": "signal"} for name in ("errors", "slow")]
    _load, lines, _report = played(
        story,
        kind,
        rate,
        on_abort="flags",
        bake={**BAKE, "min": seconds, "max": seconds, "deadline": seconds, "expiry": 120},
        gate={**SHORT["gate"], "metrics": signals},
    )
    look = [line["data"] for line in lines if line["event"] == "gate.looked"][-1]
    return {"kind": kind, "rate": rate, "seconds": look["elapsed"], "loops": loops.decisions(look, kind)}


def spans(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Seconds of every span, of the rounds that have both of its moments."""
    kept = list(rows)
    return {
        name: [row[end] - row[start] for row in kept if row[start] is not None and row[end] is not None]
        for name, (start, end) in SPANS.items()
    }


def cells(results: Json) -> list[tuple[str, int, list[Json]]]:
    """The rounds of each release at each rate."""
    keys = sorted({(row["kind"], row["rate"]) for row in results["rows"]})
    return [
        (kind, rate, [row for row in results["rows"] if (row["kind"], row["rate"]) == (kind, rate)])
        for kind, rate in keys
    ]


def told(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median, least and most, and of how many; that nothing was measured where there are none."""
    if not values:
        return "not measured"
    return f"{form(statistics.median(values))} ({form(min(values))}–{form(max(values))}; {len(values)})"


def checks(results: Json) -> list[tuple[bool, str, str]]:
    """What must hold, and the figures."""
    judged = []
    for kind, rate, rows in cells(results):
        where = f"{kind}, {rate}/s"
        stopped = sum(row["verdict"] == "abort" for row in rows)
        judged.append((stopped == len(rows), f"{where}: the gate stops it", f"{stopped} of {len(rows)}"))
        late = sum(row["after_off"] for row in rows)
        judged.append((late == 0, f"{where}: no request fails after the features are off", f"{late} failed"))
        if rate == RATE:
            for name, most in WANTED.items():
                values = spans(rows)[name]
                median = statistics.median(values) if values else None
                seen = "not measured" if median is None else f"{median:.1f} s in the median"
                holds = median is not None and median <= most
                judged.append((holds, f"{where}: {name} at most {most:g} s", seen))
    return judged


def interval(results: Json) -> str:
    """Seconds between two scrapes, as the gate saw them."""
    return " or ".join(f"{seconds:g}" for seconds in sorted({row["interval"] for row in results["rows"]}))


def figures(results: Json) -> str:
    """The table of all rounds."""
    rows = []
    for kind, rate, kept in cells(results):
        found = spans(kept)
        seconds = [told(found[name], "{:.1f}".format) for name in SPANS]
        counts = [told([row[key] for row in kept], "{:.0f}".format) for key in ("looks", "bad")]
        rows.append([kind, str(rate), *seconds, *counts])
    return table(["release", "requests a second", *SPANS, "looks", "bad answers"], rows)


def beside(results: Json) -> str:
    """What each loop decides on the same stage."""
    if not results["stages"]:
        return "Not measured."
    rows = []
    for stage in results["stages"]:
        for each in stage["loops"]:
            decided = each["seconds"] is not None
            rows.append(
                [
                    stage["kind"],
                    str(stage["rate"]),
                    each["loop"],
                    f"{each['seconds']:.0f} s" if decided else f"not within the stage ({stage['seconds']:.0f} s)",
                    str(each["bad"]) if decided else "–",
                ]
            )
    return f"""One stage of 25 % of each release, with the same load, in which nothing aborts (`role: signal`). The
decision loops of Argo Rollouts and Flagger (`tests/bench/baselines`) are played on the counts that the gate recorded in
it: of all features together, the answers to users who have them. A measurement fails if more than
{loops.MOST * 100:g} % of the answers of its period are bad: errors, or of the slow release those over
{SHORT["gate"]["slow_seconds"]:g} s. {loops.OURS} is our gate on the same counts. All begin when the features are shown,
and none has the time that turning off takes.

{table(["release", "requests a second", "loop", "aborts after", "bad answers by then"], rows)}"""


def page(results: Json) -> str:
    """docs/bench-safety.md."""
    judged = [["yes" if holds else "**no**", claim, seen] for holds, claim, seen in checks(results)]
    whole = sum(row["hosts_back_at"] is not None for row in results["rows"])
    rest = len(results["rows"]) - whole
    return f"""# Seconds to safety

`make bench-safety` measures this. `python -m tests.bench.safety --render` makes this page again from
`bench-safety/results.json`.

## How it is measured

- Machine: {results["machine"]}. The three application hosts, the balancer, the database,
  the monitoring, the controller and the load share its cores, so the seconds are those of a busy machine.
- 2.0.1 errs for three of eight users of a feature; 2.0.2 makes search a second slower. Each is rolled out by
  `deploy.yml`, and stopped by the gate at 25 % of the users. Settings of `bake`:
  `{json.dumps(results["bake"])}`.
- {whole} of the rounds begin with the previous release on all hosts and end when they run it again. In {rest} of them
  the code is already there (`on_abort: flags`), so that only the features are shown and turned off. The moments up to
  *off* are taken from all of them.
- *First bad answer*: of the erring release by the load's own record, of the slow one the first that the gate counted.
  *Decision*: the look that stopped the stage was recorded. *Off*: every process of every host was seen to evaluate the
  features as off. *Back*: the last host runs the release before. All other moments are those of the ledger.
- *Bad answers*: those that failed, or of the slow release those that took over 0.5 s.
- Prometheus scrapes the application every {interval(results)} s. The gate records a look every
  {results["bake"]["look"]} s, and looks several times in between.

## Figures

Seconds and counts: median of the rounds, least and most, and the number of rounds.

{figures(results)}

## What other loops would have served

{beside(results)}

## What was wanted

{table(["", "claim", "figures"], judged)}

The theoretical limit is not measured here; [bench-gates.md](bench-gates.md) has it for simulated traffic.
"""


def kept_of(path: Path, rates: Sequence[int]) -> Json:
    """The results so far, without those of the rates that are played now and without those of other settings."""
    begun = {"machine": machine(), "bake": BAKE, "rows": [], "stages": []}
    if not path.exists():
        return begun
    found = json.loads(path.read_text())
    if any(found.get(key) != begun[key] for key in ("machine", "bake")):
        return begun
    return {
        **begun,
        **{key: [one for one in found.get(key, []) if one["rate"] not in rates] for key in ("rows", "stages")},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, check."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.safety", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="with the code already there (default %(default)s)")
    parser.add_argument("--full", type=int, default=FULL, help="rounds until all hosts are back (default %(default)s)")
    parser.add_argument(
        "--stage",
        type=int,
        default=STAGE,
        help="seconds of the stage that nothing stops (default %(default)s); 0: none",
    )
    parser.add_argument("--rates", default=str(RATE), help="requests a second, separated by commas")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args(arguments)
    kept = given.out / "results.json"
    if not given.render:
        rates = [int(rate) for rate in given.rates.split(",")]
        results = kept_of(kept, rates)
        given.out.mkdir(parents=True, exist_ok=True)
        for rate in rates:
            for key, found in measured(rate, given.rounds, given.full, given.stage):
                results[key].append(found)
                print(key, found, flush=True)
                # Written after each rollout, so that a run that is cut off leaves what it has measured.
                kept.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(kept.read_text())
    given.out.with_suffix(".md").write_text(page(results))
    judged = checks(results)
    print("\n".join(check_lines(judged)))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1


def measured(rate: int, rounds: int, full_rounds: int, stage: int) -> Iterator[tuple[str, Json]]:
    """Everything at one rate, as ("rows" or "stages", …)."""
    for kind in RELEASES:
        for _round in range(full_rounds):
            yield "rows", full(kind, rate)
        if rounds or stage:
            yield from repeated(kind, rate, rounds, stage)


if __name__ == "__main__":
    sys.exit(main())
