# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The watch over a stage or a canary: look again and again until the gate has decided, measure the share of users
meanwhile, and extend the expiry of the stage well before it comes. None of these waits for another.

What is done on the hosts is in `Operations` (plugins/action/gate_watch.py); here is only the order of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Protocol, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.flags import process_state
from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_mark import sentence
from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import fold
from ansible_collections.gradual.rollout.plugins.plugin_utils.progress_text import look_sentence, share_sentence

Json = dict[str, Any]
# Between two checks of what runs beside, in seconds.
PAUSE = 0.1
# So many times is the expiry extended in the time for which it was written: after each third of it.
EXTENSIONS = 3
# How long a look at a canary and a measurement of shares may last, in seconds. If one lasts longer, the watch fails. A
# look at a stage may last as long as the stage.
LONGEST_LOOK, LONGEST_MEASUREMENT = 120.0, 900.0


class Job(Protocol):
    """Something that runs beside (plugin_utils/child_process.py)."""

    def result(self) -> Any | None:
        """What came of it, or None while it runs."""

    def end(self) -> None:
        """End it, if it still runs."""


class Operations(Protocol):
    """What a watch does on the hosts. A result that is `failed` stops the watch, and is what it returns."""

    def look(self, not_before: float, early: Sequence[str], past: Json) -> Job:
        """Start a look at this time by the clock of the ledger's host, or as soon as there is a verdict of `early`; it
        gives the result of gate_look. `past` is that of the look before."""

    def measure(self) -> Job | None:
        """Start measuring the share of users, which gives the result of feature_share; None for a canary."""

    def extend(self) -> Job:
        """Start to extend the expiry of the stage, which gives the results of feature_flags by host."""

    def turn_off(self) -> Job:
        """Start to turn the features off on every host, which gives the results of feature_flags by host."""

    def record(self, event: str, data: Json) -> Json:
        """Write an event into the ledger; the result of the module."""

    def show(self, line: str) -> None:
        """Show a line to the person who watches."""

    def stopped(self) -> str | None:
        """Why this run must not go on: it was killed, or it has lost the lock."""


@dataclass(frozen=True)
class Plan:
    """How a stage or a canary is watched; times in seconds.

    since       its beginning, by the clock of the ledger's host
    first, every
                the first recorded look after that, and from one to the next; a verdict that ends the watch is not
                waited for until then
    percent     the stage, or the canary's part of the hosts
    canary      its host; None for a stage
    least       a canary is watched no shorter than this
    expiry, ends
                how long the stage lasts unless it is extended, and when it expires as it was written, in seconds since
                the epoch by the controller's clock; 0 if it does not expire
    shown, tolerance
                the share of users in percent, and by how many points the measured one may differ
    processes   what the processes of each host reported when the share was written; the share is taken from them if the
                application has no address to ask at
    """

    since: float
    first: float
    every: float
    percent: int
    canary: str | None = None
    least: float = 0.0
    expiry: float = 0.0
    ends: float = 0.0
    shown: int = 0
    tolerance: float = 3.0
    processes: Mapping[str, Sequence[Json]] = field(default_factory=dict)


def watch(operations: Operations, plan: Plan) -> Json:
    """{verdict, reason, elapsed, number} of the look with which the stage or the canary has passed, or the failure that
    must stop it.

    A stage that fails is off on every host that can be reached before this returns, unless this run may do nothing any
    more, because it was killed or another run has the lock."""
    watching = _Watch(operations, plan)
    try:
        while not (result := watching.step()):
            time.sleep(PAUSE)
    finally:
        watching.end()
    if result.get("failed") and "lease" not in result:
        watching.turn_off()
    if watching.off:
        _until_off(operations, watching.off)
    return result


def _until_off(operations: Operations, job: Job) -> None:
    began = time.monotonic()
    while (results := job.result()) is None:
        time.sleep(PAUSE)
    job.end()
    failed = {host: result for host, result in results.items() if result.get("failed")}
    told = {
        "hosts": sorted(set(results) - set(failed)),
        "unverified": sorted(host for host, result in failed.items() if result.get("written")),
        "lost": sorted(host for host, result in failed.items() if not result.get("written")),
    }
    # If a host is lost, users still reach it until roles/safe_state takes it out of traffic and records this event.
    # If the ledger cannot be written, the first failure is still the one to report.
    if not told["lost"]:
        operations.record("flags.off", told)
    where = ", ".join(told["hosts"]) or "no host"
    odd = "".join(f"; {key} on {', '.join(told[key])}" for key in ("unverified", "lost") if told[key])
    operations.show(f"The features are off on {where} after {time.monotonic() - began:.1f} s{odd}")


class _Watch:
    def __init__(self, operations: Operations, plan: Plan) -> None:
        self.operations, self.plan = operations, plan
        self.number, self.last, self.past = 0, Json(), Json()
        self.began = time.monotonic()
        self.ends = self.began + plan.ends - time.time()
        self.longest_look = plan.expiry or LONGEST_LOOK
        share = operations.measure()
        self.jobs: dict[str, Job] = {"share": share} if share else {}
        self.look_until = 0.0
        self.off: Job | None = None

    def turn_off(self) -> None:
        """Users are harmed as long as a feature is shown, so this comes before anything else that a failure leads to.
        A canary shows none, and a run that was killed or has lost the lock does nothing more."""
        if not (self.plan.canary or self.off or self.operations.stopped()):
            if extension := self.jobs.pop("extension", None):
                extension.end()
            self.off = self.operations.turn_off()

    def step(self) -> Json | None:
        """See what has ended and start what is due; the result of the whole watch, once there is one."""
        if why := self.operations.stopped():
            return {"failed": True, "msg": why}
        for name, take in (("share", self._share), ("extension", self._extension), ("look", self._look)):
            result = self.jobs[name].result() if name in self.jobs else None
            if result is not None:
                self.jobs.pop(name).end()
                if wrong := take(result):
                    return wrong
        if self._done():
            return {**{key: self.last[key] for key in ("verdict", "reason", "elapsed")}, "number": self.number}
        if "look" not in self.jobs:
            self._start_look()
        if late := self._late():
            return {"failed": True, "msg": late}
        if "extension" not in self.jobs and self._extension_due():
            self.ends = time.monotonic() + self.plan.expiry
            self.jobs["extension"] = self.operations.extend()
        return None

    def _start_look(self) -> None:
        moment = self.plan.first
        if self.last:
            # Moments that a busy machine has missed are not made up for: in one long look somebody looks all the time,
            # and in many short ones most of the time is their start.
            passed = (self.last["elapsed"] - self.plan.first) // self.plan.every
            moment += (max(0, passed) + 1) * self.plan.every
        # A stage that could be certified while its share is measured would give one look after another.
        early = ["abort"] if self.plan.canary or "share" in self.jobs else ["abort", "promote"]
        self.jobs["look"] = self.operations.look(self.plan.since + moment, early, self.past)
        self.look_until = max(time.monotonic(), self.began + moment) + self.longest_look

    def end(self) -> None:
        for job in self.jobs.values():
            job.end()

    def _share(self, result: Json) -> Json | None:
        if result.get("failed"):
            return result
        if result.get("measured") is False:
            result = {"features": process_state.shares(self.plan.processes), "lost": None}
        data = {key: result[key] for key in ("features", "lost")}
        recorded = self.operations.record(
            "stage.measured", {"percent": self.plan.percent, "shown": self.plan.shown, **data}
        )
        self.operations.show(share_sentence(result, self.plan.shown))
        wrong = list(_wrong_shares(data, self.plan))
        return _failure(recorded) or ({"failed": True, "msg": " ".join(wrong)} if wrong else None)

    def _extension(self, results: Mapping[str, Json]) -> Json | None:
        failed = [(host, result) for host, result in sorted(results.items()) if result.get("failed")]
        if not failed:
            return None
        told = "; ".join(f"{host}: {result.get('msg')}" for host, result in failed)
        lost = next((result["lost_host"] for _host, result in failed if result.get("lost_host")), None)
        return {
            "failed": True,
            "msg": f"the expiry of the stage of {self.plan.percent} % could not be extended on {told}",
            **({"lost_host": lost} if lost else {}),
        }

    def _look(self, result: Json) -> Json | None:
        if result.get("failed"):
            return result
        before, self.number, self.last, self.past = self.last, self.number + 1, result["look"], result["past"]
        verdict = self._verdict()
        if verdict:
            self.turn_off()
        elif not self._done():
            self._start_look()  # before the last one is recorded, so that somebody looks meanwhile
        where = {"host": self.plan.canary} if self.plan.canary else {}
        recorded = self.operations.record(
            "canary.looked" if self.plan.canary else "gate.looked",
            {**fold(self.last, before or None), "look": self.number, **where},
        )
        self.operations.show(look_sentence(self.last, self.number))
        return _failure(recorded) or verdict

    def _verdict(self) -> Json | None:
        """What must stop the stage, if the last look says so: harm, or no data for too long.

        Without data of the canary the other hosts do not follow, under every policy."""
        late = self.last["deadline_passed"] and (self.plan.canary or self.last["on_no_data"] == "rollback")
        if self.last["verdict"] != "abort" and not late:
            return None
        where = f"of the canary {self.plan.canary}" if self.plan.canary else f"at {self.plan.percent} %"
        message = f"{self.last['verdict']} {where}: {self.last['reason']}"
        if self.plan.canary and self.last["verdict"] == "hold" and self.last["on_no_data"] == "manual":
            message += (
                ". on_no_data is manual, so a person must decide. The other hosts keep the previous release. When the"
                " missing data is available, deploy the same release again"
            )
        return {"failed": True, "msg": message}

    def _done(self) -> bool:
        """Whether the gate has decided and everything else has ended."""
        return self._passed() and not {"share", "extension"} & set(self.jobs)

    def _passed(self) -> bool:
        if not self.last or not self.plan.canary:
            return self.last.get("verdict") == "promote"
        seen = self.last["verdict"] != "hold" and self.last["intervals"] > 0
        return bool(seen and self.last["elapsed"] >= self.plan.least)

    def _extension_due(self) -> bool:
        """Whether a third of the time is over for which the stage was written last."""
        left = self.ends - time.monotonic()
        return self.plan.expiry > 0 and left <= self.plan.expiry * (1 - 1 / EXTENSIONS)

    def _late(self) -> str | None:
        """What has not ended in its time."""
        now = time.monotonic()
        if now > self.look_until:
            return f"look {self.number + 1} has not ended within {self.longest_look:.0f} s"
        if "share" in self.jobs and now > self.began + LONGEST_MEASUREMENT:
            return f"measuring the share of users has not ended within {LONGEST_MEASUREMENT:.0f} s"
        return None


def _failure(recorded: Json) -> Json | None:
    """Why the watch must end by what the ledger has answered: it could not be written, or it says that a person has
    killed a feature. What was measured of such a feature says nothing about the release."""
    killed = (recorded.get("rollout") or {}).get("killed") or {}
    if recorded.get("failed") or not killed:
        return recorded if recorded.get("failed") else None
    told = "; ".join(sentence(flag, mark) for flag, mark in sorted(killed.items()))
    return {"failed": True, "msg": f"The rollout stops: {told}"}


def _wrong_shares(measured: Json, plan: Plan) -> Iterator[str]:
    for flag, found in measured["features"].items():
        of_processes = found["users"] is None
        tolerance = process_state.TOLERANCE * 100 if of_processes else plan.tolerance
        if abs(found["share"] * 100 - plan.shown) > tolerance:
            who = "the fixed ids of feature_flag_share" if of_processes else f"{found['users']} users"
            yield (
                f"{flag}: {found['share'] * 100:.1f} % of {who} have the feature, expected {plan.shown} %."
                " Compare feature_flag_revision and feature_flag_share of the hosts."
            )
    if measured["lost"]:
        yield f"{measured['lost']} users have lost a feature, expected 0."
