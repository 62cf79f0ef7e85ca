"""What is run after a rollout: 2.0.0 is with all users."""

from __future__ import annotations

import pytest

from tests.support import fleet, seen
from tests.support.fixtures import Run

LATER = ["retire", "backfill", "contract", "approve"]


@pytest.mark.parametrize("playbook", LATER)
def test_what_comes_later_changes_nothing_in_check_mode(run: Run, finished: None, playbook: str) -> None:
    before = fleet.snapshot()
    ran = run(f"playbooks/{playbook}.yml", "--check", "--diff")
    assert fleet.snapshot() == before
    assert seen.warnings(ran.folder) == []
    assert ran.status == 0 or seen.errors(ran.folder), ran.screen[-2000:]


def test_contract_refuses_while_the_features_can_be_turned_off(run: Run, finished: None) -> None:
    before = fleet.snapshot()
    ran = run("playbooks/contract.yml")
    assert ran.status != 0
    assert fleet.snapshot() == before


def test_the_report_can_be_written_again_and_says_the_same(run: Run, finished: None) -> None:
    ran = run("playbooks/report.yml")
    assert ran.status == 0, ran.screen[-2000:]
    assert seen.changed(ran.folder) == []
    assert seen.warnings(ran.folder) == []
