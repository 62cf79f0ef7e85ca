"""After the last test: what each story took, and what its users saw."""

from __future__ import annotations

import json

import pytest

from tests.support.fixtures import baseline, finished, run
from tests.support.story import STORIES

__all__ = ["baseline", "finished", "run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The stories first, then what begins where the last of them ended; so 2.0.0 is not rolled out once more for it."""

    def turn(item: pytest.Item) -> int:
        if item.path.name == "test_stories.py":
            return 0
        return 1 if "finished" in getattr(item, "fixturenames", ()) else 2

    items.sort(key=turn)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = []
    for path in sorted(STORIES.glob("*/story.json"), key=lambda path: path.stat().st_mtime):
        record = json.loads(path.read_text())
        load = path.with_name("load.json")
        users = json.loads(load.read_text()) if load.exists() else {"sent": 0, "failed": 0, "p95_seconds": None}
        plays = ", ".join(f"{play['playbook'].removesuffix('.yml')} {play['seconds']:.0f} s → {play['status']}" for play in record["plays"])
        rows.append(f"{record['story']:22} {record['prepared_seconds']:7.0f} {record['seconds']:7.0f} {users['sent']:7} {users['failed']:7}   {plays}")
    if rows:
        terminalreporter.section("stories: seconds to prepare, seconds, requests sent and failed, playbooks")
        terminalreporter.write_line(f"{'story':22} {'prepare':>7} {'story':>7} {'sent':>7} {'failed':>7}   playbooks with seconds and exit status")
        terminalreporter.write_line("\n".join(rows))
