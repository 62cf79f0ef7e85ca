"""Each guard of the stories goes red for its own reason: a guard that cannot fail proves nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet, secrets, seen, shares
from tests.support.fixtures import Ran
from tests.support.story import STORIES, Play, Story
from tests.support.waiting import until

TELLS = """
- hosts: mon1
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ vault_database_application_password }}"
    - ansible.builtin.command:
        argv: [sh, -c, sleep 0.3, "{{ vault_session_key }}"]
"""
WARNS = """
- hosts: nobody_at_all
  gather_facts: false
  tasks: []
"""


@pytest.fixture
def good() -> seen.Seen:
    """What the good release left behind."""
    if not (STORIES / "good-release" / "story.json").exists():
        pytest.skip("the story good-release has not been played")
    return seen.Seen.of("good-release")


@pytest.fixture
def copy(good: seen.Seen, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(good.directory, tmp_path / "good-release", symlinks=True))


def test_the_load_goes_red_when_a_host_is_stopped_without_a_drain() -> None:
    with Story("control-no-drain") as story:
        story.begin_load()
        fleet.execute("app2", "systemctl", "stop", "storefront")
        until(lambda: fleet.balancer()["app2"] != "UP", "the balancer has noticed")
        fleet.execute("app2", "systemctl", "start", "storefront")
        until(lambda: fleet.balancer()["app2"] == "UP", "the host is back")
        story.end_load()
    story_seen = seen.Seen.of("control-no-drain")
    with pytest.raises(AssertionError, match="requests failed"):
        story_seen.nobody_was_hurt()
    # Orders that were acknowledged are there all the same: the guard on orders is not the guard on answers.
    story_seen.orders_are_there_once()


@pytest.mark.parametrize("column", ["missing", "twice"])
def test_the_orders_go_red_when_one_is_lost_or_doubled(
    good: seen.Seen, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    found = sorted(good.load["orders"]["acknowledged"])
    rows = found[1:] if column == "missing" else [*found, found[0]]
    monkeypatch.setattr(seen, "fetch", lambda *_: rows)
    with pytest.raises(AssertionError, match=column):
        good.orders_are_there_once()


def flag_file(percent: int, *, swapped: bool) -> str:
    """A flag file for all features at a percentage, the variants in the wrong order if swapped."""
    rows: list[list[Any]] = [["on", percent], ["off", 100 - percent]]
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": {"fractional": rows[::-1] if swapped else rows},
        "metadata": {"revision": 1},
    }
    return json.dumps({"flags": dict.fromkeys(fleet.FLAGS, flag)})


def write_flags(text: str, share: float) -> None:
    """Write a flag file on every host, past Gradual, and wait until every process follows it."""
    path = "/etc/gradual/storefront/flags.json"
    for host in fleet.HOSTS:
        fleet.execute(host, "sh", "-c", f"cat > {path}.new && mv {path}.new {path}", text=text)
    until(
        lambda: all(abs(seen - share) < 0.2 for host in fleet.HOSTS for _, seen in fleet.look(host)["shares"]),
        f"every process gives {share:.0%}",
    )


def test_the_shares_go_red_when_the_order_of_variants_is_swapped(finished: None) -> None:
    users = shares.USERS[:500]
    right = json.dumps(fleet.look("app1")["flags"])
    try:
        write_flags(flag_file(25, swapped=False), 0.25)
        quarter = shares.measure(users)
        assert shares.mistakes(25, quarter, len(users), tolerance=6) == []
        write_flags(flag_file(50, swapped=False), 0.5)
        assert shares.mistakes(50, shares.measure(users), len(users), quarter, tolerance=6) == []
        write_flags(flag_file(50, swapped=True), 0.5)
        mistakes = shares.mistakes(50, shares.measure(users), len(users), quarter, tolerance=6)
    finally:
        write_flags(right, 1.0)
    assert len(mistakes) == len(fleet.FLAGS)
    assert all("have lost it" in mistake for mistake in mistakes)
    assert shares.mistakes(75, quarter, len(users)), "a wrong share must be a mistake too"


@pytest.mark.parametrize("place", ["screen.txt", "events", "ledger.jsonl", "report.html"])
def test_the_search_for_leaks_goes_red_when_a_secret_is_planted(copy: Path, place: str) -> None:
    planted = secrets.planted()
    assert secrets.leaks([copy], planted) == []
    value = planted["vault_session_key"]
    path = next(
        path for path in sorted(copy.rglob("*")) if path.is_file() and (path.name == place or place in path.parts)
    )
    path.write_bytes(path.read_bytes() + json.dumps({"key": value}).encode())
    assert secrets.leaks([copy], planted) == [f"{path}: vault_session_key"]


# Not while another fleet plays the good release, whose story looks at the command line of every process on this
# machine.
@pytest.mark.xdist_group("good-release")
def test_a_secret_in_a_playbook_is_found_in_its_events(tmp_path: Path) -> None:
    playbook = tmp_path / "tells.yml"
    playbook.write_text(TELLS)
    with secrets.Processes() as processes:
        ran = Ran(Play(tmp_path / "run", str(playbook), []))
    assert ran.status == 0, ran.screen
    found = secrets.leaks([ran.folder], secrets.planted())
    assert {line.rpartition(": ")[2] for line in found} >= {"vault_database_application_password"}
    assert ran.folder / "screen.txt" in {Path(line.rpartition(": ")[0]) for line in found}
    assert processes.leaked(), "a secret on a command line was not seen"


@pytest.mark.parametrize("name", ["report.json", "report.md", "report.html", "ledger"])
def test_the_report_goes_red_when_one_byte_is_changed(good: seen.Seen, name: str) -> None:
    from ansible_collections.gradual.rollout.plugins.module_utils.report.check import check

    files, ledger = good.report_files(), good.ledger
    assert check(ledger, files) == []
    content = bytearray(ledger if name == "ledger" else files[name])
    position = content.index(b"0", len(content) // 2)
    content[position] = ord("1")
    if name == "ledger":
        assert check(bytes(content), files)
        good.ledger = bytes(content)
        with pytest.raises(AssertionError):
            good.record_is_intact()
    else:
        assert check(ledger, {**files, name: bytes(content)})


def test_a_warning_in_any_event_is_seen(tmp_path: Path) -> None:
    playbook = tmp_path / "warns.yml"
    playbook.write_text(WARNS)
    ran = Ran(Play(tmp_path / "run", str(playbook), []))
    assert seen.warnings(ran.folder), "a play for hosts that do not exist warns, and the warning was not seen"


def test_a_snapshot_sees_a_change_of_one_host(tmp_path: Path) -> None:
    before = fleet.snapshot()
    fleet.execute("app3", "ln", "-sfn", "/opt/storefront/releases", "/opt/storefront/previous.new")
    assert fleet.snapshot() == before, "what is no part of a release is not looked at"
    fleet.execute("app3", "rm", "/opt/storefront/previous.new")
    fleet.execute("app3", "mkdir", "/opt/storefront/releases/9.9.9-000000000000")
    assert fleet.snapshot() != before
    fleet.execute("app3", "rmdir", "/opt/storefront/releases/9.9.9-000000000000")
