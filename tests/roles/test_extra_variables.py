"""Extra variables of a survey, a workflow or a credential, which AWX gives to every job beside the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.roles.local import play

MANIFEST = {"application": "shop", "version": "2.0.0", "artifact": {"url": "http://x/2.tar.gz", "sha256": "2" * 64}}
GROUPS = ("application", "database", "balancer", "monitoring", "ledger")
CHECK = {
    "hosts": "monitoring",
    "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_role": {"name": "preflight", "tasks_from": "manifest"}},
        {"ansible.builtin.debug": {"var": "preflight_manifest.manifest.stages"}},
    ],
}
AWX = {
    "awx_job_id": 7,
    "tower_user_name": "mia",
    "ticket": "OPS-1",
    "workflow_image": "a",
    "workflow_build": 12,
    "stages": "- 50\n- 100",
}


@pytest.mark.parametrize(
    ("foreign", "unknown"),
    [
        (["ticket", "workflow_*"], []),
        (["ticket"], ["workflow_image", "workflow_build"]),
        (None, ["ticket", "workflow_image", "workflow_build"]),
        (["*"], ["manifest_foreign_variables", "ticket", "workflow_image", "workflow_build"]),
    ],
)
def test_the_inventory_names_what_is_for_others(tmp_path: Path, foreign: Any, unknown: list[str]) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.json").write_text(
        json.dumps({"manifest_foreign_variables": foreign} if foreign else {})
    )
    done = play(tmp_path, [CHECK], "-e", json.dumps({**MANIFEST, **AWX}), groups=GROUPS)
    assert done.returncode == (2 if unknown else 0), done.stdout + done.stderr
    if not unknown:
        assert "- 50" in done.stdout
    for name in (
        "manifest_foreign_variables",
        "awx_job_id",
        "tower_user_name",
        "ticket",
        "workflow_image",
        "workflow_build",
        "stages",
    ):
        assert (f"  {name}: " in done.stdout + done.stderr) == (name in unknown), f"{name}: {done.stdout + done.stderr}"
