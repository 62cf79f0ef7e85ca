"""Ledgers as rollouts leave them, with real hashes: one that finished, and some that did not."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import hash_chain
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch, stamp
from ansible_collections.gradual.rollout.plugins.plugin_utils.plan import steps as plan_steps

START = epoch("2026-11-23T12:00:00.000Z")
OLD, NEW = "1" * 64, "2" * 64
HOSTS = ["app1", "app2", "app3"]
FEATURES = ["search", "recommendations", "express-checkout"]
SMOKE = {
    flag: [{"name": f"{flag} {state}", "flag": state, "path": "/"} for state in ("on", "off")] for flag in FEATURES
}
MANIFEST: dict[str, Any] = {
    "application": "storefront",
    "version": "2.0.0",
    "artifact": {"url": "http://controller:8000/storefront-2.0.0.tar.gz", "sha256": NEW},
    "features": [{"flag": flag, "smoke": SMOKE[flag]} for flag in FEATURES],
    "smoke": [{"name": "page", "path": "/"}, {"name": "orders of others", "path": "/api/orders", "status": 401}],
    "stages": [25, 50, 100],
    "bake": {"min": 30, "max": 120, "look": 10, "expiry": 60},
    "gate": {"harmless_share": 0.01},
    "migrations": {"adapter": "alembic", "path": "migrations", "target": "0003"},
    "backup": {"method": "dump", "level": "restored"},
    "on_abort": "release",
    "approval": False,
}
BEFORE = {"version": "1.0.0", "digest": OLD, "directory": "/opt/storefront/releases/1.0.0-111111111111"}
AFTER = {"version": "2.0.0", "digest": NEW, "directory": "/opt/storefront/releases/2.0.0-222222222222"}
RECEIPT = {
    "schema": 1, "id": "storefront-20261123T120003Z", "application": "storefront", "database": "storefront",
    "level": "restored",
    "size": 48211, "revision": "0001", "taken_at": "2026-11-23T12:00:05Z", "schema_fingerprint": "f" * 64,
    "tables": {"public.orders": {"rows": 812, "digest": "a"}, "public.products": {"rows": 60, "digest": "b"}},
}  # fmt: skip


class Ledger:
    """Appends events at a time that the test moves on; `content` is the file."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.now = START
        self.rollout = "storefront-2.0.0-20261123T120000Z"

    def add(self, event: str, after: float = 0.1, **data: Any) -> dict[str, Any]:
        self.now += after
        previous = self.lines[-1]["hash"] if self.lines else hash_chain.GENESIS
        line = hash_chain.link(len(self.lines) + 1, stamp(self.now), self.rollout, event, data, previous)
        self.lines.append(line)
        return line

    @property
    def content(self) -> bytes:
        return b"".join(hash_chain.canonical(line) + b"\n" for line in self.lines)


def opened(manifest: dict[str, Any] | None = None, before: dict[str, Any] | None = BEFORE) -> Ledger:
    """A rollout that has passed its preflight; `before` is what ran on each host."""
    ledger = Ledger()
    manifest = {**MANIFEST, **(manifest or {})}
    ledger.add("lease.taken", holder="ops@controller:4711", seconds=90)
    hosts = dict.fromkeys(HOSTS, before)
    ledger.add(
        "rollout.started",
        manifest=manifest,
        digest="d" * 64,
        plan=plan_steps.make(manifest, HOSTS),
        hosts=hosts,
        revision="0001",
    )
    ledger.add("step.started", step="preflight")
    ledger.add("step.finished", 2, step="preflight")
    return ledger


def prepared(manifest: dict[str, Any] | None = None, before: dict[str, Any] | None = BEFORE) -> Ledger:
    """… with a proven backup and the schema expanded."""
    ledger = opened(manifest, before)
    ledger.add("step.started", step="backup")
    ledger.add("backup.proven", 9, receipt=RECEIPT)
    ledger.add("step.finished", step="backup")
    ledger.add("step.started", step="migrate")
    revisions = [
        {"revision": "0002", "seconds": 0.21, "attempts": 2, "lock_waits": 1},
        {"revision": "0003", "seconds": 0.4, "attempts": 1, "lock_waits": 0},
    ]
    ledger.add("migration.applied", 3, **{"from": "0001", "to": "0003", "revisions": revisions})
    ledger.add("step.finished", step="migrate")
    return ledger


def released(ledger: Ledger) -> Ledger:
    """… with all hosts on the new code."""
    ledger.add("step.started", step="release")
    for host in HOSTS:
        ledger.add("host.drained", 1, host=host)
        ledger.add("host.admitted", 5, host=host)
        ledger.add("host.released", 0.2, host=host, seconds=3.1, **{"from": BEFORE, "to": AFTER})
    ledger.add("step.finished", step="release")
    smoke(ledger, "off")
    return ledger


def smoke(ledger: Ledger, phase: str) -> None:
    names = ["page", "orders of others", *(f"{flag} {phase}" for flag in FEATURES)]
    for where in ["front door", *HOSTS]:
        results = [{"name": name, "passed": True, "status": 200, "seconds": 0.01} for name in names]
        ledger.add("smoke.finished", phase=phase, where=where, results=results, passed=True, failed=0)


def look(ledger: Ledger, percent: int, number: int, since: float, bad_share: float = 0.001) -> dict[str, Any]:
    """One look of the gate, judged by the gate itself, as gate_look records it."""
    dice = random.Random(percent)
    rows: dict[str, list[list[float]]] = {flag: [] for flag in FEATURES}
    for index in range(int((ledger.now - since) // 2)):
        for flag in FEATURES:
            on, off = 2 * percent, 200 - 2 * percent
            bad = bad_share if flag == "recommendations" else 0.001
            rows[flag].append(
                [
                    2.0 * index,
                    on,
                    sum(dice.random() < bad for _request in range(on)),
                    off,
                    sum(dice.random() < 0.001 for _request in range(off)),
                ]
            )
    metrics = [
        {"feature": flag, "metric": metric, "problem": None, "rows": _rows(rows[flag], metric)}
        for flag in FEATURES
        for metric in ("errors", "slow")
    ]
    place = {"percent": percent, "stage": MANIFEST["stages"].index(percent), "stages": MANIFEST["stages"]}
    counts = {
        **place,
        "since": since,
        "until": round(ledger.now, 3),
        "interval": 2.0,
        "problems": [],
        "metrics": metrics,
    }
    settings = gate_verdict.settings_from(MANIFEST["gate"], MANIFEST["bake"])
    judged = gate_verdict.judge(counts, settings)
    settings_seen = {key: value for key, value in vars(settings).items() if key != "on_no_data"}
    ledger.add(
        "gate.looked", **{**judged, "percent": percent, "look": number, "counts": counts, "settings": settings_seen}
    )
    return judged


def _rows(rows: list[list[float]], metric: str) -> list[list[float]]:
    return rows if metric == "errors" else [[row[0], row[1], 0, row[3], 0] for row in rows]


def stage(ledger: Ledger, percent: int, bad_share: float = 0.001) -> str:
    """One stage up to its last look; returns the verdict."""
    revision = int(ledger.now)
    ledger.add("stage.set", 2, percent=percent, expiry=revision + 60, revision=revision)
    shown = {25: 0.25, 50: 0.51, 100: 1.0}[percent]
    processes = [
        {"pid": pid, "flag": flag, "revision": revision, "share": shown} for pid in (11, 12) for flag in FEATURES
    ]
    ledger.add("stage.verified", percent=percent, revision=revision, hosts=dict.fromkeys(HOSTS, processes))
    measured = {
        flag: {"users": 2000, "on": int(2000 * shown) + 5 * (percent < 100), "share": shown + 0.0025 * (percent < 100)}
        for flag in FEATURES
    }
    ledger.add("stage.measured", 8, percent=percent, features=measured, lost=0)
    since = ledger.now
    for number in range(1, 20):
        ledger.now += 10
        verdict = look(ledger, percent, number, since, bad_share)["verdict"]
        if verdict in ("promote", "abort"):
            return str(verdict)
    return "hold"


def traffic(ledger: Ledger, failed: int = 0) -> None:
    """What Prometheus saw of the whole rollout."""
    dice = random.Random(7)
    series = []
    for index in range(int((ledger.now - START) // 5)):
        latencies = {"p50": 0.009 + 0.002 * dice.random(), "p95": 0.04 + 0.02 * dice.random()}
        series.append({"time": START + 5 * index, "requests": 300 + dice.randint(-15, 15), "failed": 0, **latencies})
    if failed:
        series[-4]["failed"] = failed
    arm = {"requests": 4200, "errors": 4, "slow": 3, "mean_seconds": 0.012, "good": 91, "bad": 9, "orders": 120}
    ledger.add(
        "traffic.observed", since=START, until=ledger.now, requests=sum(int(row["requests"]) for row in series),
        failed=failed, slow=6,
        own_requests=12000, own_answered=11990,
        mean_seconds=0.0142, series=series, step=5.0, not_measured=[],
        by_variant=[{"feature": flag, "variant": variant, **arm} for flag in FEATURES for variant in ("on", "off")],
    )  # fmt: skip


def monitoring(ledger: Ledger) -> None:
    ledger.add(
        "monitoring.observed", rules=31, alertmanagers=1, watchdog=True, firing=[], delivered=6.0,
        health_check_age_seconds=143.0,
        front_door={
            "headers": ["content-security-policy", "strict-transport-security"], "headers_missing": [],
            "internal_closed": ["/metrics", "/version"], "internal_open": [],
        },
        dashboard={"panels": 18, "queries": 24, "answered": 24, "silent": []},
    )  # fmt: skip


def rehearsed(ledger: Ledger) -> Ledger:
    """Put an earlier rollout that was taken back, whole, at the beginning of a ledger."""
    earlier = opened()
    earlier.rollout = "storefront-1.9.0-20261122T120000Z"
    lines, earlier.lines, earlier.now = earlier.lines, [], START - 86400
    for line in lines:
        earlier.add(line["event"], **line["data"])
    earlier.add("step.started", step="rollback")
    earlier.add("return.finished", 21, left=[])
    earlier.add("rollout.finished", outcome="returned")
    for line in ledger.lines:
        earlier.rollout, earlier.now = line["rollout"], epoch(line["time"])
        earlier.add(line["event"], 0, **line["data"])
    earlier.now = ledger.now
    return earlier


@functools.cache
def _ramped() -> Ledger:
    """… with all stages certified; made once, for its looks take time."""
    ledger = released(prepared())
    ledger.add("step.started", step="ramp")
    for percent in (25, 50, 100):
        assert stage(ledger, percent) == "promote"
        ledger.add("stage.certified", percent=percent)
    ledger.add("step.finished", step="ramp")
    return ledger


def completed(monitored: bool = True, failed: int = 0) -> Ledger:
    """A rollout that finished."""
    ledger = copy.deepcopy(_ramped())
    ledger.add("step.started", step="verify")
    ledger.now += 4
    smoke(ledger, "on")
    ledger.add("step.finished", step="verify")
    traffic(ledger, failed)
    if monitored:
        monitoring(ledger)
    ledger.add("rollout.finished", outcome="completed")
    ledger.add("lease.released")
    return ledger


def taken_back() -> Ledger:
    """A rollout whose gate stopped it at 25 %, and which came back whole."""
    ledger = released(prepared())
    ledger.add("step.started", step="ramp")
    assert stage(ledger, 25, bad_share=0.35) == "abort"
    ledger.add("flags.off", 1.8, revision=99, hosts=HOSTS, lost=[])
    ledger.add(
        "step.failed",
        step="ramp",
        host="app1",
        task="25 %: stop where users are hurt",
        error="abort at 25 %: recommendations errors",
    )
    back(ledger)
    return ledger


def back(ledger: Ledger, left: tuple[str, ...] = ()) -> None:
    ledger.add("step.started", step="rollback")
    for host in HOSTS:
        if host not in left:
            ledger.add("host.drained", 1, host=host)
            ledger.add("host.admitted", 5, host=host)
            ledger.add("host.returned", 0.2, host=host, **{"from": AFTER, "to": BEFORE})
    ledger.add("return.finished", left=list(left), reasons=["it was not reached" for _host in left])
    traffic(ledger)
    ledger.add("rollout.finished", outcome="incomplete" if left else "returned")


def never_ready() -> Ledger:
    """A rollout whose canary did not come up."""
    ledger = prepared()
    ledger.add("step.started", step="release")
    ledger.add("host.drained", 1, host="app1")
    why = {
        "host": "app1",
        "task": "Switch, start and wait until it is ready",
        "error": "app1 was not ready after 40 s\njournal: …",
    }
    ledger.add("step.failed", 40, step="release", **why)
    ledger.add("step.started", step="rollback")
    ledger.add("host.returned", 4, host="app1", **{"from": AFTER, "to": BEFORE})
    ledger.add("host.admitted", 1, host="app1")
    ledger.add("return.finished", left=[])
    ledger.add("rollout.finished", outcome="returned")
    return ledger


def host_lost() -> Ledger:
    """A rollout in which a host was lost while features were shown, so that it could not come back whole."""
    ledger = released(prepared())
    ledger.add("step.started", step="ramp")
    stage(ledger, 25)
    ledger.add("stage.certified", percent=25)
    ledger.add("step.failed", step="ramp", host="app2", task="50 %: write the share", error="app2 cannot be reached")
    ledger.add("flags.off", 2, hosts=["app1", "app3"], lost=["app2"])
    ledger.add("host.lost", host="app2", error="app2 cannot be reached")
    back(ledger, left=("app2",))
    return ledger


def asked_back(
    ledger: Ledger | None = None, left: tuple[str, ...] = (), failed: int = 0, by: str | None = None
) -> Ledger:
    """A rollout (default: one that had finished) that a person took back later."""
    ledger = ledger or completed()
    ledger.now += 600
    ledger.add("lease.taken", holder="ops@controller/1f2e3d:4712", seconds=90)
    named: dict[str, Any] = {"by": by} if by else {}
    ledger.add("step.started", step="rollback", **named)
    ledger.add("flags.off", 3, hosts=HOSTS, lost=[])
    for host in HOSTS:
        if host not in left:
            ledger.add("host.drained", 1, host=host)
            ledger.add("host.admitted", 5, host=host)
            ledger.add("host.returned", 0.2, host=host, **{"from": AFTER, "to": BEFORE})
    ledger.add("return.finished", left=list(left))
    traffic(ledger, failed)
    ledger.add("rollout.finished", outcome="incomplete" if left else "returned")
    return ledger


def ramping() -> Ledger:
    """A rollout in the middle of its ramp, 25 % certified."""
    ledger = released(prepared())
    ledger.add("step.started", step="ramp")
    stage(ledger, 25)
    ledger.add("stage.certified", percent=25)
    return ledger


def first(hosts: tuple[str, ...] = tuple(HOSTS)) -> Ledger:
    """A first release, without features, that has finished; `hosts` are those that were switched to it."""
    ledger = prepared({"features": [], "stages": [100], "migrations": None}, before=None)
    ledger.add("step.started", step="release")
    for host in hosts:
        ledger.add("host.admitted", 5, host=host)
        ledger.add("host.released", 0.2, host=host, seconds=3.1, **{"from": None, "to": AFTER})
    ledger.add("step.finished", step="release")
    for step in ("ramp", "verify"):
        ledger.add("step.started", step=step)
        ledger.add("step.finished", step=step)
    for where in ("front door", *HOSTS):
        results = [
            {"name": name, "passed": True, "status": 200, "seconds": 0.01} for name in ("page", "orders of others")
        ]
        ledger.add("smoke.finished", phase="on", where=where, results=results, passed=True, failed=0)
    traffic(ledger)
    monitoring(ledger)
    ledger.add("rollout.finished", outcome="completed")
    return ledger


def resumed() -> Ledger:
    """A rollout that was killed in the middle of its release, taken up again by another controller, and finished."""
    ledger = prepared()
    ledger.add("step.started", step="release")
    ledger.add("host.drained", 1, host="app1")
    ledger.now += 200
    ledger.add("lease.taken", holder="ops@other:17", seconds=90)
    ledger.add("rollout.resumed", holder="ops@other:17")
    for line in completed().lines[len(prepared().lines) :]:
        ledger.add(line["event"], **line["data"])
    return ledger


# One ledger of each kind.
ALL: dict[str, Callable[[], Ledger]] = {
    "opened": opened,
    "prepared": prepared,
    "completed": completed,
    "unmonitored": lambda: completed(monitored=False),
    "failing": lambda: completed(failed=3),
    "rehearsed": lambda: rehearsed(completed()),
    "taken back": taken_back,
    "never ready": never_ready,
    "host lost": host_lost,
    "asked back": asked_back,
    "asked back at 25 %": lambda: asked_back(ramping(), by="Ada"),
    "asked back, one left": lambda: asked_back(left=("app3",)),
    "first": first,
    "resumed": resumed,
}
