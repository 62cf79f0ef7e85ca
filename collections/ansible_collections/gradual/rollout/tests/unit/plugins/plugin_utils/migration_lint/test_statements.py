# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint says of statements: each rule fires where it should, and nowhere else. Squawk's own program reads
all of them too."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge, squawk, statements
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import (
    EXPAND_ONLY,
    RULES,
    table,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, Unseen
from ansible_collections.gradual.rollout.tests.unit.places import PROJECT, needs_checkout
from ansible_collections.gradual.rollout.tests.unit.sample_statements import ALONE, CONTRACT, TABLE

ROWS = [(sql, wanted, "expand", 1) for sql, wanted in TABLE] + [(sql, wanted, "expand", None) for sql, wanted in ALONE]
ROWS += [(sql, wanted, "contract", 1) for sql, wanted in CONTRACT]


def source(
    sql: str, revision: str = "r", phase: str = "expand", transaction: int | None = 1, *unseen: Unseen
) -> Source:
    return Source(revision, phase, f"{revision}.sql", (Piece(sql, 1, transaction),), unseen)


@pytest.fixture(scope="module")
def judged() -> dict[str, set[str]]:
    """Number of the row → rules that were found. All in one go, so that squawk starts once."""
    reads = [
        statements.read(source(sql, str(number), phase, transaction))
        for number, (sql, _wanted, phase, transaction) in enumerate(ROWS)
    ]
    said: dict[int, list[squawk.Said]] = {}
    for one in squawk.listen(reads):
        said.setdefault(one.read, []).append(one)
    # No row knows of another one.
    return {
        str(number): {one["rule"] for one in judge.revision(read, said.get(number, []), State())}
        for number, read in enumerate(reads)
    }


@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=[f"{phase} {transaction} {sql[:60]}" for sql, _wanted, phase, transaction in ROWS]
)
def test_a_revision_breaks_these_rules_and_no_others(number: int, judged: dict[str, set[str]]) -> None:
    assert judged[str(number)] == ROWS[number][1]


def test_every_rule_has_a_row() -> None:
    fired = set().union(*(wanted for _sql, wanted, _phase, _transaction in ROWS))
    # These two are about files, not about statements: test_sources.py has them.
    assert set(RULES) - fired == {"phase-missing", "asks-database"}


def test_every_rule_of_squawk_that_is_mapped_leads_to_one_of_ours() -> None:
    assert {rule for rule in squawk.SQUAWK.values() if rule is not None} <= set(RULES)
    assert set(RULES) >= EXPAND_ONLY


def test_a_finding_says_where_what_and_what_instead() -> None:
    (found,) = judge.judge(
        [
            source(
                "SELECT 1;\n\n-- all of it\nALTER TABLE shop.orders\n  ALTER COLUMN total TYPE bigint, SET (fillfactor"
                " = 70);",
                "0007",
            )
        ]
    )
    assert found == {
        "revision": "0007", "file": "0007.sql", "line": 4, "rule": "changing-column-type",
        "statement": "ALTER TABLE shop.orders ALTER COLUMN total TYPE bigint, SET (fillfactor = 70)",
        "lock": "AccessExclusiveLock on shop.orders",
        "why": RULES["changing-column-type"].why + "; the old type of shop.orders.total is not known, and some changes"
        " rewrite nothing: let the release say it (existing_type= in Alembic, or the revision that creates the column)",
        "instead": RULES["changing-column-type"].instead, "level": "error", "waived": None,
    }  # fmt: skip


def test_a_check_that_an_earlier_revision_validated_makes_set_not_null_quick() -> None:
    road = [
        source("ALTER TABLE orders ADD CONSTRAINT filled CHECK (total IS NOT NULL) NOT VALID", "1", "contract"),
        source("ALTER TABLE orders VALIDATE CONSTRAINT filled", "2", "contract"),
        source("ALTER TABLE orders ALTER COLUMN total SET NOT NULL", "3", "contract"),
    ]
    assert judge.judge(road) == []
    assert [one["rule"] for one in judge.judge([road[0], road[2]])] == ["adding-not-nullable-field"]


def test_a_line_in_a_block_is_the_line_of_its_statement() -> None:
    (found,) = judge.judge([source("SELECT 1;\nDO $$\nBEGIN\n  PERFORM 1;\n  UPDATE orders SET a = 1;\nEND $$")])
    assert (found["line"], found["statement"]) == (5, "UPDATE orders SET a = 1")


def test_statements_of_more_than_one_byte_a_character_keep_their_lines() -> None:
    found = judge.judge(
        [source("COMMENT ON TABLE orders IS 'Größe in €';\nUPDATE orders SET a = 'ü';\nDROP TABLE orders")]
    )
    assert [(one["line"], one["rule"]) for one in found] == [(2, "whole-table-update"), (3, "drop-in-expand")]


@needs_checkout
def test_the_page_for_users_has_this_table() -> None:
    page = (PROJECT / "docs/migration-lint.md").read_text(encoding="utf-8")
    assert "\n".join(table()) in page, "docs/migration-lint.md: write rules.table() there"
