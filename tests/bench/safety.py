"""python -m tests.bench.safety [--rounds 3] [--rates 60] [--out FOLDER]: from the first bad answer to safe users on a
fleet.

Rolls out a release whose feature errs and one whose feature is slow, again and again, while users come, and takes the
times from the ledger and the bad answers from the load's own record. Needs a fleet ($GRADUAL_FLEET). Writes
FOLDER/results.json and FOLDER.md; `--render` makes the page again from results.json. Exit status 1 when a check does
not hold.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.tables import check_lines, machine, table
from tests.support.manifests import SHORT, release
from tests.support.seen import Seen
from tests.support.story import Story

Json = dict[str, Any]
OUT = Path("docs/bench-safety")
RATE, ROUNDS = 60, 3
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


def play(kind: str, rate: int) -> Json:
    """One rollout that is stopped: its moments in seconds since the epoch, and what the users got."""
    with Story(f"safety-{kind}") as story:
        story.begin_load(rate)
        story.play("deploy.yml", *release(RELEASES[kind], bake=BAKE))
        story.end_load()
    seen = Seen(story.directory)
    times, load = seen.report()["times"], seen.load
    # A bad answer of the erring release is in the load's record; of the slow one the gate's own count is what there is.
    failures = [datetime.datetime.fromisoformat(one["time"]).timestamp() for one in load["failures"]]
    looks = [line["data"] for line in seen.happened("gate.looked")]
    return {
        "kind": kind,
        "rate": rate,
        **{key: times[key] for key in ("noticed_at", "flags_off_at", "hosts_back_at")},
        "first_bad": min(failures) if kind == "errors" and failures else times["first_bad_at"],
        "looks": len(looks),
        "verdict": looks[-1]["verdict"],
        "sent": load["sent"],
        "bad": load["failed"] if kind == "errors" else load["slow"],
        "after_off": sum(at > times["flags_off_at"] for at in failures),
    }


def spans(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Seconds of every span in every round."""
    kept = list(rows)
    return {name: [row[end] - row[start] for row in kept] for name, (start, end) in SPANS.items()}


def cells(results: Json) -> list[tuple[str, int, list[Json]]]:
    """The rounds of each release at each rate."""
    keys = sorted({(row["kind"], row["rate"]) for row in results["rows"]})
    return [
        (kind, rate, [row for row in results["rows"] if (row["kind"], row["rate"]) == (kind, rate)])
        for kind, rate in keys
    ]


def told(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Median, least and most."""
    return f"{form(statistics.median(values))} ({form(min(values))}–{form(max(values))})"


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
                median = statistics.median(spans(rows)[name])
                judged.append((median <= most, f"{where}: {name} at most {most:g} s", f"{median:.1f} s in the median"))
    return judged


def page(results: Json) -> str:
    """docs/bench-safety.md."""
    rows = []
    for kind, rate, kept in cells(results):
        figures = spans(kept)
        rows.append(
            [
                kind,
                str(rate),
                str(len(kept)),
                *(told(figures[name], "{:.1f}".format) for name in SPANS),
                told([row["looks"] for row in kept], "{:.0f}".format),
                told([row["bad"] for row in kept], "{:.0f}".format),
            ]
        )
    head = ["release", "requests a second", "rounds", *SPANS, "looks", "bad answers"]
    judged = [["yes" if holds else "**no**", claim, seen] for holds, claim, seen in checks(results)]
    return f"""# Seconds to safety

`make bench-safety` measures this. `python -m tests.bench.safety --render` makes this page again from
`bench-safety/results.json`.

## How it is measured

- Machine: {results["machine"]}. The three application hosts, the balancer, the database,
  the monitoring, the controller and the load share its cores, so the seconds are those of a busy machine.
- 2.0.1 errs for three of eight users of a feature; 2.0.2 makes search a second slower. Each is rolled out by
  `deploy.yml`, and stopped by the gate at 25 % of the users. Settings of `bake`:
  `{json.dumps(results["bake"])}`.
- *First bad answer*: of the erring release by the load's own record, of the slow one the first that the gate counted.
  *Decision*: the look that stopped the stage was recorded. *Off*: every process of every host was seen to evaluate the
  features as off. *Back*: the last host runs the release before. All other moments are those of the ledger.
- *Bad answers*: those that failed, or of the slow release those that took over 0.5 s.
- Prometheus scrapes every two seconds, and the gate looks every second. It records a look every
  {results["bake"]["look"]} s.

## Figures

Seconds: median of the rounds, least and most.

{table(head, rows)}

## What was wanted

{table(["", "claim", "figures"], judged)}

Not measured here: what the loops of other tools would have served with the same traffic, and the theoretical limit.
[bench-gates.md](bench-gates.md) has both for simulated traffic.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, check."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.safety", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rates", default=str(RATE), help="requests a second, separated by commas")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args(arguments)
    kept = given.out / "results.json"
    if not given.render:
        rows: list[Json] = []
        given.out.mkdir(parents=True, exist_ok=True)
        for _round in range(given.rounds):
            for rate in map(int, given.rates.split(",")):
                for kind in RELEASES:
                    rows.append(play(kind, rate))
                    print(rows[-1], flush=True)
                    # Written after each rollout, so that a run that is cut off leaves what it has measured.
                    kept.write_text(json.dumps({"machine": machine(), "bake": BAKE, "rows": rows}, indent=1) + "\n")
    results = json.loads(kept.read_text())
    given.out.with_suffix(".md").write_text(page(results))
    judged = checks(results)
    print("\n".join(check_lines(judged)))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
