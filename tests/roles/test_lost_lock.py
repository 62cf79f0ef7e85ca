"""A step of a run that has lost the lock does nothing more on any host: the other run decides."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked, read

from tests.roles.local import play

MANIFEST: dict[str, Any] = {
    "application": "shop",
    "version": "2.0.0",
    "artifact": {"url": "http://x/2", "sha256": "2" * 64},
    "features": [{"flag": "search"}],
    "stages": [100],
}
RAMP = {
    "hosts": "application",
    "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_role": {"name": "rollout", "tasks_from": "step"}, "vars": {"rollout_step": "ramp"}}
    ],
}


def ramp(folder: Path, held: bool) -> str:
    """Run the step ramp on two hosts, while another run holds the lock, for longer than is waited for it, or does not;
    what the run said."""
    with locked(str(folder / "ledger")) as ledger:
        request = lease.Request("somebody@elsewhere/abc:1", time.time())
        opened = lease.opened([], MANIFEST, {"plan": [], "hosts": {}}, request)
        (started, _taken), taken = opened.events, ("lease.taken", {"holder": request.holder, "seconds": 3600})
        ledger.append(opened.rollout, [started, taken])
        if not held:
            ledger.append(opened.rollout, lease.released(ledger.reading.lines, request).events)
    given = {
        "application": "shop",
        "application_port": 9,
        "rollout_ledger_path": str(folder / "ledger"),
        "rollout_flags_file": str(folder) + "/{{ inventory_hostname }}.flags",
        "rollout_prometheus": "http://127.0.0.1:9",
        "front_door": {"url": "http://127.0.0.1:9", "ca_path": "/nowhere"},
        "safe_state_serves": False,
    }
    groups = ("application", "database", "balancer", "monitoring", "ledger", "database_primary")
    done = play(folder, [RAMP], "-e", json.dumps(given), groups=groups, hosts=("one", "two"))
    assert done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())


def flags(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.flags"))


def test_it_turns_nothing_off_on_any_host(tmp_path: Path) -> None:
    said = ramp(tmp_path, held=True)
    assert "is locked by somebody@elsewhere" in said
    assert flags(tmp_path) == []


def test_one_that_has_the_lock_turns_the_features_off_on_all_of_them(tmp_path: Path) -> None:
    said = ramp(tmp_path, held=False)
    assert "ramp failed on" in said
    assert flags(tmp_path) == ["one.flags", "two.flags"]
    assert "step.failed" in {line["event"] for line in read(str(tmp_path / "ledger")).lines}
