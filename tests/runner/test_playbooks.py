"""Every playbook through ansible-runner, in check mode too: it tells the truth, warns of nothing, and a second run
changes nothing."""

from __future__ import annotations

import pytest

from tests.support import fleet, seen
from tests.support.fixtures import Run
from tests.support.manifests import GOOD

# provision.yml is tested in tests/fleet/test_provisioning.py.
# Playbooks that a person may start at any time; deploy's parts are run by deploy.yml, and alone here in check mode.
PARTS = ["preflight", "backup", "migrate", "release", "ramp", "verify", "report", "rollback"]
LATER = ["retire", "backfill", "contract", "approve", "replay", "restore"]
# tests/roles/test_kill.py, tests/fleet/test_kill.py, tests/roles/test_contract_check.py,
# tests/roles/test_new_application.py and tests/fleet/test_responses.py play these; no test plays respond.yml.
WITHOUT_A_ROLLOUT = ["kill", "allow_flag", "contract_check", "new_application", "hold_responses", "respond"]


def test_none_is_left_out() -> None:
    assert sorted(path.stem for path in (fleet.HOME / "playbooks").glob("*.yml")) == sorted(
        [*PARTS, *LATER, *WITHOUT_A_ROLLOUT, "deploy", "provision"]
    )


class TestBeforeARollout:
    """1.0.0 runs everywhere and no rollout is open."""

    @pytest.fixture(autouse=True)
    def _begin(self, baseline: None) -> None:
        pass

    def test_deploy_in_check_mode_shows_the_plan_and_changes_nothing(self, run: Run) -> None:
        before = fleet.snapshot()
        ran = run("deploy.yml", *GOOD, "--check", "--diff")
        assert ran.status == 0, ran.screen[-2000:]
        assert fleet.snapshot() == before
        assert seen.warnings(ran.folder) == []
        for word in ("backup", "migrate", "release", "ramp", "verify", "rollback", "point of no return"):
            assert word in ran.screen, f"the plan does not speak of {word}"

    def test_nothing_begins_where_nobody_can_tell_whether_an_alert_fires(self, run: Run) -> None:
        before = fleet.snapshot()
        ran = run("deploy.yml", *GOOD, "-e", "rollout_prometheus=http://127.0.0.1:9")
        assert ran.status != 0
        assert "It is not known whether an alert fires" in ran.screen
        assert fleet.snapshot() == before

    @pytest.mark.parametrize("part", PARTS)
    def test_a_part_alone_in_check_mode_changes_nothing(self, run: Run, part: str) -> None:
        before = fleet.snapshot()
        ran = run(f"playbooks/{part}.yml", *(GOOD if part == "preflight" else []), "--check", "--diff")
        assert ran.status == 0, ran.screen[-2000:]
        assert fleet.snapshot() == before
        assert seen.warnings(ran.folder) == []


def test_the_newer_ansible_says_the_same_in_check_mode(run: Run, baseline: None) -> None:
    if not fleet.has_newer_ansible():
        pytest.skip("there is no Python 3.12 here, so no second ansible-core")
    ran = run("deploy.yml", *GOOD, "--check", "--diff", venv=".venv-3.12")
    assert ran.status == 0, ran.screen[-2000:]
    assert seen.warnings(ran.folder) == []
