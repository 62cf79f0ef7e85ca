# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The texts of a report for people: report.md and report.html."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.report import (
    charts,
    document,
    page,
    text,
)
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample


def test_a_stage_that_was_not_reached_was_not_forgotten_to_be_measured(reports: dict[str, dict[str, Any]]) -> None:
    shown = text.render(reports["taken back"])
    assert "| 50 % | - | - | 0 | - | not reached |" in shown
    assert "| 25 % | 12:00:35 | - | 1 |" in shown
    assert page.render(reports["taken back"], {}).count("<small>not reached</small>") == 2


def test_the_page_stands_alone(reports: dict[str, dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib")
    drawn = charts.draw(reports["completed"])
    assert set(drawn) == {"share", "traffic", "latency", "variants", "timeline"}
    html = page.render(reports["completed"], drawn)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)[^"']+""", html), "no asset from elsewhere"
    assert "<script" not in html
    assert html == page.render(reports["completed"], charts.draw(reports["completed"])), "same report, same bytes"
    ids = re.findall(r'\bid="([^"]+)"', html)
    shared = {name for name in ids if ids.count(name) > 1}
    assert not shared


def test_the_page_shows_texts_of_others_as_texts() -> None:
    pytest.importorskip("jinja2")
    ledger = sample.opened()
    ledger.add("step.failed", step="release", host="app1", task="t", error="<script>alert(1)</script> | pipe")
    report = document.build(ledger.lines)
    assert "<script>alert" not in page.render(report, {})
    assert "\\| pipe" in text.render(report)


@pytest.mark.parametrize("name", list(sample.ALL))
def test_both_texts_can_be_made_of_every_ledger(reports: dict[str, dict[str, Any]], name: str) -> None:
    pytest.importorskip("jinja2")
    for content in (text.render(reports[name]), page.render(reports[name], {})):
        assert reports[name]["headline"] in content
        assert "None" not in content
