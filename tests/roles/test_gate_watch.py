"""The watch over a stage with real modules, on this machine as the only host: the ledger, the flag file, and what is
left when the run is killed. Prometheus does not answer, so the gate holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import Wanted, definition, render
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked, read

from tests.roles.local import play
from tests.roles.metrics import MetricsServer
from tests.support.waiting import until

MANIFEST = {"application": "shop", "version": "2.0.0", "artifact": {"sha256": "2" * 64}, "features": []}


class Stage:
    """25 % of the users have a feature for some seconds, by a flag file that an application evaluates."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "flags.json"
        wanted = Wanted("search", certified=0, baking=25, expiry=int(time.time()) + 9)
        self.file.write_text(render({"flags": {"search": definition(wanted, 1)}}))
        with locked(str(folder / "ledger")) as ledger:
            opened = lease.opened([], MANIFEST, {"plan": [], "hosts": {}}, lease.Request("somebody", time.time()))
            ledger.append(opened.rollout, opened.events)
            given = lease.released(ledger.reading.lines, lease.Request("somebody", time.time()))
            ledger.append(opened.rollout, given.events)
        self.extended: set[float | None] = set()
        self.server = MetricsServer(self.metrics)
        self.url = f"{self.server.url}/metrics"

    def metrics(self, _path: str) -> Iterator[str]:
        self.extended.add(self.expiry())
        flag = json.loads(self.file.read_text())["flags"]["search"]
        yield f'feature_flag_revision{{flag="search",pid="1"}} {flag["metadata"]["revision"]}'
        yield f'feature_flag_share{{flag="search",pid="1"}} {0.25 if "targeting" in flag else 0}'

    def expiry(self) -> float | None:
        rule = json.loads(self.file.read_text())["flags"]["search"].get("targeting")
        return float(rule["if"][0]["<"][1]) if rule else None

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line["data"] for line in read(str(self.folder / "ledger")).lines if line["event"] == name]

    def plays(self, deadline: float) -> list[dict[str, Any]]:
        watched = {
            "ledger": str(self.folder / "ledger"),
            "since": time.time(),
            "every": 1,
            "first": 0.5,
            "look": {
                "prometheus": "http://127.0.0.1:9",
                "features": ["search"],
                "percent": 25,
                "bake": {"min": 1, "max": deadline, "look": 1, "deadline": deadline},
            },
            "stage": {
                "hosts": {"here": {"path": str(self.file), "verify_url": self.url}},
                "features": [{"flag": "search"}],
                "certified": 0,
                "shown": 25,
                "expiry": 9,
                "ends": self.expiry(),
            },
        }
        task = {"name": "Bake, at {{ 20 + 5 }} %", "gradual.rollout.gate_watch": watched}
        return [{"hosts": "ledger", "gather_facts": False, "tasks": [task]}]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.server.stop()


def test_without_data_it_holds_extends_and_ends_at_its_deadline_with_the_features_off(stage: Stage) -> None:
    done = play(stage.folder, stage.plays(deadline=20))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    looks = stage.events("gate.looked")
    assert [look["look"] for look in looks] == list(range(1, len(looks) + 1))
    assert len(looks) > 3
    assert {look["verdict"] for look in looks} == {"hold"}
    assert [look["deadline_passed"] for look in looks] == [False] * (len(looks) - 1) + [True]
    assert "hold at 25 %: Prometheus at http://127.0.0.1:9 does not answer" in said
    assert "Bake, at 25 %, each look as it happens: 25 %, look 1, " in said
    assert stage.expiry() is None, "the feature is off"
    assert stage.events("flags.off") == [{"hosts": ["here"], "unverified": [], "lost": []}]
    assert len(stage.extended - {None}) > 1, "each expiry that the application has evaluated"


def test_each_look_is_shown_as_it_happens_in_a_pipe_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    looks: list[int] = []

    def follow(command: Any, **options: Any) -> Any:
        options.pop("capture_output"), options.pop("check")
        with subprocess.Popen(command, **options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as playbook:
            assert playbook.stdout is not None
            looks.extend(len(stage.events("gate.looked")) for line in playbook.stdout if " %, look " in line)

    monkeypatch.setattr(subprocess, "run", follow)
    plays = stage.plays(deadline=20)
    plays[0]["hosts"] = "{{ lookup('gradual.rollout.whole_group', 'ledger') }}"
    play(
        stage.folder, plays, groups=("application", "balancer", "database", "database_primary", "monitoring", "ledger")
    )
    assert len(looks) > 2
    assert looks[0] < looks[-1], "the first look was shown when the ledger had all of them"


def begun(stage: Stage, launch: Callable[[], Any]) -> None:
    """Launch a watch that would go on for minutes, and wait for its first looks and for an extension."""
    launch()
    first = stage.expiry()
    until(lambda: len(stage.events("gate.looked")) >= 2, "it looks")
    until(lambda: (stage.expiry() or 0) > (first or 0), "the expiry is extended")


def test_nothing_is_extended_for_a_run_that_was_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[subprocess.Popen[str]] = []

    def start(command: Any, **options: Any) -> Any:
        options.pop("capture_output"), options.pop("check")
        with (stage.folder / "screen.txt").open("w") as screen:
            launched.append(subprocess.Popen(command, **options, stdout=screen, stderr=subprocess.STDOUT))

    monkeypatch.setattr(subprocess, "run", start)
    begun(stage, lambda: play(stage.folder, stage.plays(deadline=600)))
    os.kill(launched[0].pid, signal.SIGKILL)
    launched[0].wait()
    time.sleep(2)  # a module that was under way when it died may still end
    left, looks = stage.expiry(), len(stage.events("gate.looked"))
    time.sleep(8)
    assert left is not None
    assert (stage.expiry(), len(stage.events("gate.looked"))) == (left, looks)
    assert stage.events("flags.off") == []
