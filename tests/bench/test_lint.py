"""What the lint bench computes from what it saw, its corpus, and the other tools' checks. tests/database tries the
truth on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.lint import cases, databases, page, projects, truth, verdicts
from tests.bench.lint.cases import Case
from tests.bench.lint.truth import Seen
from tests.bench.lint.verdicts import OURS, OURS_AND_WARNINGS, TOOLS

MANY = "changes or locks 100% of orders"


def case(sql: str, **more: Any) -> Case:
    return Case("columns", sql, cases.split(sql), **more)


def result(
    harmful: bool, stopped: bool, warned: bool = False, topic: str = "columns", reason: str = "old code: it fails"
) -> dict[str, Any]:
    """A case as results.json has it, which every tool but ours lets pass."""
    said: dict[str, list[str]] = {tool: [] for tool in TOOLS} | {
        OURS: ["a-rule"] if stopped else [],
        OURS_AND_WARNINGS: ["a-rule"] if stopped or warned else [],
    }
    return {
        "topic": topic, "title": "one", "sql": "SELECT 1", "tool": "sql", "file": "", "statements": [],
        "transaction": True, "earlier": [],
        "by_hand": "", "harmful": harmful, "reasons": [reason] if harmful else [], "lock": "",
        "rewritten": [], "indexes": 0, "pages": [0, 0], "verdicts": said,
    }  # fmt: skip


RIGHT = [*[result(True, True)] * 160, *[result(False, False)] * 160]
OPERATIONS = [*[result(True, True, topic="django")] * 30, *[result(False, False, topic="alembic")] * 31]


def test_the_corpus_is_large_and_no_case_is_there_twice() -> None:
    statements = cases.cases()
    assert len(statements) >= page.STATEMENTS
    operations = [text for tool in page.TOOLS_OF_MIGRATIONS for _notes, text in projects.blocks(tool)]
    assert len(set(operations)) == len(operations) >= page.OPERATIONS


def test_a_case_that_is_there_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for topic in cases.TOPICS:
        (tmp_path / f"{topic}.sql").write_text("SELECT 1\n\nselect  1;\n" if topic == "rows" else "")
    monkeypatch.setattr(cases, "DATA", tmp_path)
    with pytest.raises(ValueError, match="there twice: rows: SELECT 1 and rows: select 1"):
        cases.cases()


def test_a_block_of_a_file_becomes_a_case() -> None:
    text = (
        "-- only a comment\n\n-- earlier: CREATE TABLE a ()\n-- outside\n-- by hand: harmful, why\n-- two\nA;\nSELECT 1"
    )
    assert list(cases.parsed("rows", text)) == [
        Case(
            "rows", "two", ("A;\nSELECT 1",), transaction=False, earlier=("CREATE TABLE a ()",),
            by_hand="harmful, why",
        )
    ]  # fmt: skip
    (plain,) = cases.parsed("rows", "SELECT 1;\nSELECT 2")
    assert (plain.title, plain.statements, plain.transaction) == ("SELECT 1; SELECT 2", ("SELECT 1", "SELECT 2"), True)


@pytest.mark.parametrize(
    ("small", "large", "wanted"),
    [
        (Seen(), Seen(), []),
        (Seen(locks={"orders": "AccessExclusiveLock"}), Seen(), []),
        (Seen(error="no"), Seen(error="no"), ["PostgreSQL refuses it: no"]),
        (Seen(blocked=100), Seen(blocked=150), []),
        (Seen(blocked=100), Seen(blocked=151), ["blocks for as long as the table is large"]),
        (Seen(changed={"orders": 0.5}), Seen(), []),
        (Seen(changed={"orders": 0.51}), Seen(), ["changes or locks 51% of orders"]),
        (Seen(old_code=["SELECT 1 → 2"]), Seen(), ["old code: SELECT 1 → 2"]),
    ],
)
def test_what_makes_a_case_harmful(small: Seen, large: Seen, wanted: list[str]) -> None:
    found = list(truth.reasons(small, large))
    assert len(found) == len(wanted)
    assert all(one.startswith(start) for one, start in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("found", "precision", "recall"),
    [
        ([], None, None),
        ([result(False, False)], None, None),
        ([result(True, True), result(False, False)], 1.0, 1.0),
        ([result(True, True), result(False, True)], 0.5, 1.0),
        ([result(True, True), result(True, False)], 1.0, 0.5),
        ([result(True, False)], None, 0.0),
    ],
)
def test_precision_and_recall(found: list[dict[str, Any]], precision: float | None, recall: float | None) -> None:
    assert page.score(found, OURS) == (precision, recall)


def test_a_warning_counts_only_where_warnings_count() -> None:
    found = [result(True, False, warned=True)]
    assert page.score(found, OURS) == (None, 0.0)
    assert page.score(found, OURS_AND_WARNINGS) == (1.0, 1.0)
    rows = [result(True, False, warned=True, reason=MANY), result(True, False, reason=MANY)]
    assert page.score(rows, OURS) == (None, 0.5)
    assert page.score([result(False, False, warned=True)], OURS) == (None, None)


@pytest.mark.parametrize(
    ("reasons", "level"),
    [
        ((), ""),
        (("changes or locks 100% of orders",), "warning"),
        (("changes or locks 100% of orders", "old code: SELECT note FROM orders → [('x',)]"), "warning"),
        (("changes or locks 100% of orders", "old code: SELECT note FROM orders → error: no"), "error"),
        (("old code: SELECT note FROM orders → [('x',)]",), "error"),
        (("PostgreSQL refuses it: no",), "error"),
        (("blocks for as long as the table is large", "changes or locks 100% of orders"), "error"),
    ],
)
def test_many_rows_alone_deserve_a_warning(reasons: tuple[str, ...], level: str) -> None:
    assert truth.level(reasons) == level


def test_old_code_writes_the_columns_of_an_earlier_rollout() -> None:
    found = databases.writes(("ALTER TABLE users ADD COLUMN badge int", "CREATE INDEX i ON users (badge)"))
    assert found[0] == "UPDATE users SET badge = 0 WHERE ctid IN (SELECT ctid FROM users ORDER BY ctid LIMIT 2)"
    assert len(found) == 3


@pytest.mark.parametrize(
    ("cases", "what"),
    [
        ([*RIGHT, *OPERATIONS], None),
        ([*RIGHT[20:-20], *OPERATIONS], "at least 300 cases in SQL"),
        ([*RIGHT, *OPERATIONS[:2], *OPERATIONS[-2:]], "at least 60 operations of Alembic and Django"),
        ([*RIGHT, *OPERATIONS, *[result(False, False)] * 300], "about half of the cases do harm"),
        ([*RIGHT, *OPERATIONS, *[result(False, True)] * 6], "Gradual, SQL: precision ≥ 0.97"),
        ([*RIGHT, *OPERATIONS, *[result(True, False)] * 6], "Gradual, SQL: recall ≥ 0.97"),
        ([*RIGHT, *OPERATIONS, result(True, False, topic="django")], "Gradual, operations: recall ≥ 0.97"),
    ],
)
def test_each_claim_can_fail(cases: list[dict[str, Any]], what: str | None) -> None:
    broken = [claim for holds, claim, _told in page.check({"cases": cases}) if not holds]
    assert broken == ([] if what is None else [what])


def test_the_page_lists_wrong_verdicts_harmful_ones_first() -> None:
    text = page.page(
        {"conditions": "PostgreSQL 15", "cases": [*RIGHT, result(False, True), result(True, False)]}, "results.json"
    )
    wrong = text.split("## Wrong verdicts of Gradual")[1]
    assert [line for line in wrong.splitlines() if line.startswith("| columns")] == [
        "| columns | `SELECT 1` | harmful: old code: it fails | passes |",
        "| columns | `SELECT 1` | harmless | a-rule |",
    ]
    assert "0 of 322 cases have a label by hand." in text


def test_lines_for_whoever_mends_the_rules() -> None:
    assert list(page.wrong_verdicts({"cases": [*RIGHT, result(True, False, warned=True)]})) == [
        "columns: one", "    sql: SELECT 1", "    transaction: one; lock: none",
        "    truth: HARMFUL: old code: it fails", "    verdict: passes; warnings: a-rule",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("ALTER TABLE a ADD COLUMN b int", []),
        ("ALTER TABLE a ADD COLUMN b int DEFAULT 0", []),
        ("ALTER TABLE a ADD COLUMN b float DEFAULT random()", ["adding a column with a volatile default"]),
        ("ALTER TABLE a ADD COLUMN b bigserial", ["adding an auto-incrementing column"]),
        ("ALTER TABLE a ADD COLUMN b json", ["adding a json column"]),
        ("ALTER TABLE a DROP COLUMN b", ["removing a column"]),
        ("ALTER TABLE a ALTER b TYPE int", ["changing the type of a column"]),
        ("ALTER TABLE a ALTER b TYPE text", []),
        ("ALTER TABLE a ADD CHECK (b > 0)", ["adding a check constraint"]),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID", []),
        ("ALTER TABLE a ADD CONSTRAINT c UNIQUE USING INDEX i", []),
        ("ALTER TABLE a RENAME TO c", ["renaming a table"]),
        ("CREATE INDEX ON a (b)", ["adding an index non-concurrently"]),
        ("CREATE INDEX CONCURRENTLY ON a (b)", []),
        ("CREATE TABLE a (b int); CREATE INDEX ON a (b)", []),
        ("UPDATE a SET b = 1", []),
        ("ALTER TABLE a ADD b int; UPDATE a SET b = 1", ["backfilling data in the transaction that alters a table"]),
        ("VACUUM FULL a", []),
    ],
)
def test_checks_of_strong_migrations(sql: str, wanted: list[str]) -> None:
    assert list(verdicts.strong(verdicts.nodes(case(sql)))) == wanted


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("CREATE TABLE a (b int)", []),
        ("ALTER TABLE a ALTER b TYPE bigint", []),
        ("ALTER TABLE a SET LOGGED", ["raw SQL"]),
        ("UPDATE a SET b = 1", ["raw SQL"]),
        ("DROP VIEW a", ["raw SQL"]),
        ("not SQL at all", ["raw SQL"]),
    ],
)
def test_what_pgroll_cannot_express(sql: str, wanted: list[str]) -> None:
    assert list(verdicts.pgroll(verdicts.nodes(case(sql)))) == wanted


def test_squawk_as_it_comes_speaks_of_style_too() -> None:
    table = case("CREATE TABLE a (b int)")
    assert "prefer-bigint-over-int" in verdicts.squawk_as_it_comes(table)
    assert verdicts.squawk_without_style(table) == []
    index = case("CREATE INDEX i ON a (b)")
    assert verdicts.squawk_without_style(index) == ["require-concurrent-index-creation"]
    assert "require-concurrent-index-creation" in verdicts.squawk_as_it_comes(index)


def test_alembic_makes_the_sql_of_its_own_operations() -> None:
    assert projects.offline_sql('op.drop_column("orders", "code")') == [
        "BEGIN", "ALTER TABLE orders DROP COLUMN code", "COMMIT",
    ]  # fmt: skip
