# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The host in the group database_primary must be the one, and the only one, that takes writes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.primary import database_problems

WRITES: dict[str, Any] = {"standby": False, "recorded": []}
STREAMS: dict[str, Any] = {"standby": True, "recorded": []}
SILENT: dict[str, Any] = {"standby": None, "recorded": None, "reason": "connection refused"}


@pytest.mark.parametrize("found", [{"db1": WRITES}, {"db1": WRITES, "db2": STREAMS}, {"db0": SILENT, "db1": WRITES}])
def test_a_primary_that_takes_writes_alone_is_no_problem(found: dict[str, Any]) -> None:
    assert database_problems(found, "db1") == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"db1": STREAMS, "db2": WRITES},
            (
                "group database_primary, and it is a standby (pg_is_in_recovery() is true); db2 takes writes: write db2"
                " into that"
            ),
        ),
        (
            {"db1": STREAMS},
            (
                "no host of the group database was seen to take writes: write the one that does into both groups, or"
                " promote this one"
            ),
        ),
        ({"db1": STREAMS, "db2": SILENT}, "no host of the group database was seen to take writes"),
        (
            {"db1": SILENT, "db2": WRITES},
            (
                "cannot be asked whether it takes writes: connection refused; mend that, or write the host that takes"
                " writes"
            ),
        ),
        ({"db1": {}}, "it was not looked at"),
        (
            {"db1": WRITES, "db2": WRITES},
            "db2: it takes writes (pg_is_in_recovery() is false), and so does db1 of the group database_primary",
        ),
    ],
)
def test_what_is_seen_and_what_to_write_is_said(found: dict[str, Any], said: str) -> None:
    (problem,) = database_problems(found, "db1")
    assert said in problem
