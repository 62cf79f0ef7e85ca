"""deploy.yml in check mode speaks of the manifest at hand, whatever became of the rollout before it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.events import Event
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked

from tests.roles.local import play

NOW = 1_700_000_000.0
OLD: dict[str, Any] = {
    "application": "shop",
    "version": "1.0.0",
    "artifact": {"url": "http://x/1", "sha256": "1" * 64},
    "features": [],
    "on_abort": "release",
}
NEW = {**OLD, "version": "2.0.0", "artifact": {"url": "http://x/2", "sha256": "2" * 64}}
FAILED = ("step.failed", {"step": "release", "host": "app1", "task": "Start", "error": "it does not start"})
COMPLETED: list[Event] = [
    ("step.finished", {"step": step}) for step in ("backup", "migrate", "release", "ramp", "verify")
]
RETURNED: list[Event] = [
    FAILED,
    ("step.started", {"step": "rollback"}),
    ("return.finished", {"left": [], "reasons": [], "hosts_kept": False}),
]
# What the run that opened the rollout of OLD has left behind, and how it closed it.
BEFORE: dict[str, tuple[list[Event], str] | None] = {
    "nothing": None,
    "completed": (COMPLETED, "completed"),
    "returned": (RETURNED, "returned"),
    "open": (COMPLETED[:1], ""),
}

OPENING = {
    "name": "Preflight",
    "hosts": "monitoring",
    "gather_facts": False,
    "tasks": [
        {
            "gradual.rollout.ledger": {
                "path": "{{ rollout_ledger_path }}",
                "state": "opened",
                "release": "{{ manifest }}",
            },
            "register": "preflight_opened",
        }
    ],
}
LATER = {
    "name": "A later playbook",
    "hosts": "monitoring",
    "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_role": {"name": "rollout", "tasks_from": "recall", "public": True}},
        {
            "ansible.builtin.debug": {
                "msg": (
                    "state={{ rollout_state.id or 'none' }} open={{ rollout_state.open }} "
                    "failed={{ rollout_state.failed is truthy }}"
                )
            }
        },
    ],
}


def leave(path: Path, before: tuple[list[Event], str] | None) -> str:
    """A ledger in which OLD was rolled out; the rollout's name."""
    if before is None:
        return ""
    events, outcome = before
    with locked(str(path)) as ledger:
        request = lease.Request("somebody", NOW)
        opened = lease.opened([], OLD, {"plan": [], "hosts": {}, "revision": None}, request)
        ledger.append(opened.rollout, opened.events + events)
        if outcome:
            ledger.append(opened.rollout, lease.closed(ledger.reading.lines, outcome, request).events)
        else:
            ledger.append(opened.rollout, lease.released(ledger.reading.lines, request).events)
    return opened.rollout


@pytest.mark.parametrize(
    ("before", "manifest", "check", "wanted"),
    [
        ("nothing", NEW, True, "state=none open=False failed=False"),
        ("completed", NEW, True, "state=none open=False failed=False"),
        ("returned", NEW, True, "state=none open=False failed=False"),
        # Negative controls: the rollout that is this run's own is seen, in check mode too.
        ("completed", OLD, True, "state=OLD open=False failed=False"),
        ("open", OLD, True, "state=OLD open=True failed=False"),
        ("returned", NEW, False, "state=NEW open=True failed=False"),
        ("open", NEW, True, "is not finished"),
    ],
)
def test_a_later_playbook_sees_the_rollout_of_this_run(
    tmp_path: Path, before: str, manifest: dict[str, Any], check: bool, wanted: str
) -> None:
    name = leave(tmp_path / "ledger", BEFORE[before])
    variables = json.dumps(
        {
            "manifest": manifest,
            "application": "shop",
            "application_port": 1,
            "rollout_ledger_path": str(tmp_path / "ledger"),
        }
    )
    done = play(tmp_path, [OPENING, LATER], "-e", variables, *(["--check"] if check else []))
    said = re.sub(r"shop-2\.0\.0-\w+", "NEW", done.stdout.replace(name or "?", "OLD"))
    assert wanted in said, done.stdout + done.stderr
    assert done.returncode == (2 if wanted == "is not finished" else 0)


def test_a_step_alone_in_check_mode_sees_the_newest_rollout(tmp_path: Path) -> None:
    name = leave(tmp_path / "ledger", BEFORE["returned"])
    variables = json.dumps(
        {"application": "shop", "application_port": 1, "rollout_ledger_path": str(tmp_path / "ledger")}
    )
    done = play(tmp_path, [LATER], "-e", variables, "--check")
    assert f"state={name} open=False failed=True" in done.stdout, done.stdout + done.stderr
