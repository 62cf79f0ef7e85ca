"""After a release that came back by itself: check mode speaks of the next one, and preflight waits for an ending
alert."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support import fleet, seen, toy
from tests.support.fixtures import RUNS, Ran, Run
from tests.support.manifests import FIRST
from tests.support.waiting import until

RULES = "/etc/prometheus/rules/of_a_test.yml"
WAITING = "Waiting at most 120 s for the end of: OfATest"
Alert = Callable[[str], None]


FLAGS = "/etc/gradual/storefront/flags.json"
# Flags of others, as flagd takes them.
THEIRS = {
    "old-banner": {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"},
    "colour": {
        "state": "ENABLED",
        "variants": {"red": "r", "blue": "b"},
        "defaultVariant": None,
        "targeting": {"fractional": [["red"], ["blue", 2]]},
    },
}


def write_flags(host: str, text: str) -> None:
    fleet.execute(host, "sh", "-c", f"cat > {FLAGS}.new && mv {FLAGS}.new {FLAGS}", text=text)


def deploy(run: Run, arguments: list[str], *more: str, **changes: object) -> Ran:
    """Run deploy.yml with no alert accepted but those that are named."""
    return run("deploy.yml", *arguments, "-e", json.dumps({"preflight_accepted_alerts": [], **changes}), *more)


def silence() -> None:
    fleet.execute("mon1", "sh", "-c", f"rm -f {RULES}; systemctl reload prometheus")


@pytest.fixture
def alert() -> Iterator[Alert]:
    """alert(expression) fires the critical alert OfATest while the expression holds; it fires when the call returns."""

    def fire(expression: str) -> None:
        rule = {"alert": "OfATest", "expr": expression, "labels": {"severity": "critical"}}
        fleet.execute(
            "mon1",
            "sh",
            "-c",
            f"cat > {RULES}; systemctl reload prometheus",
            text=json.dumps({"groups": [{"name": "of_a_test", "interval": "1s", "rules": [rule]}]}),
        )
        question = "http://127.0.0.1:9090/api/v1/query?query=ALERTS%7Balertname%3D%22OfATest%22%7D"
        until(lambda: "firing" in fleet.execute("mon1", "curl", "-s", question), "the alert fires")

    yield fire
    silence()


def test_a_release_that_runs_everywhere_has_nothing_to_do_whatever_fires(
    run: Run, baseline: None, alert: Alert
) -> None:
    alert("vector(1)")
    before = fleet.snapshot()
    ran = deploy(run, FIRST)
    ran.insist()
    assert "is with all users already" in ran.screen
    assert fleet.snapshot() == before


def test_after_a_release_that_came_back_check_mode_speaks_of_the_next_one(
    run: Run, baseline: None, alert: Alert
) -> None:
    assert run("deploy.yml", *toy.release("6.6.6", {"exit_after": 1})).status != 0
    ends = [line["data"]["outcome"] for line in fleet.events(fleet.ledger()) if line["event"] == "rollout.finished"]
    assert ends[-1] == "returned"
    good = toy.release("6.6.7", {"features": ["search"]})
    write_flags("app1", json.dumps({"flags": THEIRS}))
    write_flags("app2", '{"flags": {"sea')
    write_flags("app3", json.dumps({"flags": {"search": THEIRS["colour"]}}))
    wrong = run("playbooks/preflight.yml", *good, "--check")
    (message,) = seen.errors(wrong.folder)
    assert [line.partition(":")[0] for line in message.splitlines()] == ["app2", "app3"]
    for text in (f"{FLAGS}: the flag file is not JSON", f"{FLAGS} holds a flag search that is not Gradual's"):
        assert text in message
    for host in fleet.HOSTS:
        write_flags(host, json.dumps({"flags": THEIRS}))
    before = fleet.snapshot()
    alert("vector(1)")
    refused = deploy(run, good, "--check", preflight_calm_seconds=2)
    assert refused.status != 0
    (message,) = seen.errors(refused.folder)
    assert re.search(r"OfATest fires, still after \d s\.", message), message
    assert "preflight_accepted_alerts" in message
    screens = set(RUNS.glob("*/screen.txt"))

    def end_the_alert() -> None:
        """Once it is waited for, however long the way to there takes."""
        until(
            lambda: any(WAITING in path.read_text() for path in set(RUNS.glob("*/screen.txt")) - screens),
            "preflight waits",
        )
        silence()

    ending = threading.Thread(target=end_the_alert, daemon=True)
    ending.start()
    ran = deploy(run, good, "--check", "--diff")
    ending.join(10)
    assert ran.status == 0, ran.screen[-2000:]
    assert WAITING in ran.screen
    assert "Check mode ends here" in ran.screen
    assert "6.6.6" not in ran.screen
    assert seen.warnings(ran.folder) == []
    assert fleet.snapshot() == before
