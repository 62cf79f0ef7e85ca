"""What the projects bench computes from what it saw, and the settings of its projects. The migrations themselves need
the network, so only `make bench-projects` runs them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.bench.projects.page import check, judgement, page, ratio
from tests.bench.projects.releases import NEW, OLD, Project, projects
from tests.bench.projects.runs import differing

PROJECT = Project(
    name="shop", title="Shop", adapter="django", path=".", tool="django",
    requirements={OLD: ["shop==1.0"], NEW: ["shop==2.0"]}, create=["manage.py"], upgrade=["manage.py"], files={},
    phases=[{"app": "old", "phase": "contract", "reason": "it drops"}],
    accepted=[{"pattern": "shop.0002_*", "reason": "nobody writes"}],
    judged=[
        {"rule": "drop-in-expand", "revision": "shop.0003_c", "right": False, "why": "nothing is dropped"},
        {"rule": "drop-in-expand", "right": True, "why": "it is dropped"},
    ],
)  # fmt: skip
KNOWN = [PROJECT, *(replace(PROJECT, name=f"other-{number}", adapter="alembic") for number in range(4))]


def finding(revision: str, level: str = "error", rule: str = "drop-in-expand") -> dict[str, Any]:
    return {"revision": revision, "line": 1, "rule": rule, "level": level, "statement": "DROP TABLE a", "why": "-"}


GOOD: dict[str, Any] = {
    "name": "shop", "title": "Shop", "adapter": "django", "distribution": "shop", "old": "1.0", "new": "2.0",
    "tool": "django 5", "lint_seconds": 1.0, "mistakes": [], "findings": [finding("shop.0001_a")] * 40,
    "by_lint": [{"revision": "shop.0001_a", "phase": "contract", "reason": "-"}], "phases": [{"phase": "expand"}],
    "waivers": 1, "own": [2.0, 4.0, 3.0], "ours": [3.0, 3.0, 6.0], "same_schema": True, "expand": 2, "reverted": 2,
    "irreversible": "", "own_reverts": True, "same_as_before": True, "expanded_again": 2, "contract": 1,
    "differs": [], "changes_at_the_end": 0, "attempts": 3, "notes": [],
}  # fmt: skip


def results(**changes: Any) -> dict[str, Any]:
    """Five projects, the last of which differs."""
    others = [{**GOOD, "name": one.name, "adapter": one.adapter} for one in KNOWN[1:]]
    return {"conditions": "one machine", "projects": [*others, {**GOOD, **changes}]}


def broken(**changes: Any) -> list[str]:
    """The claims that do not hold."""
    return [claim for holds, claim, _told in check(results(**changes), KNOWN) if not holds]


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({}, []),
        ({"same_schema": False}, ["forward: the same schema as by the project's own tool"]),
        (
            {"reverted": 1, "expanded_again": 1},
            ["back: to the schema of before, as far as the project's own tool can revert"],
        ),
        ({"same_as_before": False}, ["back: to the schema of before, as far as the project's own tool can revert"]),
        ({"irreversible": "it cannot", "own_reverts": False, "reverted": 1, "same_as_before": False}, []),
        ({"irreversible": "it cannot"}, ["back: to the schema of before, as far as the project's own tool can revert"]),
        ({"expanded_again": 1}, ["forward again: what was reverted"]),
        ({"changes_at_the_end": 1}, ["once more: 0 changes"]),
        ({"ours": [5.0]}, ["shop: ≤ 1.5 × the time of its own tool"]),
        ({"adapter": "alembic"}, ["at least 5 projects, of both tools"]),
        ({"findings": [finding("shop.0001_a", rule="truncate")]}, ["every error is judged by hand"]),
        ({"findings": [finding("shop.0003_c")] * 40}, ["of the errors, 95% or more are right"]),
        # A warning stops nothing, so it is not judged.
        ({"findings": [finding("shop.0003_c", "warning")] * 40}, []),
    ],
)
def test_each_claim_fails_alone(changes: dict[str, Any], claims: list[str]) -> None:
    assert broken(**changes) == claims


def test_a_column_that_comes_back_may_be_the_last_one() -> None:
    before = "CREATE TABLE a (\n    b integer,\n    c text,\n    d text\n);"
    assert differing(before, "CREATE TABLE a (\n    b integer,\n    d text,\n    c text\n);") == []
    assert differing(before, "CREATE TABLE a (\n    b integer,\n    c text\n);") == ["-     d text"]
    assert differing(before, before.replace("c text", "c bigint")) == ["-     c text", "+     c bigint"]


def test_the_median_counts() -> None:
    assert ratio(GOOD) == pytest.approx(1.0)


def test_a_judgement_of_one_revision_comes_first() -> None:
    assert judgement(finding("shop.0003_c"), PROJECT) == PROJECT.judged[0]
    assert judgement(finding("shop.0001_a"), PROJECT) == PROJECT.judged[1]
    assert judgement(finding("shop.0001_a", rule="truncate"), PROJECT) is None


def test_what_is_accepted_is_waived_once_for_each_rule() -> None:
    found = [finding("shop.0002_b"), finding("shop.0002_b"), finding("shop.0002_b", "warning", "x"), finding("shop.1")]
    assert PROJECT.waivers(found) == [
        {"revision": "shop.0002_b", "rule": "drop-in-expand", "reason": "nobody writes", "until": "2999-12-31"}
    ]


def test_the_page_tells_what_was_seen() -> None:
    text = page(results(irreversible="shop.0002_b: RunPython cannot be reverted"), KNOWN, "data.json")
    assert "| Shop (`shop`) | 1.0 | 2.0 | django 5 | 1 |" in text
    assert "- shop: its own tool can. shop.0002_b: RunPython cannot be reverted" in text
    assert "| drop-in-expand | error | 40 | 40 | 40 | 40 | 40 |" in text
    assert "| shop | `shop.0002_*` | waivers of all errors | nobody writes |" in text
    assert "| shop | drop-in-expand | shop.0001_a | 40 | right | it is dropped |" in text


@pytest.mark.parametrize("project", projects(), ids=lambda one: one.name)
def test_a_project_is_pinned_and_of_a_few_lines(project: Project) -> None:
    for which in (OLD, NEW):
        assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", one) for one in project.requirements[which])
    old, new = (project.requirements[which][0] for which in (OLD, NEW))
    assert old.partition("==")[0] == new.partition("==")[0] == project.distribution
    assert old != new
    assert all(entry["reason"] for entry in (*project.phases, *project.accepted))
    assert all(isinstance(entry["right"], bool) and entry["why"] for entry in project.judged)
