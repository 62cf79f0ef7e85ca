# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about the way of the rollout: plan, steps, hosts, and the way back."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.plan import span
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
    return [plan(events), duration(events), hosts(events), way_back(events), *times(events), rehearsal(events), resumed(events)]


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
    """Each step as it went: {step, state, started, finished (epoch seconds), seconds, host, task, error}; a repeated step has a row for each try."""
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
        "step": str(name), "state": state, "started": started, "finished": None, "seconds": None, "host": None, "task": None, "error": None,
    }  # fmt: skip


def shares_set(events: Events) -> list[dict[str, Any]]:
    """The share of users that was set, over time: {time (epoch seconds), percent}."""
    lines = [line for line in events.lines if line["event"] in ("stage.set", "flags.off")]
    return [{"time": at(line), "percent": count(line["data"].get("percent")) or 0} for line in lines]


def spans(events: Events) -> list[dict[str, Any]]:
    """When each host was out of traffic: {host, since, until (epoch seconds; None: still), why}; why is released, returned, lost or drained."""
    rows: list[dict[str, Any]] = []
    for line in events.lines:
        family, _dot, did = line["event"].partition(".")
        if family != "host":
            continue
        row = next((row for row in reversed(rows) if row["host"] == line["data"].get("host") and row["until"] is None), None)
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
    text = f"{plural(len(released), 'host')} switched ({', '.join(sorted(map(str, released)))}), each running the artifact of the manifest"
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


def way_back(events: Events) -> Claim:
    """Did every switched host keep what it came from, and is the schema one that the old code runs on?"""
    released = events.of("host.released")
    started = events.first("rollout.started")
    before = mapping(started["data"].get("hosts")) if started else {}
    without = [str(line["data"].get("host")) for line in released if not mapping(line["data"].get("from")).get("digest")]
    without += [name for name, was in before.items() if not mapping(was).get("digest") and name not in without]
    contracted = events.last("contract.applied")
    if contracted is not None:
        text = "the schema was contracted: the release before cannot run on it, and code does not go back past this point"
    elif without:
        text = f"nothing ran before on {', '.join(sorted(set(without)))}: there is no release to go back to"
    else:
        text = "each host kept the release it came from, and the schema is one that it runs on"
    known = bool(before) or bool(released)
    if before and len(set(without)) == len(before) and contracted is None:
        why = "nothing ran before on any host: there is nothing to go back to"
        return claim("way-back", why, None, [], "rollout.started: hosts, all without a digest", good=None, criteria=(8,), qualities=("reliability",))
    return claim(
        "way-back",
        text,
        {"hosts_without_previous": sorted(set(without)), "contracted": contracted is not None} if known else None,
        [started, *released, contracted],
        "host.released: from.digest is there for each host; no contract.applied",
        good=not without,
        criteria=(8,),
        qualities=("reliability",),
        otherwise="the record does not say what ran on the hosts before",
    )


def turn(events: Events) -> tuple[Line | None, Line | None]:
    """(the line at which the failure is known to have been noticed at the latest, the flags.off that followed it), None for what is not there.

    A role may turn flags off before it records why: then the line before flags.off stands for the noticing, so that a time is never too short.
    """
    aborts, failed, rollback = events.of("gate.looked", verdict="abort"), failure(events), events.of("step.started", step="rollback")
    known = [line for line in (aborts[-1] if aborts else None, failed, rollback[-1] if rollback else None) if line is not None]
    if not known:
        return None, None
    noticed = min(known, key=lambda line: line["seq"])
    shown = [line["seq"] for line in events.of("stage.set") if line["seq"] < noticed["seq"]]
    off = next((line for line in events.of("flags.off") if shown and line["seq"] > shown[-1]), None)
    if off is not None and off["seq"] < noticed["seq"]:
        noticed = events.lines[events.lines.index(off) - 1]
    return noticed, off


def moments(events: Events) -> dict[str, float | None]:
    """When things turned, in seconds since 1970: first bad answer, noticed, flags off, last host back."""
    noticed, off = turn(events)
    bad = [number(line["data"].get("first_bad_at")) for line in events.of("gate.looked", verdict="abort")]
    return {
        "first_bad_at": min((value for value in bad if value is not None), default=None),
        "noticed_at": at(noticed),
        "flags_off_at": at(off),
        "hosts_back_at": at(events.last("host.returned")) if noticed is not None else None,
        "return_finished_at": at(events.last("return.finished")) if noticed is not None else None,
    }


def times(events: Events) -> list[Claim]:
    """From the first bad answer to flags off, to the last host back, and to the state in which users were safe."""
    when = moments(events)
    noticed, off = turn(events)
    if noticed is None:
        return [_not_needed(name) for name in ("bad-to-flags-off", "bad-to-hosts-back", "noticed-to-safe")]
    aborts = events.of("gate.looked", verdict="abort")
    back, ended = events.last("host.returned"), events.last("return.finished")
    # Users who were shown nothing are safe when the hosts are back; the others when the features are off.
    bad, safe = when["first_bad_at"], when["flags_off_at"] if events.of("stage.set") else when["return_finished_at"]
    rows = (
        ("bad-to-flags-off", "from the first bad answer that the gate counted to flags off on every host", bad, when["flags_off_at"], [*aborts, off]),
        ("bad-to-hosts-back", "from the first bad answer that the gate counted to the last host back", bad, when["hosts_back_at"], [*aborts, back]),
        ("noticed-to-safe", "from noticing the failure to users being safe", when["noticed_at"], safe, [noticed, off, ended]),
    )
    result = []
    for name, text, start, end, evidence in rows:
        seconds = between(start, end)
        said = f"{text}: {seconds:.1f} s" if seconds is not None else text
        why = "no user was given a bad answer that the gate counted" if start is None else "it had not come to that when the record ended"
        noticing = "first of the last abort, step.failed and rollback, or the line before a flags.off that came before them"
        rule = f"{'first_bad_at of gate.looked (abort)' if name.startswith('bad') else noticing} to "
        until = {"bad-to-flags-off": "flags.off", "bad-to-hosts-back": "the last host.returned"}
        rule += until.get(name, "flags.off, or return.finished where no stage was set")
        result.append(claim(name, said, seconds, evidence, rule, criteria=(8,), qualities=("reliability",), otherwise=why))
    return result


def _not_needed(name: str) -> Claim:
    rule = "there is no step.failed, no gate.looked with abort and no rollback"
    return claim(name, "nothing had to be taken back", None, [], rule, good=None, criteria=(8,), qualities=("reliability",))


def rehearsal(events: Events) -> Claim:
    """Was the way back walked before users depended on it: by the canary of this rollout, or by the whole fleet before?"""
    walked = events.last("host.rehearsed")
    if walked is not None:
        seconds = walked["data"].get("seconds")
        said = f"{walked['data'].get('host')} walked the way back on the migrated schema before any user saw the new code: {span(seconds)} to ready"
        evidence = [walked]
    else:
        begun, ended = _last_return(events)
        seconds, evidence = between(at(begun), at(ended)), [begun, ended]
        said = f"this application has come back whole, in {ended['rollout']}, in {span(seconds)}" if ended is not None else ""
    return claim(
        "rehearsal",
        said,
        seconds,
        evidence,
        "host.rehearsed: seconds; without it the last return.finished in the ledger that left no host, from the step.started of its rollback",
        criteria=(8,),
        qualities=("reliability",),
        otherwise="the canary had no release to go back to, and no return that left no host is in this ledger",
    )


def _last_return(events: Events) -> tuple[Line | None, Line | None]:
    """The step.started of the last rollback that left no host, and its return.finished."""
    found = [line for line in events.all if line["event"] == "return.finished" and not line["data"].get("left")]
    if not found:
        return None, None
    earlier = [line for line in events.all if line["rollout"] == found[-1]["rollout"] and line["seq"] < found[-1]["seq"]]
    begun = next((line for line in reversed(earlier) if line["event"] == "step.started" and line["data"].get("step") == "rollback"), None)
    return begun, found[-1]


def resumed(events: Events) -> Claim:
    """How often the rollout had to be taken up again."""
    again = events.of("rollout.resumed")
    started = events.first("rollout.started")
    text = f"taken up again {plural(len(again), 'time')}" if again else "done in one go"
    return claim(
        "resumed", text, len(again), [started, *again], "number of rollout.resumed", qualities=("maintainability",)
    )
