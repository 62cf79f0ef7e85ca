"""In which groups and in which order the fleet's tests are played; after the last one, what each story took and what
its users saw."""

from __future__ import annotations

import json

import pytest

from tests.support.fixtures import baseline, finished, run
from tests.support.story import STORIES

__all__ = ["baseline", "finished", "run"]


# The groups that `make test` plays: a release to all users and back, a feature that errs, a migration that fails, a
# first release, and every playbook alone. The others are marked `long` and played by `make fleet-test`: two cores have
# no time for all of them within the limit of CI.
CORE = {
    "good-release",
    "erring-feature",
    "failing-migration",
    "test_first_release.py",
    "test_manifests.py",
    "test_playbooks.py",
}


def group(item: pytest.Item) -> str:
    """The tests of one group are played in sequence on one fleet, while another fleet plays others.

    Whoever needs what a story leaves behind is of its group; otherwise each story and each file is a group.
    """
    if mark := item.get_closest_marker("xdist_group"):
        return str(mark.args[0])
    return "good-release" if {"good", "finished"} & set(getattr(item, "fixturenames", ())) else item.path.name


def place_in_group(item: pytest.Item) -> int:
    """The stories first; the one that takes the good release back after all that need it."""
    return 2 if "[rollback]" in item.name else 0 if item.path.name == "test_stories.py" else 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The groups of many tests first, single stories last, so that no fleet has much to do when the other has nothing
    left.

    In a group the stories come first, then what begins where they ended; so 2.0.0 is not rolled out once more for it.
    """
    groups = {item: group(item) for item in items}
    names = list(groups.values())
    for item, name in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
        if name not in CORE:
            item.add_marker("long")
    items.sort(
        key=lambda item: (
            names.count(groups[item]) == 1,
            names.index(groups[item]),
            place_in_group(item),
        )
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Two fleets that share a group would be told by nothing else than tests that fail now and then."""
    if getattr(item.config.option, "loadgroup", False) and not item.nodeid.endswith(f"@{group(item)}"):
        pytest.fail(
            f"pytest-xdist does not keep the group {group(item)} together: requirements.in says which pytest it knows",
            pytrace=False,
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = []
    for path in sorted(STORIES.glob("*/story.json"), key=lambda path: path.stat().st_mtime):
        record = json.loads(path.read_text())
        load = path.with_name("load.json")
        users = json.loads(load.read_text()) if load.exists() else {"sent": 0, "failed": 0, "p95_seconds": None}
        plays = ", ".join(
            f"{play['playbook'].removesuffix('.yml')} {play['seconds']:.0f} s → {play['status']}"
            for play in record["plays"]
        )
        rows.append(
            f"{record['story']:22} {record['fleet']:6} {record['prepared_seconds']:7.0f} {record['seconds']:7.0f}"
            f" {users['sent']:7} {users['failed']:7}   {plays}"
        )
    if rows:
        terminalreporter.section("stories: fleet, seconds to prepare, seconds, requests sent and failed, playbooks")
        terminalreporter.write_line(
            f"{'story':22} {'fleet':6} {'prepare':>7} {'story':>7} {'sent':>7} {'failed':>7}   "
            "playbooks with seconds and exit status"
        )
        terminalreporter.write_line("\n".join(rows))
