# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about the way of the rollout: plan, steps and hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    Line,
    at,
    between,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)

STEPS = ("preflight", "backup", "migrate", "release", "ramp", "verify", "rollback")


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [plan(events), duration(events), hosts(events), resumed(events)]


def plan(events: Events) -> Claim:
    """Was a plan with a timeline and a way back for each step recorded before anything changed?"""
    started = events.first("rollout.started")
    rows = [mapping(row) for row in items(started["data"].get("plan") if started else None)]
    now = [row for row in rows if not row.get("later")]
    complete = bool(now) and all(row.get("undo") and number(row.get("expected_seconds")) is not None for row in now)
    seconds = sum(number(row.get("expected_seconds")) or 0 for row in now)
    return claim(
        "plan",
        f"a plan of {plural(len(now), 'step')}, about {span(seconds)} long, was recorded before anything changed; "
        + ("each step says what undoes it" if complete else "some steps lack their duration or what undoes them"),
        {"steps": len(now), "expected_seconds": seconds, "each_with_undo_and_duration": complete} if rows else None,
        [started],
        "rollout.started: plan, rows without `later`: all have undo and expected_seconds",
        good=complete,
        criteria=(1,),
        qualities=("maintainability",),
        otherwise="rollout.started holds no plan",
    )


def duration(events: Events) -> Claim:
    """How long the rollout took, against what the plan had expected."""
    started, finished = events.first("rollout.started"), events.last("rollout.finished")
    seconds = between(at(started), at(finished))
    expected = plan(events)["value"]
    said = f"; the plan had said {span(expected['expected_seconds'])}" if expected else ""
    return claim(
        "duration",
        f"from the first check to the end: {span(seconds)}{said}",
        seconds,
        [started, finished] if finished else [],
        "time of the last rollout.finished minus time of rollout.started",
        qualities=("maintainability",),
        otherwise="the rollout has not ended",
    )


def steps(events: Events) -> list[dict[str, Any]]:
    """Each step as it went: {step, state, started, finished (epoch seconds), seconds, host, task, error}; a repeated
    step has a row for each try."""
    rows: list[dict[str, Any]] = []
    for line in events.lines:
        name = line["data"].get("step")
        if line["event"] == "step.started":
            rows.append(_step(name, "started", at(line)))
        elif line["event"] in ("step.finished", "step.failed"):
            state = line["event"].partition(".")[2]
            row = next((row for row in reversed(rows) if row["step"] == name and row["state"] == "started"), None)
            if row is None:
                if state == "failed" and any(row["step"] == name and row["state"] == "failed" for row in rows):
                    continue
                row = _step(name, state, at(line))
                rows.append(row)
            row.update(state=state, finished=at(line), seconds=between(row["started"], at(line)))
            if state == "failed":
                row.update({key: line["data"].get(key) for key in ("host", "task", "error")})
        elif line["event"] == "return.finished":
            for row in rows:
                if row["step"] == "rollback" and row["state"] == "started":
                    row.update(state="finished", finished=at(line), seconds=between(row["started"], at(line)))
    return rows


def _step(name: Any, state: str, started: float | None) -> dict[str, Any]:
    return {
        "step": str(name), "state": state, "started": started, "finished": None, "seconds": None, "host": None,
        "task": None, "error": None,
    }  # fmt: skip


def shares_set(events: Events) -> list[dict[str, Any]]:
    """The share of users that was set, over time: {time (epoch seconds), percent}."""
    rows: list[dict[str, Any]] = []
    for line in events.lines:
        percent = count(line["data"].get("percent")) or 0
        if line["event"] in ("stage.set", "flags.off"):
            told = count(line["data"].get("shown"))
            rows.append({"time": at(line), "percent": percent if told is None else told})
        elif line["event"] == "stage.certified" and rows and rows[-1]["percent"] != percent:
            # Those who were held back have the features from here on.
            rows.append({"time": at(line), "percent": percent})
    return rows


def spans(events: Events) -> list[dict[str, Any]]:
    """When each host was out of traffic: {host, since, until (epoch seconds; None: still), why}; why is released,
    returned, lost or drained."""
    rows: list[dict[str, Any]] = []
    for line in events.lines:
        family, _dot, did = line["event"].partition(".")
        if family != "host":
            continue
        row = next(
            (row for row in reversed(rows) if row["host"] == line["data"].get("host") and row["until"] is None), None
        )
        if did in ("drained", "lost") and row is None:
            rows.append({"host": str(line["data"].get("host")), "since": at(line), "until": None, "why": did})
        elif row is not None and did == "admitted":
            row["until"] = at(line)
        elif did == "lost" and row is not None:
            row["why"] = did
        if did in ("released", "returned"):
            ended = [row for row in rows if row["host"] == line["data"].get("host")]
            if ended and ended[-1]["why"] != "lost":
                ended[-1]["why"] = did
    return rows


def failure(events: Events) -> Line | None:
    """The first step.failed of the newest try that had one: why the rollout went back."""
    tries: list[Line | None] = [None]
    for line in events.lines:
        if line["event"] == "rollout.resumed":
            tries.append(None)
        elif line["event"] == "step.failed" and tries[-1] is None:
            tries[-1] = line
    return next((line for line in reversed(tries) if line is not None), None)


def aborts(events: Events) -> list[Line]:
    """The looks that said abort, at a host or at a stage."""
    return sorted(
        [*events.of("canary.looked", verdict="abort"), *events.of("gate.looked", verdict="abort")],
        key=lambda line: line["seq"],
    )


def left(events: Events) -> list[str]:
    """The hosts that the last return left where they were, unless the rollout was taken up again since."""
    last, again = events.last("return.finished"), events.last("rollout.resumed")
    if last is None or (again is not None and again["seq"] > last["seq"]):
        return []
    return [str(host) for host in items(last["data"].get("left"))]


def hosts(events: Events) -> Claim:
    """What runs on each host in the end, and how many were in traffic without being what the record wants."""
    manifest = events.manifest
    wanted = mapping(manifest.get("artifact")).get("sha256")
    released = {line["data"].get("host"): line for line in events.of("host.released")}
    returned = {line["data"].get("host"): line for line in events.of("host.returned")}
    digests = {name: mapping(line["data"].get("to")).get("digest") for name, line in released.items()}
    right = bool(digests) and all(digest == wanted for digest in digests.values())
    back = [name for name, line in returned.items() if name in released and line["seq"] > released[name]["seq"]]
    text = (
        f"{plural(len(released), 'host')} switched ({', '.join(sorted(map(str, released)))}), each running the artifact"
        " of the manifest"
    )
    if not right:
        text = f"{plural(len(released), 'host')} switched, but not every one told the digest of the manifest: {digests}"
    if back:
        text += f"; {plural(len(back), 'host')} of them switched back"
    return claim(
        "hosts",
        text,
        {"released": sorted(map(str, released)), "returned": sorted(map(str, back))} if released else None,
        [*released.values(), *returned.values()],
        "host.released: to.digest equals manifest.artifact.sha256 for each host; host.returned after it",
        good=right,
        qualities=("reliability", "security"),
        otherwise="no host was switched",
    )


def resumed(events: Events) -> Claim:
    """How often the rollout had to be taken up again."""
    again = events.of("rollout.resumed")
    started = events.first("rollout.started")
    text = f"taken up again {plural(len(again), 'time')}" if again else "done in one go"
    return claim(
        "resumed", text, len(again), [started, *again], "number of rollout.resumed", qualities=("maintainability",)
    )
