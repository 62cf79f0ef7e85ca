"""What the files of sqitch and plain SQL say, read as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    adapters,
    failure_message,
    sql_text,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sqitch import Sqitch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.tests.unit.sample_django import staged

EXPAND = "-- gradual: phase=expand\n"


ATOMIC = "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC"
NESTED = f"{ATOMIC} SELECT 'END'; SELECT case case 1 when 2 then 3 end when 3 then (case 4 when 5 then 6 end) end; END"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("-- a; b\nSELECT 1; /* c; /* d; */ e; */ SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';--', \";\", E'\\';', 'it''s;'", ["SELECT ';--', \";\", E'\\';', 'it''s;'"]),
        (
            "DO $body$ BEGIN PERFORM 1; COMMIT; END $body$; SELECT $$;$$",
            ["DO $body$ BEGIN PERFORM 1; COMMIT; END $body$", "SELECT $$;$$"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"],
        ),
        (
            "DO $a$ BEGIN EXECUTE $b$ SELECT 1; $b$; END $a$; SELECT 2",
            ["DO $a$ BEGIN EXECUTE $b$ SELECT 1; $b$; END $a$", "SELECT 2"],
        ),
        ("SELECT 1;\n/*\n Why; when.\n*/\n", ["SELECT 1"]),
        # What psql counts as open: parentheses, and CASE ... END in a body.
        (f"{ATOMIC} SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
         [f"{ATOMIC} SELECT CASE WHEN true THEN 1 END; SELECT 2; END", "SELECT 3"]),
        (f"{ATOMIC} SELECT 1 AS weekend; SELECT 2; END; SELECT 3",
         [f"{ATOMIC} SELECT 1 AS weekend; SELECT 2; END", "SELECT 3"]),
        (f"{NESTED}; SELECT 3", [NESTED, "SELECT 3"]),
        ("CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END; SELECT 3",
         ["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "SELECT 3"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
         ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"]),
        ("SELECT 'begin atomic'; SELECT 3", ["SELECT 'begin atomic'", "SELECT 3"]),
        # Names that hold a dollar, and a type before a text that is no E'...'.
        ("SELECT a$b$ FROM t; SELECT b$b$ FROM t", ["SELECT a$b$ FROM t", "SELECT b$b$ FROM t"]),
        ("SELECT date'2026-01-01\\'; SELECT $é$;$é$", ["SELECT date'2026-01-01\\'", "SELECT $é$;$é$"]),
        # A carriage return alone ends a comment too.
        ("-- a\rDROP TABLE t;\n-- b\r\nSELECT 2;", ["DROP TABLE t", "SELECT 2"]),
        (" ;; \n", []),
    ],
)  # fmt: skip
def test_statements_end_where_postgresql_sees_their_end(text: str, found: list[str]) -> None:
    assert sql_text.statements(text, "some.sql") == found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n\\connect other", "line 2, has a backslash command"),
        ("\\set ON_ERROR_STOP off", "backslash command"),
        ("SELECT 'x", "not closed"),
        ("SELECT $$x", "not closed"),
        ("/* x", "comment that is not closed"),
    ],
)
def test_what_would_take_psql_out_of_hand_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        sql_text.statements(text, "some.sql")


PLAN = """%syntax-version=1.0.0
%project=shop

# A comment
orders 2026-11-01T12:00:00Z A Person <a@example.org> # What it holds
view [orders] 2026-11-02T12:00:00Z A Person <a@example.org>
@v1 2026-11-03T12:00:00Z A Person <a@example.org> # First

view [view@v1] 2026-11-04T12:00:00Z A Person <a@example.org>
"""


def test_a_plan_of_sqitch_with_a_reworked_change(tmp_path: Path) -> None:
    scripts = {
        f"db/deploy/{name}.sql": f"{EXPAND}BEGIN;\nSELECT 1;\nCOMMIT;\n" for name in ("orders", "view@v1", "view")
    }
    adapter = Sqitch(staged(tmp_path, {"db/sqitch.plan": PLAN, **scripts}), "db")
    assert [(one.revision, one.parents, one.transactional) for one in adapter.pending([], "head")] == [
        ("orders", (), True),
        ("view@v1", ("orders",), True),
        ("view", ("view@v1",), True),
    ]
    assert adapter.revisions["orders"].description == "What it holds"
    assert adapter.apply(adapter.revisions["view@v1"]).argv[:6] == (
        "sqitch",
        "--no-pager",
        "deploy",
        "db:pg:",
        "--to-change",
        "view@v1",
    )
    assert adapter.revert(adapter.revisions["view"]).argv[3:6] == ("db:pg:", "--to-change", "view@v1")


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (None, "the plan .* cannot be read"),
        ("orders 2026 A <a@b>\n", "no line %project="),
        ("%project=shop\n@v1 2026 A <a@b>\n", "before any change"),
        ("%project=shop\na 2026 A <a@b>\na 2026 A <a@b>\n", "reworked without a tag"),
        ("%project=shop\na 2026 A <a@b>\n", "deploy script of a"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(tmp_path: Path, plan: str | None, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        Sqitch(staged(tmp_path, {"db/sqitch.plan": plan} if plan else {}), "db")


def test_an_unknown_tool_is_told() -> None:
    with pytest.raises(DatabaseError, match="expected one of alembic, django, sql, sqitch"):
        adapters.of("flyway", "/", ".")


@pytest.mark.parametrize(
    ("transactional", "unsure", "said"),
    [
        (True, False, "nothing of it is left"),
        (True, True, "may be applied without being recorded"),
        (False, False, "parts of it may be applied"),
    ],
)
def test_what_may_be_left_is_told_as_what_is_known(transactional: bool, unsure: bool, said: str) -> None:
    assert said in failure_message.remains(
        Revision("a", (), "expand", "", False, "a.sql", transactional=transactional), unsure
    )


NOW = {"system_identifier": "1", "timeline": 1, "standby": False}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timeline": 2}, "there was a failover: the server that came back is on timeline 2, this run began on 1"),
        ({"standby": True}, "is a standby: there was a failover"),
        ({"system_identifier": "2"}, "is of another cluster"),
    ],
)
def test_a_server_that_is_another_one_is_not_gone_on_with(change: dict[str, object], said: str) -> None:
    failure_message.same_server(NOW, dict(NOW), "0002")
    with pytest.raises(DatabaseError, match=f"{said}.*is at 0002.*take a new backup"):
        failure_message.same_server(NOW, {**NOW, **change}, "0002")
