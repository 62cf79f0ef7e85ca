# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a ledger says about a rollout: a pure replay of its events.

Lines come from `ledger.read`: they are whole and in order. Their `data` was written by roles, so
it is read with care: a field that is missing or of another type leaves the state as it was.
"""

from __future__ import annotations

from statistics import median
from typing import Any, Iterable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.events import FREE
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch, stamp

Line = dict[str, Any]

OUTCOMES = ("completed", "returned", "incomplete")
# Events that change what users get: after one of them a finished rollout is under way again.
REOPENING = frozenset(
    {
        "rollout.resumed",
        "host.drained",
        "host.released",
        "host.admitted",
        "host.returned",
        "host.lost",
        "stage.set",
        "flags.off",
        "step.failed",
    }
)
REOPENING_STEPS = frozenset({"backup", "migrate", "release", "ramp", "rollback"})
# A person's word on a flag.
FLAG_WORDS = frozenset({"flag.killed", "flag.allowed"})


def identifiers(lines: Iterable[Line]) -> list[str]:
    """The rollouts of a ledger, oldest first."""
    return list(dict.fromkeys(line["rollout"] for line in lines))


def rollout_state(lines: list[Line], identifier: str | None = None, now: float | None = None) -> dict[str, Any] | None:
    """What became of one rollout (default: the newest). None when the ledger knows none.

    `now` (seconds since 1970 on the ledger's own clock) decides whether the lease is still held.
    """
    known = identifiers(lines)
    wanted = identifier or (known[-1] if known else None)
    if wanted is None or wanted not in known:
        return None
    result = _blank(wanted)
    for line in lines:
        if line["rollout"] == wanted:
            _apply(result, line)
    undone = result["open"] or result["outcome"] != "completed" or bool(result["killed"])
    result["completed"] = result["completed"] and not undone
    result["durations"] = durations(lines)
    lease = result["lease"]
    lease["held"] = bool(lease["holder"]) and (now is None or epoch(lease["until"]) > now)
    return result


def owed(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """The backfills that have to be complete before the schema is contracted, as the manifests have them; of several
    with one name the newest.

    They are owed from the rollout that expanded the schema for them on, whatever is rolled out after it or taken back.
    Contract proves all of them before it begins, so what was owed until then is not owed any more.
    """
    states: dict[str, dict[str, Any]] = {}
    for line in lines:
        _apply(states.setdefault(line["rollout"], _blank(line["rollout"])), line)
    found: dict[str, dict[str, Any]] = {}
    for one in states.values():
        if one["migrated"]:
            found.update({backfill["name"]: backfill for backfill in _backfills(one["manifest"])})
        if one["contracted"]:
            found.clear()
    return list(found.values())


def _backfills(manifest: Any) -> list[dict[str, Any]]:
    migrations = manifest.get("migrations") if isinstance(manifest, dict) else None
    listed = migrations.get("backfills") if isinstance(migrations, dict) else None
    return [one for one in listed if isinstance(one, dict) and _text(one, "name")] if isinstance(listed, list) else []


def is_recorded(lines: Iterable[Line], event: tuple[str, dict[str, Any]]) -> bool:
    """Whether the newest word on a flag, whichever rollout it is in, already says that it was killed or allowed: such
    an event is recorded once, however often its playbook runs. A response that is sent again is recorded once, too."""
    name, data = event
    if name == "alert.answered":
        return any(line["event"] == name and line["data"] == data for line in lines)
    if name not in FLAG_WORDS:
        return False
    known = [line for line in lines if line["event"] in FLAG_WORDS and line["data"].get("flag") == data.get("flag")]
    if name == "flag.allowed" and not data["hosts"]:
        return not known or known[-1]["event"] == name
    return bool(known) and (known[-1]["event"], known[-1]["data"]) == event


def outcome_of(rollout: Mapping[str, Any]) -> str:
    """How a rollout that ends now has ended: completed, returned, or incomplete when something is left to do."""
    if rollout["returned"]:
        return "incomplete" if rollout["returned"]["left"] else "returned"
    steps = rollout["steps"]
    whole = all(
        (steps.get(step) or {}).get("state") == "finished"
        for step in ("backup", "migrate", "release", "ramp", "verify")
    )
    return "completed" if whole and not rollout["failed"] and "rollback" not in steps else "incomplete"


def durations(lines: list[Line]) -> dict[str, float]:
    """For each step the median of its seconds in the rollouts that were completed."""
    began: dict[tuple[str, str], float] = {}
    took: dict[str, dict[str, float]] = {}
    completed: set[str] = set()
    for line in lines:
        identifier, step = line["rollout"], line["data"].get("step")
        if line["event"] == "rollout.finished" and line["data"].get("outcome") == "completed":
            completed.add(identifier)
        elif isinstance(step, str) and line["event"] == "step.started":
            began[identifier, step] = _moment(line)
        elif isinstance(step, str) and line["event"] == "step.finished" and (identifier, step) in began:
            took.setdefault(step, {})[identifier] = max(0.0, _moment(line) - began[identifier, step])
    medians: dict[str, float] = {}
    for step, seconds in took.items():
        known = [value for identifier, value in seconds.items() if identifier in completed]
        if known:
            medians[step] = round(median(known), 3)
    return medians


def _blank(identifier: str) -> dict[str, Any]:
    return {
        "id": identifier, "open": True, "outcome": None, "manifest": None, "digest": None, "started": None,
        "started_epoch": None, "finished": None,
        "plan": None, "revision": None, "servers": None, "smoke": None, "steps": {}, "failed": None, "hosts": {},
        "receipt": None, "migrated": None,
        "certified": 0, "stage": None, "stages": [], "flags_off": None, "approvals": [], "approved": [],
        "contracted": False, "contract": None,
        "returned": None, "aa": None, "canary": None, "killed": {}, "completed": False,
        "lease": {"holder": None, "seconds": None, "since": None, "until": None, "held": False},
    }  # fmt: skip


def _untouched(before: Any, since: str | None) -> dict[str, Any]:
    """A host to which nothing has happened. left: when it was drained last; switched: since when no old code can have
    run on it."""
    return {
        "before": before,
        "to": None,
        "now": "untouched",
        "drained": False,
        "since": since,
        "left": None,
        "switched": None,
    }


def _moment(line: Line) -> float:
    try:
        return epoch(line["time"])
    except ValueError:
        return 0.0


def _text(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _apply(state_: dict[str, Any], line: Line) -> None:
    event, data = line["event"], line["data"]
    family = event.partition(".")[0]
    if event in REOPENING or (event == "step.started" and _text(data, "step") in REOPENING_STEPS):
        state_["open"] = True
    handler = {"rollout": _rollout, "step": _step, "host": _host, "stage": _stage, "lease": _lease}.get(family)
    if handler is not None:
        handler(state_, event, data, line)
    elif event == "backup.proven":
        state_["receipt"] = data.get("receipt")
    elif event == "migration.applied":
        state_["migrated"] = {"from": data.get("from"), "to": data.get("to")}
    elif family == "aa":
        # One that began again has not ended; only what was measured to its end is used.
        state_["aa"] = _window(data) if event == "aa.ended" else None
    elif event in ("canary.passed", "canary.skipped"):
        state_["canary"] = {"host": _text(data, "host"), "ended": event.partition(".")[2], "at": line["time"]}
    elif event == "flags.off":
        state_.update(certified=0, stage=0, flags_off=line["time"])
    elif family == "contract":
        _contract(state_, event, data, line)
    elif event == "return.finished":
        _returned(state_, data)
    elif event in FLAG_WORDS:
        _killed(state_, event, data)
    _renew(state_["lease"], line)


def _window(data: dict[str, Any]) -> dict[str, float] | None:
    """{since, until} in epoch seconds of the ledger host; None where that is no stretch of time."""
    since, until = data.get("since"), data.get("until")
    if isinstance(since, (int, float)) and isinstance(until, (int, float)) and since < until:
        return {"since": since, "until": until}
    return None


def _rollout(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    if event == "rollout.started":
        told = {key: data.get(key) for key in ("manifest", "digest", "plan", "revision", "servers", "smoke")}
        state_.update(started=line["time"], started_epoch=_moment(line), open=True, **told)
        hosts = data.get("hosts")
        for name, before in (hosts if isinstance(hosts, dict) else {}).items():
            state_["hosts"][name] = _untouched(before, line["time"])
    elif event == "rollout.resumed":
        # What was never taken back is not forgotten: the run that resumes goes back first.
        if state_["returned"]:
            state_.update(failed=None, returned=None)
        elif state_["steps"].get("rollback") and not state_["failed"]:
            state_["failed"] = {
                "step": "rollback",
                "at": line["time"],
                "host": None,
                "task": None,
                "error": "it was interrupted",
            }
        state_.update(outcome=None, finished=None)
    elif event == "rollout.finished":
        # An incomplete one has given its lease back, but something of it is left to do.
        outcome = _text(data, "outcome")
        state_.update(open=outcome == "incomplete", outcome=outcome, finished=line["time"], completed=True)


def _step(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    name = _text(data, "step")
    if name is None:
        return
    if event == "step.started":
        state_["steps"][name] = {
            "state": "started",
            "started": line["time"],
            "finished": None,
            "error": None,
            "task": None,
            "host": None,
        }
        return
    step = state_["steps"].setdefault(
        name, {"state": None, "started": None, "finished": None, "error": None, "task": None, "host": None}
    )
    if event == "step.finished":
        step.update(state="finished", finished=line["time"])
        if state_["failed"] and state_["failed"]["step"] == name:
            state_["failed"] = None
    elif event == "step.failed":
        why = {key: data.get(key) for key in ("host", "task", "error")}
        step.update(state="failed", finished=line["time"], **why)
        # The first failure is the cause; what fails on the way back is told by its own step.
        state_["failed"] = state_["failed"] or {"step": name, "at": line["time"], **why}


def _contract(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    """From its beginning on it counts as done: who dies on the way cannot say how far it came. Only a run that touched
    nothing takes that back."""
    if event == "contract.began":
        state_["contract"] = {
            "began": line["time"],
            "applied": None,
            "from": data.get("from"),
            "to": None,
            "before": state_["contracted"],
        }
        state_["contracted"] = True
    elif event == "contract.applied":
        state_["contract"] = {
            **(state_["contract"] or {"began": line["time"], "before": False}),
            "applied": line["time"],
            "from": data.get("from"),
            "to": data.get("to"),
        }
        state_["contracted"] = True
    elif event == "contract.ended" and state_["contract"]:
        state_["contracted"] = state_["contract"]["before"]


def _killed(state_: dict[str, Any], event: str, data: dict[str, Any]) -> None:
    """A feature of this rollout was killed, or may be shown again. Either way it is not with all users any more."""
    manifest = state_["manifest"] if isinstance(state_["manifest"], dict) else {}
    features, flag = manifest.get("features"), _text(data, "flag")
    named = [one.get("flag") for one in features if isinstance(one, dict)] if isinstance(features, list) else []
    if event == "flag.allowed":
        state_["killed"].pop(flag, None)
    elif flag in named:
        state_["killed"][flag] = {key: data.get(key) for key in ("at", "by", "reason")}
        state_["completed"] = False


def _returned(state_: dict[str, Any], data: dict[str, Any]) -> None:
    """Users are back: what a later run would have to do again is not done any more. Nor is what was measured on the
    hosts as they were."""
    state_["aa"] = None
    left = data.get("left")
    kept = data.get("hosts_kept") is True
    if not kept:
        state_["canary"] = None
    state_["returned"] = {"left": left if isinstance(left, list) else [], "hosts_kept": kept}
    for step in ("ramp", "verify", "rollback") if kept else ("release", "ramp", "verify", "rollback"):
        state_["steps"].pop(step, None)


def _host(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    name = _text(data, "host")
    if name is None:
        return
    host = state_["hosts"].setdefault(name, _untouched(data.get("from"), None))
    did = event.partition(".")[2]
    host["since"] = line["time"]
    if did in ("drained", "admitted"):
        host["drained"] = did == "drained"
    if did == "drained":
        host["left"] = line["time"]
    if did in ("released", "returned"):
        # Old code ended after the host was drained; what its processes had open at that time is gone.
        host["switched"] = (host["left"] or line["time"]) if did == "released" else None
    if did in ("released", "returned", "lost"):
        host["now"] = did
    if did in ("released", "returned") and "to" in data:
        host["to"] = data["to"]
    if did == "returned" and "to" in data and data["to"] is None:
        # Nothing runs on it, as before its first release, so there is nothing to admit.
        host["drained"] = False


def _stage(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    percent = data.get("percent")
    if not isinstance(percent, int) or isinstance(percent, bool):
        return
    if event == "stage.set":
        state_.update(stage=percent, flags_off=None)
        if not state_["stages"] or state_["stages"][-1]["percent"] != percent:
            state_["stages"].append({"percent": percent, "set": line["time"], "expiry": None, "certified": None})
        state_["stages"][-1]["expiry"] = data.get("expiry")
    elif event == "stage.certified":
        state_["certified"] = percent
        for stage in state_["stages"]:
            if stage["percent"] == percent:
                stage["certified"] = line["time"]
    elif event == "stage.approved":
        if percent not in state_["approvals"]:
            state_["approvals"].append(percent)
        state_["approved"].append({"percent": percent, "by": data.get("by"), "at": line["time"]})


def _lease(state_: dict[str, Any], event: str, data: dict[str, Any], line: Line) -> None:
    lease = state_["lease"]
    if event == "lease.released":
        lease.update(holder=None, seconds=None, since=None, until=None)
        return
    seconds = data.get("seconds")
    if event in ("lease.taken", "lease.renewed") and isinstance(seconds, (int, float)) and _text(data, "holder"):
        if event == "lease.taken":
            lease["since"] = line["time"]
        lease.update(holder=data["holder"], seconds=seconds)


def _renew(lease: dict[str, Any], line: Line) -> None:
    """Every event was written by the holder of the lease (`ledger` sees to that), so every event renews it.
    Only what is free of the lease comes from somebody else."""
    if lease["holder"] and line["event"] not in FREE:
        try:
            lease["until"] = stamp(_moment(line) + lease["seconds"])
        except (OverflowError, ValueError, OSError):
            lease["until"] = line["time"]
