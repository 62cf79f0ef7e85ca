"""python -m tests.bench.scale [--hosts 3,6,10] [--rate 40] [--out FOLDER]: what switching the hosts costs, in waves and
one by one, and beside the steps of Ansistrano.

Each number of hosts gets a fleet of its own ($GRADUAL_FLEET, one of dev1 to dev6), provisioned anew. On it the same
artifact is switched in every way while users come, and rolled back where the way has a rollback. The artifact is
removed from the hosts before each way, so each one fetches, unpacks and prepares it. Writes FOLDER/results.json and
FOLDER.md; `--render` makes the page again from results.json. Exit status 1 when a check does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.tables import check_lines, machine, table
from tests.support import fleet
from tests.support.manifests import FIRST, GOOD
from tests.support.prepare import wait_for_monitoring
from tests.support.users import Users

Json = dict[str, Any]
OUT = Path("docs/bench-scale")
RATE = 40.0
ANSISTRANO = "tests/bench/ansistrano.playbook"
WAVES, SERIAL, THEIRS_SERIAL, THEIRS_PARALLEL = (
    "Gradual, in waves",
    "Gradual, one by one",
    "Ansistrano's steps, one by one",
    "Ansistrano's steps, all at once",
)


def played(playbook: str, *arguments: str) -> Json:
    """Seconds of a playbook, and of those the CPU of ansible-playbook with all that it started here."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [fleet.binaries() / "ansible-playbook", playbook, *arguments],
        cwd=fleet.HOME,
        env=fleet.clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{playbook} {' '.join(arguments)} failed: {(done.stdout + done.stderr)[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.monotonic() - began, 1), "controller_cpu": round(used, 1)}


def under_load(rate: float, playbook: str, *arguments: str) -> Json:
    """The same while users come, with the requests that they sent and that failed."""
    with Users(fleet.HOME / ".gradual" / "bench-scale", rate) as users:
        figures = played(playbook, *arguments)
        load = users.stop()
    return {**figures, "sent": load["sent"], "failed": load["failed"]}


def hosts_of(count: int) -> list[str]:
    return [f"app{number}" for number in range(1, count + 1)]


def forget(count: int) -> None:
    """Remove the new release from the hosts, so that it must be delivered again."""
    for host in hosts_of(count):
        fleet.execute(host, "sh", "-c", "rm -rf /opt/storefront/releases/*2.0.0*")


def ours(count: int, rate: float, *arguments: str) -> Json:
    """The release step alone, and the rollback after it."""
    forget(count)
    for step in ("preflight", "backup", "migrate"):
        played(f"playbooks/{step}.yml", *GOOD, *arguments)
    release = under_load(rate, "playbooks/release.yml", *GOOD, *arguments)
    return {"release": release, "rollback": under_load(rate, "rollback.yml", *arguments)}


def theirs(rate: float, release: str, serial: str) -> Json:
    """The steps of Ansistrano; its rollback only moves a link, and restarts nothing by itself."""
    artifact = f"http://{fleet.addresses()['mon1']}:8000/artifacts/storefront-2.0.0.tar.gz"
    settings = {"bench_serial": serial, "bench_url": artifact, "bench_release": release}
    return {"release": under_load(rate, ANSISTRANO, "-e", json.dumps(settings))}


def switched(way: str, count: int, rate: float) -> Json:
    """The figures of one way on a fleet of so many hosts."""
    if way == THEIRS_SERIAL:
        return theirs(rate, "bench-serial", "1")
    if way == THEIRS_PARALLEL:
        return theirs(rate, "bench-parallel", "100%")
    return ours(count, rate, *(["-e", f"min_in_traffic={count - 1}"] if way == SERIAL else []))


def measure(count: int, rate: float) -> list[Json]:
    """Every way on a fleet of so many application hosts."""
    os.environ["GRADUAL_APPLICATION"] = ",".join(hosts_of(count))
    print(f"{count} hosts: making the fleet", flush=True)
    subprocess.run(["sandbox/ready", "--fresh"], cwd=fleet.HOME, check=True, stdin=subprocess.DEVNULL)
    rows = []
    try:
        wait_for_monitoring()
        played("deploy.yml", *FIRST)
        for way in (WAVES, SERIAL, THEIRS_SERIAL, THEIRS_PARALLEL):
            rows.append({"hosts": count, "way": way, **switched(way, count, rate)})
            print(rows[-1], flush=True)
    finally:
        subprocess.run(["sandbox/fleet", "down", "--fleet", fleet.NAME], cwd=fleet.HOME, check=False)
    return rows


def checks(rows: Iterable[Json]) -> list[tuple[bool, str, str]]:
    """What must hold, and the figures."""
    by_way = {(row["hosts"], row["way"]): row for row in rows}
    judged = []
    for hosts in sorted({hosts for hosts, _way in by_way}):
        waves, serial, theirs_serial, theirs_parallel = (
            by_way[hosts, way]["release"]["seconds"] for way in (WAVES, SERIAL, THEIRS_SERIAL, THEIRS_PARALLEL)
        )
        failed = {
            f"{way}, {step}": by_way[hosts, way][step]["failed"]
            for way in (WAVES, SERIAL)
            for step in ("release", "rollback")
        }
        judged.append((not any(failed.values()), f"{hosts} hosts: no request fails", json.dumps(failed)))
        if hosts > 3:
            judged.append(
                (waves < serial, f"{hosts} hosts: waves are faster than one by one", f"{waves} s, {serial} s")
            )
            judged.append(
                (
                    waves <= 0.8 * theirs_parallel,
                    f"{hosts} hosts: at most 0.8 of Ansistrano's steps on all hosts at once",
                    f"{waves} s, {theirs_parallel} s",
                )
            )
        else:
            judged.append(
                (
                    waves <= 0.5 * theirs_serial,
                    f"{hosts} hosts: at most half of Ansistrano's steps one by one",
                    f"{waves} s, {theirs_serial} s",
                )
            )
    return judged


def page(results: Json) -> str:
    """docs/bench-scale.md."""
    rows = []
    for row in results["rows"]:
        for step in ("release", "rollback"):
            if found := row.get(step):
                rows.append(
                    [
                        str(row["hosts"]),
                        row["way"],
                        step,
                        f"{found['seconds']:.0f}",
                        f"{found['controller_cpu']:.0f}",
                        f"{found['sent']:,}",
                        f"{found['failed']:,}",
                    ]
                )
    judged = table(
        ["", "claim", "figures"],
        [["yes" if holds else "**no**", claim, seen] for holds, claim, seen in checks(results["rows"])],
    )
    head = ["hosts", "how", "step", "seconds", "CPU s of the controller", "requests sent", "failed"]
    return f"""# Switching more hosts

`make bench-scale` measures this. `python -m tests.bench.scale --render` makes this page again from
`bench-scale/results.json`.

## How it is measured

- Machine: {results["machine"]}. All hosts are containers on this machine and share its
  cores with the controller, the load and the database. So the seconds are those of a busy machine; compare them with
  each other only.
- {results["rate"]:.0f} requests a second come through the front door all the time.
- *release* is `playbooks/release.yml`: deliver, then drain, switch, probe and admit, the way back rehearsed on the
  first host. The canary is not watched, since its time is chosen in the manifest. *rollback* is `rollback.yml`.
- *One by one* is `min_in_traffic` of all hosts but one. *In waves* is the default.
- Ansistrano's steps (`tests/bench/ansistrano.playbook`) are written from its documentation: make folders, download and
  unpack, prepare, link, restart, wait until ready, clean up. They know no balancer.
- The artifact of 20 MB is removed from the hosts before each way. Each way was measured once.

## Figures

{table(head, rows)}

## What was claimed

{judged}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, check."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--hosts", default="3,6,10", help="numbers of application hosts, at most 10")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args(arguments)
    if not given.render and not fleet.NAME.startswith("dev"):
        parser.error(f"the fleet {fleet.NAME} would be made anew; set GRADUAL_FLEET=dev1")
    kept = given.out / "results.json"
    if not given.render:
        rows = [row for count in given.hosts.split(",") for row in measure(int(count), given.rate)]
        given.out.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"rate": given.rate, "machine": machine(), "rows": rows}, indent=1) + "\n")
    results = json.loads(kept.read_text())
    given.out.with_suffix(".md").write_text(page(results))
    judged = checks(results["rows"])
    print("\n".join(check_lines(judged)))
    return 0 if all(holds for holds, _claim, _seen in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
