"""What a story left behind, and the sentences that its tests say about it.

Each assertion names what it wants, so that a red test reads as the thing that went wrong. None of them asks Gradual's
own modules; the exceptions are the chain of the ledger and the report's own check, which are meant for others to use.
"""

from __future__ import annotations

import copy
import datetime
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate.folded import unfolded

from tests.load.orders import compare, fetch

from . import fleet, prediction
from .story import STORIES

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WARNINGS = {"warning", "deprecated", "system_warning"}


def runner_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Events of one ansible-runner run, in their order."""
    found = (folder / "events" / "job_events").glob("*.json")
    for path in sorted(
        (path for path in found if path.name[0].isdigit()), key=lambda path: int(path.name.split("-")[0])
    ):
        yield json.loads(path.read_text())


def warnings(folder: Path) -> list[str]:
    """Every warning and deprecation that a run gave, wherever it stands in its events."""
    found = []
    for event in runner_events(folder):
        result = (event.get("event_data") or {}).get("res") or {}
        texts = [*result.get("warnings", []), *result.get("deprecations", [])] if isinstance(result, dict) else []
        said = COLOURS.sub("", event.get("stdout", ""))
        if event["event"] in WARNINGS or "[WARNING]" in said or "[DEPRECATION" in said:
            texts.append(said)
        found += [f"{event['event']}: {text}" for text in texts]
    return found


def changed(folder: Path) -> list[str]:
    """Tasks of a run that said they changed something, as `host: task`."""
    return [
        f"{event['event_data']['host']}: {event['event_data']['task']}"
        for event in runner_events(folder)
        if event["event"] == "runner_on_ok"
        and event["event_data"].get("res", {}).get("changed")
        and not event["event_data"]["res"].get("results")
    ]


def errors(folder: Path) -> list[str]:
    """Messages of the tasks that failed a run (ignored and rescued ones left out)."""
    return [
        str(event["event_data"]["res"].get("msg", ""))
        for event in runner_events(folder)
        if event["event"] in ("runner_on_failed", "runner_on_unreachable")
        and not event["event_data"].get("ignore_errors")
    ]


class Seen:
    """The record of a story; `events` are the ledger's lines that were written during it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record: dict[str, Any] = json.loads((directory / "story.json").read_text())
        self.ledger = (directory / "ledger.jsonl").read_bytes()
        self.events = unfolded(fleet.events(self.ledger[self.record["ledger_from"] :]))
        self.before, self.after = (self.record["snapshots"][name] for name in ("before", "after"))

    @classmethod
    def of(cls, name: str) -> Seen:
        return cls(STORIES / name)

    @functools.cached_property
    def load(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "load.json").read_text())
        return found

    def among(self, folder: str) -> Seen:
        """The same story, seen by those users whose load is kept in this folder of it."""
        found = copy.copy(self)
        found.load = json.loads((self.directory / folder / "load.json").read_text())
        return found

    def play(self, number: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.record["plays"][number]
        return found

    def folder(self, number: int = 0) -> Path:
        return fleet.HOME / str(self.play(number)["folder"])

    def screen(self, number: int = 0) -> str:
        return COLOURS.sub("", (self.folder(number) / "screen.txt").read_text())

    def happened(self, event: str, **data: Any) -> list[dict[str, Any]]:
        """Ledger lines of this event that carry this data, in their order."""
        return [
            line
            for line in self.events
            if line["event"] == event and all(line["data"].get(key) == value for key, value in data.items())
        ]

    def once(self, event: str, **data: Any) -> dict[str, Any]:
        """The data of an event that must have happened exactly once."""
        found = self.happened(event, **data)
        assert len(found) == 1, (
            f"{event} {data or ''} was recorded {len(found)} times; recorded: {[line['event'] for line in self.events]}"
        )
        return dict(found[0]["data"])

    @staticmethod
    def moment(line: dict[str, Any]) -> str:
        """When a ledger line was written, as the story writes its own times, so that they can be compared."""
        return str(line["time"]).replace("Z", "+00:00")

    @property
    def rollouts(self) -> list[str]:
        return list(dict.fromkeys(line["rollout"] for line in self.events))

    def report(self, number: int = -1) -> dict[str, Any]:
        """report.json of a rollout of this story (default: the last one)."""
        found: dict[str, Any] = json.loads(
            (self.directory / "reports" / self.rollouts[number] / "report.json").read_text()
        )
        return found

    # --- users --------------------------------------------------------------------------------------------------

    def nobody_was_hurt(self) -> None:
        """Every request was answered well, at the rate of the load, over both kinds of connection."""
        load = self.load
        failures = [f"{one['time']} {one['method']} {one['path']}: {one['why']}" for one in load["failures"][:5]]
        assert load["failed"] == 0, f"{load['failed']} of {load['sent']} requests failed: {failures}"
        assert load["sent"] == load["answered"] == load["good"] > 0
        self.load_kept_its_rate()

    def load_kept_its_rate(self) -> None:
        """The requests of each second left, on schedule, over new and kept-alive connections."""
        load = self.load
        seconds = load["series"][1:-1]
        assert sum(row["sent"] for row in seconds) / len(seconds) >= 50 / 60 * load["rate"]
        assert load["lag"]["p99_seconds"] < 1, f"the load itself was late: {load['lag']}"
        assert set(load["connections"]) == {"new", "kept"}
        assert all(count["ended"] > 0.1 * load["sent"] for count in load["connections"].values())

    def load_covers_everything(self) -> None:
        """The load began before the first playbook and ended after the last."""
        assert self.load["started"] < self.play(0)["started"]
        assert self.load["ended"] > self.play(-1)["ended"]

    def orders_are_there_once(self) -> None:
        """Every order that was acknowledged stands in the database exactly once, and none that was not sent."""
        orders = self.load["orders"]
        found = compare(
            orders["sent"],
            orders["acknowledged"],
            fetch(fleet.container(fleet.primary()), fleet.APPLICATION, orders["first"], orders["last"]),
        )
        assert len(orders["acknowledged"]) > 20
        assert found["passed"], {key: found[key] for key in ("missing", "twice", "unknown")}

    # --- hosts --------------------------------------------------------------------------------------------------

    def every_host_runs(self, release: str, digest: str | None = None) -> None:
        """Every application host says that it runs this release, is ready and gets traffic; the link says the same."""
        for host in fleet.HOSTS:
            seen = fleet.look(host)
            assert seen["unit"] == "active", f"{host}: the unit is {seen['unit']}"
            assert seen["ready"] == 200, f"{host}: /readyz answers {seen['ready']}"
            assert seen["version"]["release"] == release, f"{host} runs {seen['version']}"
            assert seen["current"] == f"{release}-{seen['version']['digest'][:12]}", (
                f"{host}: current is {seen['current']}"
            )
            assert digest in (None, seen["version"]["digest"])
            assert not seen["half"], f"{host}: half-unpacked releases are left: {seen['half']}"
        self.every_host_gets_users()

    def was_left_without(self, lost: str) -> None:
        """The run failed and named the host; the others were left in one state, on 1.0.0 and in traffic."""
        assert self.play()["status"] != 0
        assert {line["data"]["host"] for line in self.happened("host.lost")} == {lost}
        assert self.happened("return.finished")[0]["data"]["left"] == [lost]
        left = self.record["snapshots"][f"without {lost}"]
        assert {host: seen["version"]["release"] for host, seen in left["hosts"].items()} == {
            host: "1.0.0" for host in fleet.HOSTS if host != lost
        }
        assert left["balancer"][lost].startswith("MAINT")
        assert {left["balancer"][host] for host in fleet.HOSTS if host != lost} == {"UP"}

    def later_rollback_brought_it_back(self) -> None:
        """rollback.yml, launched once the lost host was there again, left every host on 1.0.0 with the features off."""
        assert self.play(1)["status"] == 0, self.screen(1)[-2000:]
        assert self.happened("return.finished")[-1]["data"]["left"] == []
        self.every_host_runs_what_it_ran_before()
        self.flags_are_off()

    def every_host_runs_what_it_ran_before(self) -> None:
        """Every host is back on 1.0.0, from the artifact that it had when the story began."""
        self.every_host_runs("1.0.0", self.before["hosts"]["app1"]["version"]["digest"])

    def every_host_gets_users(self) -> None:
        states = fleet.balancer()
        assert states == dict.fromkeys(fleet.HOSTS, "UP"), f"the balancer says {states}"

    def nothing_was_touched(self, *hosts: str) -> None:
        """These hosts are byte for byte as they were before the story: releases, links, running code, flags at 0."""
        for host in hosts:
            before, after = self.before["hosts"][host], self.after["hosts"][host]
            for key in ("version", "current", "previous", "unit", "ready"):
                assert after[key] == before[key], f"{host}: {key} was {before[key]}, is {after[key]}"

    def flags_are_off(self) -> None:
        """No flag gives a feature to anybody, as written and as every process evaluates it."""
        for host in fleet.HOSTS:
            seen = fleet.look(host)
            for flag, meant in ((seen["flags"] or {}).get("flags") or {}).items():
                assert meant["defaultVariant"] == "off", f"{host}: {flag} is {meant}"
                assert not meant.get("targeting"), f"{host}: {flag} is {meant}"
            assert all(share == 0 for _, share in seen["shares"]), f"{host}: a process still evaluates {seen['shares']}"

    # --- the record ---------------------------------------------------------------------------------------------

    def record_is_intact(self) -> None:
        """The chain of the ledger holds from its first line to its last."""
        from ansible_collections.gradual.rollout.plugins.module_utils.ledger import hash_chain

        lines, broken = hash_chain.verify(self.ledger.split(b"\n")[:-1])
        assert broken is None, str(broken)
        assert len(lines) > 0
        assert self.ledger.endswith(b"\n")

    def no_warning(self) -> None:
        """No run of the story gave a warning or a deprecation, in any event."""
        for number in range(len(self.record["plays"])):
            assert warnings(self.folder(number)) == []

    def went_back(self, step: str, hosts: list[str]) -> None:
        """The rollout failed at this step, only these hosts had been switched, and all came back; it says so
        everywhere."""
        assert self.play()["status"] != 0, "a rollout that did not finish must not end with exit status 0"
        failed = self.happened("step.failed")
        assert failed, f"no step.failed; recorded: {[line['event'] for line in self.events]}"
        assert failed[0]["data"]["step"] == step
        assert {line["data"]["host"] for line in self.happened("host.drained")} == set(hosts)
        assert self.once("return.finished")["left"] == []
        assert self.once("rollout.finished")["outcome"] == "returned"
        assert self.report()["outcome"] == "returned"

    def stopped_at_the_canary(self, saying: str) -> None:
        """The switch of the canary failed with these words; no other host was switched, and no user got a feature."""
        self.went_back("release", hosts=["app1"])
        failed = self.happened("step.failed")[0]["data"]
        assert failed["host"] == "app1"
        assert saying in failed["error"]
        assert self.happened("stage.set") == []

    def canary_was_drained_until_it_failed(self) -> None:
        """The canary left traffic before its step failed, and did not come back to it in between."""
        names = [(line["event"], line["data"].get("host")) for line in self.events]
        failed = names.index(("step.failed", "app1"))
        assert names.index(("host.drained", "app1")) < failed
        assert ("host.admitted", "app1") not in names[:failed]

    def stopped_at_25_percent(self, feature: str) -> None:
        """The gate aborted the first stage because of this feature, and the rollout came back."""
        self.went_back("ramp", hosts=fleet.HOSTS)
        assert [line["data"]["percent"] for line in self.happened("stage.set")] == [25]
        assert self.happened("stage.certified") == []
        verdict = self.happened("gate.looked")[-1]["data"]
        assert verdict["verdict"] == "abort"
        assert feature in verdict["reason"]
        # What users got before the share was recorded counts too.
        recorded = datetime.datetime.fromisoformat(self.moment(self.happened("stage.set")[0])).timestamp()
        assert recorded - 60 < verdict["counts"]["since"] < recorded

    def flags_went_off_first(self) -> None:
        """The features were off before any host was rolled back, and are off now."""
        names = [line["event"] for line in self.events]
        assert names.index("flags.off") < names.index("host.returned")
        self.flags_are_off()

    def stopped_as_predicted(self, feature: str, metric: str, share: float, delay: float = 0.0) -> None:
        """The first look that could know it stopped it: none passed the harm after the time that the traffic of the A/A
        stage predicts.

        `share` of the requests with the feature are bad, and known to be so after `delay` seconds each. A look sees the
        intervals that
        are over, and hosts are scraped at moments of their own: that makes up to two intervals more.
        """
        looks = [line["data"] for line in self.happened("gate.looked", percent=25)]
        predicted = prediction.seconds_to_stop(looks[-1], feature, metric, share)
        known = predicted + delay + 2 * looks[-1]["counts"]["interval"]
        passed = [look["elapsed"] for look in looks if look["verdict"] != "abort"]
        assert looks[-1]["verdict"] == "abort"
        assert max(passed, default=0.0) < known, (
            f"harm that the traffic shows after {predicted:.0f} s was still passed after {max(passed):.0f} s"
        )

    # --- the report ---------------------------------------------------------------------------------------------

    def report_files(self, number: int = -1) -> dict[str, bytes]:
        """The report's files of a rollout of this story (default: the last one), by name."""
        folder = self.directory / "reports" / self.rollouts[number]
        return {path.name: path.read_bytes() for path in sorted(folder.glob("report.*"))}

    def claim(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(claim for claim in self.report()["claims"] if claim["id"] == name)
        return found

    def report_agrees(self, outcome: str, *, of_few: bool = False) -> None:
        """The report is there, says how it ended, can be recomputed from the record, and passes only with evidence.

        `of_few`: so few users were asked for their features that the report must not take their shares for measured.
        """
        from ansible_collections.gradual.rollout.plugins.module_utils.report.check import check

        files = self.report_files()
        assert sorted(files) == ["report.html", "report.json", "report.md"]
        assert check(self.ledger, files) == []
        report = self.report()
        assert report["outcome"] == outcome
        statuses = {row["number"]: row["status"] for row in report["criteria"]}
        assert sorted(statuses) == list(range(1, 11))
        if report["gate"]["status"] == "PASS":
            assert outcome == "completed"
            assert set(statuses.values()) <= {"shown", "not needed"}
        if outcome == "completed":
            wrong = [reason for reason in report["gate"]["reasons"] if not (of_few and reason.startswith("share-"))]
            assert report["gate"]["status"] != "FAIL" or not wrong, wrong
            # Other eyes: the report counts at the balancer what the load counted as a user.
            assert self.claim("requests-failed")["status"] == "shown", self.claim("requests-failed")
        assert report["next_steps"], "a report must say what a person should do next"

    def report_times_the_return(self, *, first_bad: bool) -> None:
        """The report says when users were hurt first, when the flags were off and when the last host was back."""
        times = self.report()["times"]
        began, ended = (datetime.datetime.fromisoformat(self.record[key]).timestamp() for key in ("started", "ended"))
        assert began < times["noticed_at"] < times["return_finished_at"] < ended
        assert began < times["hosts_back_at"] <= times["return_finished_at"]
        if first_bad:
            assert times["first_bad_at"] < times["noticed_at"] < times["flags_off_at"] < times["hosts_back_at"]
            assert times["flags_off_at"] - times["noticed_at"] < 15, "every second here is a second of harm"
            for name in ("bad-to-flags-off", "bad-to-hosts-back"):
                assert self.claim(name)["value"] > 0

    def failures_stay_near(self, verb: str, seconds: float, share: float) -> None:
        """Only requests due within some seconds of a fault failed, and few of them: `share` of what was sent
        meanwhile."""
        struck = next(fault["at"] for fault in self.record["faults"] if fault["verb"] == verb)
        at = datetime.datetime.fromisoformat(struck)
        late = [
            one
            for one in self.load["failures"]
            if not 0 <= (datetime.datetime.fromisoformat(one["time"]) - at).total_seconds() <= seconds
        ]
        assert late == []
        assert self.load["failed"] <= share * self.load["sent"], (
            f"{self.load['failed']} of {self.load['sent']} requests failed"
        )
