# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Revisions whose files name no phase: what the manifest says of them, what migration_lint chooses, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge

OTHERS = {
    "0001_a": "CREATE TABLE orders (id bigint PRIMARY KEY);\n",
    "0002_b": "ALTER TABLE orders ADD COLUMN note text;\n",
    "0003_c": "\nDROP TABLE orders;\n",
}


def silent(release: Path, *more: str) -> Path:
    """A release whose files name no phase."""
    for number, (name, text) in enumerate([*OTHERS.items(), *((f"0004_{one[:4]}", one) for one in more)]):
        (release / f"migrations/{name}.sql").write_text(text)
        assert number < 4
    return release


def test_by_lint_takes_what_only_adds_as_expand_and_leaves_the_rest(release: Path) -> None:
    found = judge.lint("sql", str(silent(release)), "migrations", "head", ["0001_a"], by_lint=True)
    assert found["phases"] == [
        {"revision": "0002_b", "phase": "expand", "reason": "by_lint: no finding of level error"},
        {"revision": "0003_c", "phase": "contract", "reason": "by_lint: drop-in-expand in line 2"},
    ]
    assert (found["revisions"], judge.stops(found["findings"]), found["mistakes"]) == (["0002_b"], [], [])


def test_without_by_lint_a_silent_file_stops_the_rollout(release: Path) -> None:
    found = judge.lint("sql", str(silent(release)), "migrations", "head", ["0001_a"])
    assert [(one["revision"], one["rule"]) for one in judge.stops(found["findings"])] == [
        ("0002_b", "phase-missing"),
        ("0003_c", "phase-missing"),
    ]
    assert found["phases"] == []


def test_a_waiver_makes_a_revision_expand_by_lint(release: Path) -> None:
    waiver = {
        "revision": "0003_c",
        "rule": "drop-in-expand",
        "reason": "nobody reads this table",
        "until": "2999-01-01",
    }
    found = judge.lint("sql", str(silent(release)), "migrations", "head", by_lint=True, waivers=[waiver])
    assert [one["phase"] for one in found["phases"]] == ["expand"] * 3
    assert found["mistakes"] == []


def test_what_the_manifest_says_is_judged_as_that_phase_and_is_not_left_to_the_lint(release: Path) -> None:
    entries = [{"pattern": "000[23]_*", "phase": "expand", "reason": "looked at by us"}]
    found = judge.lint("sql", str(silent(release)), "migrations", "head", ["0001_a"], phases=entries, by_lint=True)
    assert [one["reason"] for one in found["phases"]] == ["looked at by us"] * 2
    assert [(one["revision"], one["rule"]) for one in judge.stops(found["findings"])] == [("0003_c", "drop-in-expand")]


def test_expand_behind_contract_is_told_before_the_backup(release: Path) -> None:
    release = silent(release, "CREATE TABLE later (id bigint PRIMARY KEY);\n")
    (told,) = judge.lint("sql", str(release), "migrations", "head", ["0001_a"], by_lint=True)["mistakes"]
    assert "is an expand revision, but it depends on 0003_c, whose phase is contract (by_lint: drop-in" in told


def test_an_applied_revision_that_was_edited_is_told_before_the_backup(release: Path) -> None:
    silent(release)
    tool = adapters.of("sql", str(release), "migrations")
    known = {name: one.sha256 for name, one in tool.revisions.items()}
    (release / "migrations/0001_a.sql").write_text(f"-- A comment\n\n{OTHERS['0001_a']}")
    judge.lint("sql", str(release), "migrations", "head", ["0001_a"], applied=known)
    (release / "migrations/0001_a.sql").write_text("CREATE TABLE orders (id int PRIMARY KEY);\n")
    with pytest.raises(DatabaseError, match=r"0001_a\.sql was edited after it was applied"):
        judge.lint("sql", str(release), "migrations", "head", ["0001_a"], applied=known)
    # A revision that is still to be applied may be edited.
    judge.lint("sql", str(release), "migrations", "head", [], applied=known)
