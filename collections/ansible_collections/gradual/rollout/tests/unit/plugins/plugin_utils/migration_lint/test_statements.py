# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint says of statements: each rule fires where it should, and nowhere else. Squawk's own program reads
all of them too."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import (
    EXPAND_ONLY,
    RULES,
    SQUAWK,
    table,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, Unseen
from ansible_collections.gradual.rollout.tests.unit.places import PROJECT, needs_checkout

# SQL of a revision of phase expand, in one transaction; the rules that it breaks, with where they are wanted the lock.
TABLE: list[tuple[str, set[str]]] = [
    # Indexes.
    ("CREATE INDEX i ON orders (a)", {"require-concurrent-index-creation"}),
    ("CREATE INDEX IF NOT EXISTS i ON orders (a)", {"require-concurrent-index-creation"}),
    ("CREATE UNIQUE INDEX i ON orders (a)", {"require-concurrent-index-creation", "constraint-in-expand"}),
    ("CREATE INDEX CONCURRENTLY i ON orders (a)", {"ban-concurrent-index-creation-in-transaction"}),
    ("CREATE TABLE new (a int); CREATE INDEX i ON new (a)", set()),
    (
        "ALTER TABLE orders ADD COLUMN new text; CREATE UNIQUE INDEX i ON orders (new)",
        {"require-concurrent-index-creation"},
    ),
    ("CREATE TABLE IF NOT EXISTS orders (a int); CREATE INDEX i ON orders (a)", {"require-concurrent-index-creation"}),
    ("CREATE TABLE IF NOT EXISTS orders (a int); UPDATE orders SET a = 1", {"whole-table-update"}),
    (
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS new int; ALTER TABLE orders ADD CHECK (new > 0) NOT VALID",
        {"constraint-in-expand"},
    ),
    ("DROP TABLE orders; CREATE TABLE orders (a int)", {"drop-in-expand"}),
    ("DROP INDEX i", {"require-concurrent-index-deletion"}),
    ("DROP INDEX CONCURRENTLY i", {"ban-concurrent-index-creation-in-transaction"}),
    ("REINDEX INDEX i", {"reindex"}),
    ("REINDEX TABLE orders", {"reindex"}),
    ("REINDEX TABLE CONCURRENTLY orders", {"ban-concurrent-index-creation-in-transaction"}),
    ("ALTER INDEX i RENAME TO j", set()),
    # Columns.
    ("ALTER TABLE orders ADD COLUMN a int", set()),
    ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS a text", set()),
    ("ALTER TABLE orders ADD COLUMN a boolean NOT NULL DEFAULT false", set()),
    ("ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT now()", set()),
    ("ALTER TABLE orders ADD COLUMN a text NOT NULL", {"adding-required-field"}),
    ("ALTER TABLE orders ADD COLUMN a text NOT NULL DEFAULT NULL", {"adding-required-field"}),
    ("ALTER TABLE orders ADD COLUMN a uuid DEFAULT gen_random_uuid()", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a float DEFAULT random()", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT clock_timestamp()", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a bigserial", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS (b * 2) STORED", {"adding-field-with-default"}),
    (
        "ALTER TABLE orders ADD COLUMN a bigint PRIMARY KEY",
        {"adding-required-field", "adding-serial-primary-key-field"},
    ),
    ("ALTER TABLE orders ADD COLUMN a int UNIQUE", {"disallowed-unique-constraint"}),
    ("ALTER TABLE orders ADD COLUMN a int CHECK (a > 0)", {"constraint-missing-not-valid"}),
    ("ALTER TABLE orders ADD COLUMN a int REFERENCES other", {"reference-to-live-table"}),
    ("ALTER TABLE orders ADD COLUMN a int DEFAULT 1 REFERENCES other", {"adding-foreign-key-constraint"}),
    ("ALTER TABLE orders ALTER COLUMN a TYPE bigint", {"changing-column-type"}),
    ("ALTER TABLE orders ALTER COLUMN a SET DEFAULT gen_random_uuid()", set()),
    ("ALTER TABLE orders ALTER COLUMN a DROP DEFAULT", {"drop-default-in-expand"}),
    ("ALTER TABLE orders ALTER COLUMN a SET NOT NULL", {"adding-not-nullable-field", "not-null-in-expand"}),
    ("ALTER TABLE orders ALTER COLUMN a DROP NOT NULL", {"ban-drop-not-null"}),
    ("ALTER TABLE orders ALTER COLUMN a SET STATISTICS 500", set()),
    ("ALTER TABLE orders SET (fillfactor = 70)", set()),
    ("ALTER TABLE orders DROP COLUMN a", {"drop-in-expand"}),
    ("ALTER TABLE orders RENAME COLUMN a TO b", {"rename-in-expand"}),
    ("ALTER TABLE orders RENAME TO purchases", {"rename-in-expand"}),
    ("ALTER TABLE orders SET SCHEMA archive", {"rename-in-expand"}),
    # Constraints.
    ("ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0)", {"constraint-missing-not-valid", "constraint-in-expand"}),
    ("ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID", {"constraint-in-expand"}),
    ("ALTER TABLE orders ADD COLUMN a int; ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID", set()),
    (
        "ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE orders VALIDATE CONSTRAINT c",
        {"constraint-in-expand", "validate-in-same-transaction"},
    ),
    ("ALTER TABLE orders VALIDATE CONSTRAINT c", set()),
    (
        "ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES other",
        {"adding-foreign-key-constraint", "constraint-in-expand"},
    ),
    ("ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES other NOT VALID", {"constraint-in-expand"}),
    ("ALTER TABLE orders ADD CONSTRAINT c UNIQUE (a)", {"disallowed-unique-constraint", "constraint-in-expand"}),
    ("ALTER TABLE orders ADD PRIMARY KEY (a)", {"disallowed-unique-constraint", "constraint-in-expand"}),
    ("ALTER TABLE orders ADD CONSTRAINT c UNIQUE USING INDEX i", {"constraint-in-expand"}),
    ("ALTER TABLE orders ADD EXCLUDE USING gist (a WITH &&)", {"exclusion-constraint", "constraint-in-expand"}),
    ("ALTER TABLE orders DROP CONSTRAINT c", set()),
    (
        "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0)",
        {"ban-alter-domain-with-add-constraint", "constraint-in-expand"},
    ),
    ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID", {"constraint-in-expand"}),
    # Rows.
    ("UPDATE orders SET a = 1", {"whole-table-update"}),
    ("UPDATE orders SET a = 1 WHERE a IS NULL", set()),
    ("WITH x AS (UPDATE orders SET a = 1 RETURNING a) SELECT count(*) FROM x", {"whole-table-update"}),
    ("DELETE FROM orders", {"whole-table-delete"}),
    ("DELETE FROM orders WHERE id = 7", set()),
    ("TRUNCATE orders", {"truncate"}),
    ("TRUNCATE orders CASCADE", {"truncate"}),
    ("INSERT INTO other SELECT * FROM orders", {"insert-from-select"}),
    ("INSERT INTO other VALUES (1), (2)", set()),
    ("INSERT INTO other SELECT 1 UNION ALL SELECT a FROM orders", {"insert-from-select"}),
    ("MERGE INTO other USING orders ON other.id = orders.id WHEN MATCHED THEN DELETE", {"insert-from-select"}),
    ("UPDATE orders SET a = 1 WHERE true", {"whole-table-update"}),
    ("DELETE FROM orders WHERE 1 = 1", {"whole-table-delete"}),
    (
        "CREATE TABLE new (a int); INSERT INTO new VALUES (1); UPDATE new SET a = 2; DELETE FROM new; TRUNCATE new",
        set(),
    ),
    # Tables as a whole.
    ("CREATE TABLE new (id bigint PRIMARY KEY, a text NOT NULL UNIQUE)", set()),
    ("CREATE TABLE new (a bigint REFERENCES orders)", {"reference-to-live-table"}),
    ("CREATE TABLE old_one (id int PRIMARY KEY); CREATE TABLE new (a int REFERENCES old_one)", set()),
    ("DROP TABLE orders", {"drop-in-expand"}),
    ("CREATE TABLE new (a int); DROP TABLE new", set()),
    ("ALTER TABLE orders SET LOGGED", {"set-logged"}),
    ("ALTER TABLE orders SET UNLOGGED", {"set-logged"}),
    ("ALTER TABLE orders SET TABLESPACE fast", {"rewrite-table"}),
    ("ALTER TABLE orders SET ACCESS METHOD heap2", {"rewrite-table"}),
    ("CLUSTER orders USING i", {"cluster"}),
    ("VACUUM FULL orders", {"vacuum-full"}),
    ("VACUUM (FULL, ANALYZE) orders", {"vacuum-full"}),
    ("VACUUM (FULL false) orders", set()),
    ("ANALYZE orders", set()),
    ("COMMENT ON TABLE orders IS 'what was bought'", set()),
    ("LOCK TABLE orders", {"lock-table"}),
    ("LOCK orders IN SHARE MODE", {"lock-table"}),
    ("REFRESH MATERIALIZED VIEW sums", {"refresh-materialized-view"}),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY sums", set()),
    ("CREATE TABLE p1 PARTITION OF orders FOR VALUES IN (1)", {"create-partition-of"}),
    ("ALTER TABLE orders ATTACH PARTITION p1 FOR VALUES IN (1)", {"attach-partition"}),
    ("ALTER TABLE orders DETACH PARTITION p1", {"require-concurrent-partition-detach", "drop-in-expand"}),
    (
        "ALTER TABLE orders DETACH PARTITION p1 CONCURRENTLY",
        {"ban-concurrent-index-creation-in-transaction", "drop-in-expand"},
    ),
    # Triggers, rules, rights, types, functions.
    ("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()", {"create-trigger"}),
    ("DROP TRIGGER t ON orders", {"drop-in-expand"}),
    (
        (
            "DROP TRIGGER IF EXISTS t ON orders; CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE"
            " FUNCTION f()"
        ),
        {"create-trigger"},
    ),
    ("ALTER TABLE orders DISABLE TRIGGER ALL", {"disable-trigger"}),
    ("ALTER TABLE orders ENABLE TRIGGER t", set()),
    ("SET session_replication_role = replica", {"disable-trigger"}),
    ("CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING", {"create-rule"}),
    ("CREATE POLICY p ON orders USING (true)", {"row-security-in-expand"}),
    ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", {"row-security-in-expand"}),
    ("GRANT SELECT ON orders TO somebody", set()),
    ("REVOKE SELECT ON orders FROM somebody", {"revoke-in-expand"}),
    ("ALTER TYPE money_kind ADD ATTRIBUTE a int", {"alter-type"}),
    ("ALTER TYPE money_kind ALTER ATTRIBUTE a TYPE bigint CASCADE", {"alter-type"}),
    ("ALTER TYPE colour ADD VALUE 'red'", set()),
    ("ALTER TYPE colour RENAME VALUE 'red' TO 'crimson'", {"rename-in-expand"}),
    ("CREATE TYPE colour AS ENUM ('red')", set()),
    ("DROP FUNCTION f(int)", {"drop-in-expand"}),
    ("DROP FUNCTION f(int); CREATE FUNCTION f(a bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'", set()),
    ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; END $$", set()),
    ("DROP VIEW v; CREATE VIEW v AS SELECT 1", set()),
    ("DROP VIEW v", {"drop-in-expand"}),
    ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", {"replace-in-expand"}),
    ("CREATE OR REPLACE VIEW v AS SELECT 2", {"replace-in-expand"}),
    ("CREATE EXTENSION IF NOT EXISTS pg_trgm", set()),
    ("DROP SCHEMA archive", {"drop-in-expand"}),
    # Sessions, transactions, what reaches beyond.
    ("SET lock_timeout = 0", {"own-timeouts"}),
    ("SET LOCAL statement_timeout = '1h'", {"own-timeouts"}),
    ("SET search_path = shop", set()),
    ("BEGIN; ALTER TABLE orders ADD COLUMN a text; COMMIT", {"transaction-nesting"}),
    ("ALTER SYSTEM SET fsync = off", {"cluster-wide"}),
    ("DROP DATABASE shop", {"cluster-wide"}),
    ("CREATE ROLE somebody", {"cluster-wide"}),
    # What is hidden, and what is not seen.
    ("DO $$ BEGIN UPDATE orders SET a = 1; END $$", {"whole-table-update"}),
    ("DO $$ BEGIN IF true THEN EXECUTE 'DROP TABLE orders'; END IF; END $$", {"drop-in-expand"}),
    (
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT 1 AS a LOOP DELETE FROM orders; END LOOP; END $$",
        {"whole-table-delete"},
    ),
    (
        (
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT 'x' AS a LOOP EXECUTE format('DROP TABLE %I', r.a); END"
            " LOOP; END $$"
        ),
        {"dynamic-sql"},
    ),
    (
        (
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'a') THEN GRANT SELECT ON orders TO a; END IF;"
            " END $$"
        ),
        set(),
    ),
    (
        (
            "DO $$ BEGIN IF to_regclass('orders') IS NULL THEN CREATE TABLE orders (a int); END IF; END $$; ALTER TABLE"
            " orders ALTER a TYPE bigint, DROP COLUMN b"
        ),
        {"changing-column-type", "drop-in-expand"},
    ),
    (
        (
            "DROP FUNCTION f(); DO $$ BEGIN IF a THEN CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; END"
            " IF; END $$"
        ),
        {"drop-in-expand"},
    ),
    (
        (
            "DO $$ BEGIN IF a THEN ALTER TABLE orders ADD COLUMN new int; END IF; END $$; ALTER TABLE orders ADD CHECK"
            " (new > 0) NOT VALID"
        ),
        {"constraint-in-expand"},
    ),
    ("DO LANGUAGE plpython3u 'pass'", {"unseen"}),
    ("SELECT migrate_everything()", {"calls-function"}),
    ("SELECT setval('orders_id_seq', 1000)", set()),
    ("CALL migrate_everything()", {"unseen"}),
    ("EXPLAIN ANALYZE DELETE FROM orders", {"unseen"}),
    ("PREPARE later AS DELETE FROM orders", {"unseen"}),
    ("ALTER EXTENSION postgis UPDATE", {"unseen"}),
    ("ALTER TABLE ALL IN TABLESPACE slow SET TABLESPACE fast", {"rewrite-table"}),
    ("ALTER TABLE orders ADD CHECK ((a + 1) IS NOT NULL)", {"constraint-missing-not-valid", "constraint-in-expand"}),
    ("SAVEPOINT s; RELEASE s", set()),
    ("ALTER TABL orders ADD COLUMN a int", {"unseen"}),
    ("SELECT 1; ALTER TABL orders; DROP TABLE orders", {"unseen", "drop-in-expand"}),
]
# The same outside of a transaction, as op.get_context().autocommit_block() has it.
ALONE: list[tuple[str, set[str]]] = [
    ("CREATE INDEX CONCURRENTLY i ON orders (a)", set()),
    ("CREATE INDEX CONCURRENTLY i ON orders (a); CREATE INDEX CONCURRENTLY j ON orders (b)", set()),
    ("ALTER TABLE orders ADD COLUMN a int; CREATE INDEX CONCURRENTLY i ON orders (a)", {"concurrently-not-alone"}),
    ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS a int; CREATE INDEX CONCURRENTLY i ON orders (a)", set()),
    ("DROP INDEX CONCURRENTLY i", set()),
    ("REINDEX INDEX CONCURRENTLY i", set()),
    ("BEGIN; CREATE INDEX CONCURRENTLY i ON orders (a); COMMIT", {"ban-concurrent-index-creation-in-transaction"}),
    (
        (
            "BEGIN; ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID; COMMIT; ALTER TABLE orders VALIDATE"
            " CONSTRAINT c"
        ),
        {"constraint-in-expand"},
    ),
]
# The same in phase contract, where old code is gone and only locks count.
CONTRACT: list[tuple[str, set[str]]] = [
    ("DROP TABLE orders", set()),
    ("ALTER TABLE orders DROP COLUMN a", set()),
    ("ALTER TABLE orders RENAME COLUMN a TO b", set()),
    ("ALTER TABLE orders ALTER COLUMN a SET NOT NULL", {"adding-not-nullable-field"}),
    ("ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID", set()),
    ("TRUNCATE orders", {"truncate"}),
    ("CREATE INDEX i ON orders (a)", {"require-concurrent-index-creation"}),
]
ROWS = [(sql, wanted, "expand", 1) for sql, wanted in TABLE] + [(sql, wanted, "expand", None) for sql, wanted in ALONE]
ROWS += [(sql, wanted, "contract", 1) for sql, wanted in CONTRACT]


def source(
    sql: str, revision: str = "r", phase: str = "expand", transaction: int | None = 1, *unseen: Unseen
) -> Source:
    return Source(revision, phase, f"{revision}.sql", (Piece(sql, 1, transaction),), unseen)


@pytest.fixture(scope="module")
def judged() -> dict[str, set[str]]:
    """Number of the row → rules that were found. All in one go, so that squawk starts once."""
    found: dict[str, set[str]] = {str(number): set() for number in range(len(ROWS))}
    for one in judge.judge(
        [source(sql, str(number), phase, transaction) for number, (sql, _wanted, phase, transaction) in enumerate(ROWS)]
    ):
        found[one["revision"]].add(one["rule"])
    return found


@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=[f"{phase} {transaction} {sql[:60]}" for sql, _wanted, phase, transaction in ROWS]
)
def test_a_revision_breaks_these_rules_and_no_others(number: int, judged: dict[str, set[str]]) -> None:
    assert judged[str(number)] == ROWS[number][1]


def test_every_rule_has_a_row() -> None:
    fired = set().union(*(wanted for _sql, wanted, _phase, _transaction in ROWS))
    # These two are about files, not about statements: test_migration_sources.py has them.
    assert set(RULES) - fired == {"phase-missing", "asks-database"}


def test_every_rule_of_squawk_that_is_mapped_leads_to_one_of_ours() -> None:
    assert {rule for rule in SQUAWK.values() if rule is not None} <= set(RULES)
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
        "lock": "AccessExclusiveLock on shop.orders", "why": RULES["changing-column-type"].why,
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
