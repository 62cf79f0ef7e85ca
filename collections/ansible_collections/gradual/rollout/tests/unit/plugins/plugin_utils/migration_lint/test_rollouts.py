# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint knows from the revisions before: those of the same rollout, those that the database has had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source

# What a first release does with its own tables, which would be findings on tables with users.
FIRST = [
    (
        "CREATE TABLE users (id serial PRIMARY KEY, name varchar(50), mail text); CREATE VIEW v AS SELECT 1 AS a;"
        " CREATE TYPE colour AS ENUM ('red')"
    ),
    "CREATE TABLE orders (id serial PRIMARY KEY, user_id int REFERENCES users, state text DEFAULT 'new')",
    "CREATE UNIQUE INDEX by_mail ON users (mail); CREATE INDEX by_state ON orders (state)",
    "ALTER TABLE users ADD CONSTRAINT u UNIQUE (name); ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users",
    "ALTER TABLE users ALTER mail SET NOT NULL, ADD CHECK (name <> ''); ALTER TABLE users ADD a int NOT NULL",
    "ALTER TABLE users ALTER name TYPE int USING length(name); ALTER TABLE users DROP CONSTRAINT u",
    "INSERT INTO orders (user_id) SELECT id FROM users; UPDATE orders SET state = 'x'; DELETE FROM orders WHERE id > 1",
    "ALTER TABLE orders RENAME TO purchases; ALTER TABLE purchases DROP COLUMN state, SET UNLOGGED",
    "CREATE TABLE lines (a int REFERENCES purchases); ALTER TABLE purchases OWNER TO shop; DROP INDEX by_mail",
    "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE users DISABLE TRIGGER t",
    "ALTER SEQUENCE users_id_seq RESTART WITH 1000; SELECT setval('users_id_seq', 1000)",
    "GRANT SELECT ON v TO PUBLIC; REVOKE SELECT ON v FROM PUBLIC; DROP VIEW v",
    "ALTER TABLE users ADD b colour; ALTER TYPE colour RENAME VALUE 'red' TO 'x'",
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON users USING (true)",
    "DROP TABLE lines",
]


def source(sql: str, revision: str, **more: Any) -> Source:
    return Source(revision, "expand", f"{revision}.sql", (Piece(sql, 1, 1, **more),))


def found(revisions: list[str], rollout: list[int], empty: bool = False) -> list[str]:
    """Rules that are broken by the revisions of the rollout; others were applied before."""
    names = frozenset(str(number) for number in rollout)
    told = judge.judge([source(sql, str(number)) for number, sql in enumerate(revisions)], State(names, empty))
    return [one["rule"] for one in told if one["revision"] in names]


def test_what_one_rollout_creates_is_no_finding() -> None:
    assert found(FIRST, list(range(len(FIRST)))) == []


@pytest.mark.parametrize("number", range(2, len(FIRST)))
def test_the_same_on_tables_of_an_earlier_release_is_a_finding(number: int) -> None:
    assert found(FIRST, [number])


@pytest.mark.parametrize(
    ("sql", "on_empty"),
    [
        ("DROP FUNCTION IF EXISTS f()", []),
        ("REVOKE ALL ON SCHEMA public FROM PUBLIC", []),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", []),
        ("CREATE TABLE IF NOT EXISTS a (b int); CREATE INDEX i ON a (b)", []),
        ("DO $$ BEGIN CREATE TABLE a (b int); END $$; ALTER TABLE a ALTER b SET NOT NULL", []),
        # A table that no revision creates says that the database is not empty.
        ("DROP TABLE IF EXISTS a", ["drop-in-expand"]),
        ("CREATE INDEX i ON a (b)", ["require-concurrent-index-creation"]),
        # It fails on an empty database too.
        ("CREATE INDEX CONCURRENTLY i ON a (b)", ["ban-concurrent-index-creation-in-transaction"]),
    ],
)
def test_on_an_empty_database_there_is_no_old_code(sql: str, on_empty: list[str]) -> None:
    assert found([sql], [0], empty=True) == on_empty
    assert found([sql], [0])


@pytest.mark.parametrize(("empty", "rules"), [(True, []), (False, ["require-concurrent-index-creation"])])
def test_no_applied_revision_is_no_empty_database(tmp_path: Path, empty: bool, rules: list[str]) -> None:
    """Another tool may have made the table."""
    sql = "-- gradual: phase=expand\nCREATE TABLE IF NOT EXISTS a (b int); CREATE INDEX i ON a (b);"
    (tmp_path / "0001_a.sql").write_text(sql)
    told = judge.lint("sql", str(tmp_path), ".", "0001_a", [], empty=empty)
    assert [one["rule"] for one in told["findings"] if one["level"] == "error"] == rules


SETTINGS = "CREATE TABLE orders (id int, note varchar(50), total numeric(10, 2), at timestamp(3), mail text)"
CHANGES = [
    ("note TYPE varchar(80)", True),
    ("note TYPE text", True),
    ("note TYPE text USING note::text", True),
    ("total TYPE numeric(12, 2)", True),
    ("at TYPE timestamp", True),
    ("mail TYPE varchar", True),
    ("note TYPE varchar(20)", False),
    ("note TYPE text USING lower(note)", False),
    ('note TYPE text COLLATE "C"', False),
    ("total TYPE numeric(12, 3)", False),
    ("id TYPE bigint", False),
    ("mail TYPE varchar(80)", False),
    ("mail TYPE citext", False),
    ("other TYPE text", False),
]


@pytest.mark.parametrize(("change", "kept"), CHANGES)
def test_a_type_change_is_judged_by_the_old_type(change: str, kept: bool) -> None:
    rules = found([SETTINGS, f"ALTER TABLE orders ALTER COLUMN {change}"], [1])
    assert rules == ([] if kept else ["changing-column-type"])


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("ALTER TABLE orders ALTER note TYPE varchar(90)", False),
        ("ALTER TABLE orders ADD CHECK (note <> '')", False),
        ("CREATE INDEX i ON orders (lower(note))", False),
        ("CREATE INDEX i ON orders (id) WHERE note IS NULL", False),
        ("CREATE INDEX i ON orders (note)", True),
        # PostgreSQL refuses to change what these use.
        ("CREATE VIEW v AS SELECT note FROM orders", False),
        ("CREATE VIEW v AS SELECT * FROM orders; DROP VIEW v", True),
        ("CREATE VIEW v AS SELECT id FROM orders", True),
        ("ALTER TABLE orders ADD g text GENERATED ALWAYS AS (note) STORED", False),
        ("CREATE TRIGGER t AFTER UPDATE OF note ON orders FOR EACH ROW EXECUTE FUNCTION f()", False),
        ("ALTER TABLE orders RENAME note TO remark; ALTER TABLE orders RENAME total TO note", False),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS note varchar(90)", True),
    ],
)
def test_what_revisions_did_to_the_column_counts(before: str, kept: bool) -> None:
    rules = found([SETTINGS, before, "ALTER TABLE orders ALTER COLUMN note TYPE varchar(80)"], [2])
    assert rules == ([] if kept else ["changing-column-type"])


@pytest.mark.parametrize(
    ("old", "kept"), [("VARCHAR(50)", True), ("varchar(90)", False), ("no type", False), ("int", False)]
)
def test_the_source_may_tell_the_old_type(old: str, kept: bool) -> None:
    piece = source("ALTER TABLE orders ALTER COLUMN a TYPE varchar(80)", "1", known_types=(("orders", "a", old),))
    assert [one["rule"] for one in judge.judge([piece])] == ([] if kept else ["changing-column-type"])


def test_the_reason_says_what_is_known() -> None:
    told = judge.judge(
        [
            source(f"{SETTINGS}; ALTER TABLE other ALTER a TYPE text", "1"),
            source("ALTER TABLE orders ALTER note TYPE citext; ALTER TABLE orders ALTER total TYPE int", "2"),
            source("ALTER TABLE orders ADD a int; UPDATE orders SET a = 1 WHERE a IS NULL", "3"),
            source("ALTER TABLE orders ADD b pounds", "4"),
        ]
    )
    wanted = [
        "the old type of other.a is not known", "from varchar(50) the table itself is not rewritten",
        "the old type is numeric(10,2)", "(AccessExclusiveLock on orders)", "(pounds)",
    ]  # fmt: skip
    assert [text for text, one in zip(wanted, told, strict=True) if text in one["why"]] == wanted


def test_a_key_that_a_revision_made_bounds_an_update() -> None:
    made = "CREATE TABLE orders (number text UNIQUE, code text); CREATE UNIQUE INDEX i ON orders (code) WHERE code > ''"
    assert found([made, "UPDATE orders SET code = 'x' WHERE number = '7'"], [1]) == []
    assert found([made, "UPDATE orders SET number = 'x' WHERE code = '7'"], [1]) == ["unbounded-write"]


def test_constraints_and_functions_are_known_by_the_revision_that_made_them() -> None:
    made = (
        "CREATE TABLE orders (a int, b int, CONSTRAINT one UNIQUE (a), CONSTRAINT two CHECK (a > 0));"
        " CREATE UNIQUE INDEX three ON orders (b); CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    assert found([made, "ALTER TABLE orders DROP CONSTRAINT one"], [1]) == ["drop-key-in-expand"]
    assert found([made, "ALTER TABLE orders DROP CONSTRAINT two"], [1]) == []
    assert "drop-key-in-expand" in found([made, "DROP INDEX three"], [1])
    again = "DROP FUNCTION f; CREATE FUNCTION f(a int) RETURNS {} LANGUAGE sql AS 'SELECT 2'"
    assert found([made, again.format("int")], [1]) == ["replace-in-expand"]
    assert found([made, again.format("text")], [1]) == ["drop-in-expand"]
    more = "CREATE FUNCTION f(a int, b int{}) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    assert found([made, more.format(" DEFAULT 0")], [1]) == ["function-overload"]
    assert found([made, more.format("")], [1]) == []
    assert found([made, "CREATE INDEX IF NOT EXISTS three ON orders (a)"], [1]) == []


def test_primary_key_using_an_index_of_filled_columns_is_quick() -> None:
    made = "CREATE TABLE orders (a int NOT NULL, b int); CREATE UNIQUE INDEX i ON orders (a)"
    assert found([made, "ALTER TABLE orders ADD PRIMARY KEY USING INDEX i"], [1]) == []
    assert "adding-not-nullable-field" in found([made, "ALTER TABLE other ADD PRIMARY KEY USING INDEX j"], [1])


def test_partitions() -> None:
    made = "CREATE TABLE parts (a int) PARTITION BY LIST (a)"
    assert found([made, "CREATE INDEX i ON ONLY parts (a)"], [1]) == []
    assert found([made, "CREATE INDEX i ON parts (a)"], [1]) == ["require-concurrent-index-creation"]
    checked = "CREATE TABLE p1 (a int); ALTER TABLE p1 ADD CONSTRAINT c CHECK (a = 1) NOT VALID"
    steps = [made, checked, "ALTER TABLE p1 VALIDATE CONSTRAINT c"]
    attach = "ALTER TABLE parts ATTACH PARTITION p1 FOR VALUES IN (1)"
    assert found([*steps, attach], [3]) == ["create-partition-of"]
    assert found([*steps[:2], attach], [2]) == ["attach-partition"]
    rest = "CREATE TABLE rest PARTITION OF parts DEFAULT"
    assert found([made, rest, "CREATE TABLE p2 PARTITION OF parts FOR VALUES IN (2)"], [2]) == ["attach-partition"]


def release(folder: Path, *files: str) -> str:
    (folder / "migrations").mkdir()
    for number, sql in enumerate(files, 1):
        (folder / f"migrations/{number:04}_step.sql").write_text(f"-- gradual: phase=expand\n{sql};\n")
    return str(folder)


@pytest.mark.parametrize(
    ("recorded", "wanted"),
    [
        ([], []),
        (["0001_step"], ["require-concurrent-index-creation"]),
        # Whether it is empty is not known.
        (None, ["require-concurrent-index-creation"]),
    ],
)
def test_a_release_is_judged_by_what_the_database_has_had(
    recorded: list[str] | None, wanted: list[str], tmp_path: Path
) -> None:
    folder = release(tmp_path, "CREATE TABLE orders (a int)", "CREATE INDEX i ON orders (a)")
    told = judge.lint("sql", folder, "migrations", "head", recorded)
    assert [one["rule"] for one in told["findings"]] == wanted
