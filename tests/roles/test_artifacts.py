"""What a job hands to the next one of a workflow, as ansible-runner gives it to AWX; the next job accepts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.document import unknown

from tests.roles.local import HOME
from tests.roles.own_host import GROUPS, MANIFEST, STEPS, Host, leave, settings

NAMES = {"gradual_rollout", "gradual_outcome", "gradual_stage", "gradual_verdict", "gradual_report_path"}
SECRET = "kept-in-a-vault-8d1f"


def job(folder: Path, host: Host, playbook: str, **variables: Any) -> tuple[int, list[dict[str, Any]], str]:
    """A playbook by ansible-runner: its status, the artifacts of each of its events, and the screen."""
    inventory = folder / "hosts.json"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({group: {"hosts": {"here": here}} for group in GROUPS}))
    (folder / "job").mkdir()
    (folder / "vault-password").write_text("of the test\n")
    done = ansible_runner.run(
        private_data_dir=str(folder / "job"),
        project_dir=str(HOME),
        playbook=playbook,
        inventory=str(inventory),
        extravars=settings(folder, host) | variables,
        envvars={
            "ANSIBLE_CONFIG": str(HOME / "ansible.cfg"),
            "GRADUAL_RUN_LOG_DIRECTORY": str(folder / "logs"),
            "GRADUAL_VAULT_PASSWORD_FILE": str(folder / "vault-password"),
        },
        quiet=True,
    )
    data = [event["event_data"] for event in done.events if event.get("event_data")]
    return done.rc, [one["artifact_data"] for one in data if one.get("artifact_data")], done.stdout.read()


@pytest.mark.parametrize(("insist", "status"), [("any", 0), ("returned", 2)])
def test_a_report_hands_over_the_outcome(tmp_path: Path, host: Host, insist: str, status: int) -> None:
    leave(tmp_path, *STEPS)
    ended, artifacts, said = job(
        tmp_path, host, "playbooks/report.yml", report_insist=insist, rollout_prometheus_password=SECRET
    )
    assert ended == status, said
    assert len(artifacts) == 1
    given = artifacts[0]
    assert set(given) == NAMES
    assert given["gradual_rollout"].startswith("shop-2.0.0-")
    assert given["gradual_report_path"] == str(tmp_path / "ledger" / "reports" / given["gradual_rollout"])
    # Nothing was measured, so it is not PASS; no stage was certified.
    assert (given["gradual_outcome"], given["gradual_verdict"], given["gradual_stage"]) == ("completed", "CONCERNS", 0)
    assert SECRET not in json.dumps(given)


def test_there_is_nothing_to_hand_over_without_a_rollout(tmp_path: Path, host: Host) -> None:
    status, artifacts, said = job(tmp_path, host, "playbooks/report.yml")
    assert (status, artifacts) == (0, []), said


def test_the_next_job_accepts_them_beside_its_manifest() -> None:
    """AWX gives them as extra variables; a name that is not Gradual's own is still an error."""
    assert unknown([*MANIFEST, *NAMES], []) == []
    assert [line.partition(":")[0] for line in unknown([*NAMES, "outcome_of_gradual"], [])] == ["outcome_of_gradual"]
