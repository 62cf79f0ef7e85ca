"""No tag, limit, start or inventory lets a playbook that changes something end green without having done it. Needs no
fleet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path for path in (HOME / "playbooks").glob("*.yml"))
CHANGES_NO_FLEET = {"contract_check.yml", "new_application.yml", "replay.yml"}
WITHOUT = "Launch it again without that"
FULL = (
    "is not the inventory of a whole fleet: no host in application, database, balancer, monitoring, ledger,"
    " database_primary"
)


def play(playbook: str, *options: str, inventory: str = "inventories/example", **environment: str) -> tuple[int, str]:
    """Status and screen of ansible-playbook; the hosts of the example inventory are nowhere."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook, *options],
        cwd=HOME, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


# A new host is provisioned alone; ansible-rulebook gives a limit to every playbook that it runs.
WITH_A_LIMIT = {"provision.yml", "respond.yml"}


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_the_first_play_of_every_playbook_that_changes_something_wants_the_whole(path: Path) -> None:
    first = yaml.safe_load(path.read_text())[0]
    if "import_playbook" in first:
        assert first["import_playbook"] in {one.name for one in PLAYBOOKS} - CHANGES_NO_FLEET
    else:
        assert ("gradual.rollout.whole_group" in first["hosts"]) == (path.name not in CHANGES_NO_FLEET)
        assert ("limit_allowed=true" in first["hosts"]) == (path.name in WITH_A_LIMIT)


@pytest.mark.parametrize(
    ("playbook", "options", "said"),
    [
        ("deploy.yml", ["--limit", "!app3.example.org"], f"was given --limit !app3.example.org. {WITHOUT}"),
        ("deploy.yml", ["--tags", "anything"], f"was given --tags anything. {WITHOUT}"),
        ("deploy.yml", ["--skip-tags", "anything"], f"was given --skip-tags anything. {WITHOUT}"),
        (
            "deploy.yml",
            ["--start-at-task", "Read the ledger"],
            f"was given --start-at-task 'Read the ledger'. {WITHOUT}",
        ),
        ("rollback.yml", ["--step", "--check"], f"was given --step. {WITHOUT}"),
        ("rollback.yml", ["--limit", "app1.example.org"], f"was given --limit app1.example.org. {WITHOUT}"),
        (
            "playbooks/release.yml",
            ["--limit", "app1.example.org,monitoring"],
            f"was given --limit app1.example.org,monitoring. {WITHOUT}",
        ),
        (
            "playbooks/provision.yml",
            ["--limit", "balancer", "--tags", "anything"],
            f"was given --tags anything. {WITHOUT}",
        ),
    ],
)
def test_an_option_that_leaves_something_out_is_an_error(playbook: str, options: list[str], said: str) -> None:
    status, screen = play(playbook, *options)
    assert status != 0
    assert said in " ".join(screen.split())
    assert "PLAY [" not in screen


@pytest.mark.parametrize("playbook", ["deploy.yml", "playbooks/provision.yml"])
def test_an_inventory_without_the_fleet_is_an_error(playbook: str) -> None:
    status, screen = play(playbook, inventory="localhost,")
    assert status != 0
    assert f"-i localhost, {FULL}" in " ".join(screen.split())
    assert "PLAY [" not in screen


def test_tags_of_the_environment_are_an_error_too() -> None:
    status, screen = play("rollback.yml", ANSIBLE_RUN_TAGS="anything")
    assert status != 0
    assert f"was given --tags anything. {WITHOUT}" in " ".join(screen.split())


@pytest.mark.parametrize(
    ("playbook", "options", "inventory"),
    [
        ("deploy.yml", ["--list-hosts"], "inventories/example"),
        ("rollback.yml", ["--list-tags", "--skip-tags", "molecule-notest,notest"], "inventories/example"),
        ("playbooks/provision.yml", ["--list-hosts", "--limit", "balancer"], "inventories/example"),
        ("deploy.yml", ["--syntax-check"], "localhost,"),
    ],
)
def test_what_leaves_nothing_out_goes_on(playbook: str, options: list[str], inventory: str) -> None:
    status, screen = play(playbook, *options, inventory=inventory)
    assert status == 0, screen
    assert "nothing was done" not in screen
