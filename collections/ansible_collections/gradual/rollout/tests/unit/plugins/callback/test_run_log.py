# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The log of a run: one line for each result, without what is to be hidden."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.callback import run_log


@pytest.mark.parametrize(
    ("host", "outcome", "result", "item", "wanted"),
    [
        ("app1", "ok", {"msg": "fine"}, None, "ok          app1         Probe: fine"),
        ("app1", "ok", {"secret": "x"}, None, "ok          app1         Probe"),
        ("app1", "failed", {"msg": "a\nb\x1b[31m"}, "one", "failed      app1         Probe (one): a b [31m"),
        ("app1", "failed", {"msg": "hunter2", "_ansible_no_log": True}, "hunter2", "failed      app1         Probe"),
        ("app1", "failed", {"msg": "hunter2", "censored": "hidden"}, None, "failed      app1         Probe"),
        ("app1", "ok", {"msg": ["a", "b"]}, None, "ok          app1         Probe: a | b"),
        ("app1", "ok", {"msg": "All items completed"}, None, "ok          app1         Probe"),
    ],
)
def test_a_line_of_the_log(host: str, outcome: str, result: dict[str, Any], item: Any, wanted: str) -> None:
    assert run_log.line(host, outcome, "Probe", result, item) == wanted
