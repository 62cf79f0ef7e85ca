# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint says that PostgreSQL refuses, and what it says old code gets otherwise."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge, statements
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source
from ansible_collections.gradual.rollout.tests.unit.sample_refusals import MADE, REFUSALS

REFUSED = {"postgresql-refuses", "ban-concurrent-index-creation-in-transaction"}


def broken(before: str, sql: str, inside: bool = True) -> dict[str, str]:
    """Rule → reason, of a revision after an applied one. Without squawk, which knows none of this."""
    state, found = State(frozenset("2")), []
    for name, text in (("1", before), ("2", sql)):
        read = statements.read(Source(name, "expand", f"{name}.sql", (Piece(text, 1, 1 if inside else None),)))
        found = judge.revision(read, [], state)
    return {one["rule"]: one["why"] for one in found}


@pytest.mark.parametrize(("sql", "inside", "refused"), REFUSALS)
def test_what_postgresql_refuses(sql: str, inside: bool, refused: bool) -> None:
    assert bool(REFUSED & set(broken("; ".join(MADE), sql, inside))) == refused


def test_what_a_condition_may_leave_out_is_not_refused() -> None:
    block = "DO $$ BEGIN ALTER TABLE orders ADD COLUMN a int; EXCEPTION WHEN duplicate_column THEN NULL; END $$"
    assert "postgresql-refuses" not in broken(MADE[0], block)


def test_the_reason_is_told() -> None:
    found = broken(MADE[0], "ALTER TABLE orders ADD COLUMN a int")
    assert found["postgresql-refuses"].endswith("the column a of orders already exists")


RAISES = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'no'; END $f$"
NOTICE = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE NOTICE 'x'; RETURN NEW; END $f$"
TOUCH = (
    "CREATE TABLE t (id int, seen int); CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN"
    " NEW.seen := 1; RETURN NEW; END $f$; CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch()"
)
TOUCH_AGAIN = "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {}; RETURN NEW; END $f$"
VIEW = "CREATE TABLE t (id int, a int, b int); CREATE VIEW v AS SELECT id, a FROM t WHERE a > 0"
PATH = "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t'"
KEYLESS = "CREATE TABLE t (id int, b int PRIMARY KEY); CREATE TABLE k (id int)"
SENT = f"{KEYLESS}; CREATE PUBLICATION p FOR TABLE t"
GRANTED = "CREATE TABLE t (id serial); GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app"


@pytest.mark.parametrize(
    ("before", "sql", "otherwise"),
    [
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a, b FROM t WHERE a > 0", False),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a * 2 AS a FROM t WHERE a > 0", True),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t WHERE a > 1", True),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t", True),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT DISTINCT id, a FROM t WHERE a > 0", True),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t WHERE a > 0 LIMIT 1", True),
        (VIEW, "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t WHERE a > 0 UNION SELECT 1, 1", True),
        # What the view was is not known.
        ("SELECT 1", "CREATE OR REPLACE VIEW v AS SELECT DISTINCT id FROM t", False),
        (f"CREATE TABLE t (id int); {RAISES}", "CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION no()", True),
        (f"CREATE TABLE t (id int); {NOTICE}", "CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION no()", False),
        (RAISES, "CREATE TABLE new (id int); CREATE TRIGGER x BEFORE INSERT ON new EXECUTE FUNCTION no()", False),
        (TOUCH, TOUCH_AGAIN.format("NEW.seen := 2"), False),
        (TOUCH, TOUCH_AGAIN.format("NEW.never := 2"), True),
        (TOUCH, TOUCH_AGAIN.format("-- NEW.never\n PERFORM 1"), False),
        (TOUCH, TOUCH_AGAIN.format("IF NEW.id < 0 THEN RAISE 'negative'; END IF"), True),
        (f"{TOUCH}; ALTER TABLE t ADD COLUMN more int", TOUCH_AGAIN.format("NEW.more := 2"), False),
        (PATH, "ALTER FUNCTION f() SET search_path = app", True),
        (PATH, "ALTER FUNCTION f() SET search_path = app, public", False),
        (PATH, "ALTER FUNCTION f() COST 20", False),
        ("CREATE TABLE p (id int)", "CREATE TABLE c (id int); ALTER TABLE c INHERIT p", False),
        ("CREATE TABLE p (id int)", "CREATE TABLE c (id int); INSERT INTO c VALUES (1); ALTER TABLE c INHERIT p", True),
        ("CREATE TABLE p (id int); CREATE TABLE c (id int)", "ALTER TABLE c INHERIT p", True),
        (KEYLESS, "CREATE PUBLICATION p FOR TABLE t", False),
        (KEYLESS, "CREATE PUBLICATION p FOR TABLE t, k", True),
        (KEYLESS, "CREATE PUBLICATION p FOR TABLE k WITH (publish = 'insert')", False),
        (KEYLESS, "CREATE PUBLICATION p FOR ALL TABLES", True),
        (KEYLESS, "CREATE PUBLICATION p FOR TABLES IN SCHEMA app", False),
        (f"{KEYLESS}; ALTER TABLE k REPLICA IDENTITY FULL", "CREATE PUBLICATION p FOR ALL TABLES", False),
        (f"{KEYLESS}; ALTER TABLE k ADD PRIMARY KEY (id)", "CREATE PUBLICATION p FOR ALL TABLES", False),
        (KEYLESS, "CREATE TABLE n (id int); CREATE PUBLICATION p FOR TABLE n", False),
        (SENT, "ALTER PUBLICATION p ADD TABLE k", True),
        (SENT, "ALTER PUBLICATION p DROP TABLE t", False),
        (SENT, "ALTER TABLE t REPLICA IDENTITY NOTHING", True),
        (SENT, "ALTER TABLE t REPLICA IDENTITY FULL", False),
        (KEYLESS, "ALTER TABLE t REPLICA IDENTITY NOTHING", False),
        (GRANTED, "CREATE SEQUENCE n; ALTER TABLE t ADD x int; ALTER TABLE t ALTER x SET DEFAULT nextval('n')", True),
        (
            GRANTED,
            (
                "CREATE SEQUENCE n; GRANT USAGE ON SEQUENCE n TO app; ALTER TABLE t ADD x int;"
                " ALTER TABLE t ALTER x SET DEFAULT nextval('n')"
            ),
            False,
        ),
        (
            f"{GRANTED}; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO app",
            "CREATE SEQUENCE n; ALTER TABLE t ADD x int; ALTER TABLE t ALTER x SET DEFAULT nextval('n')",
            False,
        ),
    ],
)  # fmt: skip
def test_what_old_code_gets_otherwise(before: str, sql: str, otherwise: bool) -> None:
    assert ("other-answers-in-expand" in broken(before, sql)) == otherwise


CHECKED = "CREATE TABLE t (id int, a int, s text, CONSTRAINT c CHECK ({}))"


@pytest.mark.parametrize(
    ("old", "new", "looser"),
    [
        ("a > 0", "a >= 0", True),
        ("a >= 0", "a > 0", False),
        ("a >= 0", "a >= -10", True),
        ("a < 5", "a < 9", True),
        ("a < 9", "a <= 5", False),
        ("a > 0", "a < 9", False),
        ("a > 0", "id > 0", False),
        ("a = 1", "a IN (1, 2)", True),
        ("s IN ('x', 'y')", "s IN ('x', 'y', 'z')", True),
        ("s IN ('x', 'y')", "s IN ('x', 'z')", False),
        ("s::text = ANY (ARRAY['x'::text])", "s IN ('x', 'y')", True),
        ("a > 0 AND s = 'x'", "a > 0", True),
        ("a > 0", "a > 0 AND s = 'x'", False),
        ("a > 0", "a > -1 OR s = 'x'", True),
        ("a > 0 OR s = 'x'", "a > 0", False),
        ("length(s) > 0", "length(s) > 1", False),
    ],
)
def test_a_check_that_replaces_a_narrower_one_refuses_nothing_new(old: str, new: str, looser: bool) -> None:
    sql = f"ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ADD CONSTRAINT c CHECK ({new}) NOT VALID"
    assert ("constraint-in-expand" not in broken(CHECKED.format(old), sql)) == looser


TABLE = "CREATE TABLE t (id int, a int DEFAULT 1, b int)"
STATE = "CREATE TYPE state AS ENUM ('a')"
MATVIEW = "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW m AS SELECT a FROM t"


@pytest.mark.parametrize(
    ("before", "sql", "rules"),
    [
        (TABLE, "ALTER TABLE t ALTER b DROP DEFAULT", set()),
        (TABLE, "ALTER TABLE t ALTER a DROP DEFAULT", {"drop-default-in-expand"}),
        (f"{TABLE}; ALTER TABLE t ALTER b SET DEFAULT 1", "ALTER TABLE t ALTER b DROP DEFAULT",
         {"drop-default-in-expand"}),
        (TABLE, "ALTER TABLE t SET LOGGED", set()),
        (TABLE, "ALTER TABLE t SET UNLOGGED", {"set-logged"}),
        (f"{TABLE}; ALTER TABLE t SET UNLOGGED", "ALTER TABLE t SET UNLOGGED", set()),
        (TABLE, "ALTER TABLE t SET ACCESS METHOD heap", set()),
        (TABLE, "ALTER TABLE t SET ACCESS METHOD columnar", {"rewrite-table"}),
        (f"{TABLE}; ALTER TABLE t SET TABLESPACE fast", "ALTER TABLE t SET ACCESS METHOD heap", {"rewrite-table"}),
        (TABLE, "ALTER TABLE t FORCE ROW LEVEL SECURITY", set()),
        (TABLE, "CREATE POLICY p ON t USING (id = 1)", set()),
        (TABLE, "CREATE POLICY p ON t USING (true); ALTER TABLE t ENABLE ROW LEVEL SECURITY", set()),
        (TABLE, "CREATE POLICY p ON t FOR SELECT USING (true); ALTER TABLE t ENABLE ROW LEVEL SECURITY",
         {"row-security-in-expand"}),
        (f"{TABLE}; ALTER TABLE t ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON t USING (id = 1)",
         {"row-security-in-expand"}),
        (TABLE, "REVOKE SELECT ON t FROM PUBLIC", set()),
        (f"{TABLE}; GRANT SELECT ON t TO PUBLIC", "REVOKE SELECT ON t FROM PUBLIC", {"revoke-in-expand"}),
        ("SELECT 1", "REVOKE SELECT ON t FROM PUBLIC", {"revoke-in-expand"}),
        (TABLE, "REVOKE ALL ON t FROM app; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO app", set()),
        (TABLE, "REVOKE ALL ON t FROM app; GRANT SELECT ON t TO app", {"revoke-in-expand"}),
        (TABLE, "REVOKE ALL ON t FROM app; GRANT ALL ON t TO another", {"revoke-in-expand"}),
        (f"{TABLE}; CREATE VIEW v AS SELECT id FROM t; GRANT SELECT ON v TO app",
         "DROP VIEW v; CREATE VIEW v AS SELECT id FROM t", {"replace-in-expand", "revoke-in-expand"}),
        (f"{TABLE}; CREATE VIEW v AS SELECT id FROM t; GRANT SELECT ON v TO app",
         "DROP VIEW v; CREATE VIEW v AS SELECT id FROM t; GRANT SELECT ON v TO app", {"replace-in-expand"}),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER FUNCTION f() OWNER TO us", set()),
        ("CREATE FUNCTION f() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
         "ALTER FUNCTION f() OWNER TO us", {"owner-in-expand"}),
        # Around a new type of a column, and for the statements between them.
        (TABLE, "ALTER TABLE t ALTER a DROP DEFAULT; ALTER TABLE t ALTER a SET DEFAULT 2", set()),
        (TABLE, "ALTER TABLE t ALTER a DROP DEFAULT, ALTER a SET DEFAULT 2", set()),
        (TABLE, "ALTER TABLE t ALTER a DROP DEFAULT; ALTER TABLE t ALTER b SET DEFAULT 2", {"drop-default-in-expand"}),
        (TABLE, "ALTER TABLE t ALTER a SET DEFAULT 2; ALTER TABLE t ALTER a DROP DEFAULT", {"drop-default-in-expand"}),
        (TABLE, "ALTER TABLE t ALTER a DROP DEFAULT; SAVEPOINT s; ALTER TABLE t ALTER a SET DEFAULT 2; ROLLBACK TO s",
         {"drop-default-in-expand"}),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE t ENABLE TRIGGER USER", set()),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE t ENABLE TRIGGER ALL", {"disable-trigger"}),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER x; ALTER TABLE t ENABLE TRIGGER x", set()),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER x; ALTER TABLE t ENABLE TRIGGER y", {"disable-trigger"}),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE t ENABLE TRIGGER x", {"disable-trigger"}),
        (TABLE, "ALTER TABLE t ENABLE TRIGGER USER; ALTER TABLE t DISABLE TRIGGER USER", {"disable-trigger"}),
        (TABLE, "ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET a = 1 WHERE b > 1; ALTER TABLE t ENABLE TRIGGER USER",
         {"rows-under-lock"}),
        # A type that gives way to another one of its name; its columns are another finding.
        (STATE, "ALTER TYPE state RENAME TO old; CREATE TYPE state AS ENUM ('a', 'b'); DROP TYPE old", set()),
        (STATE, "ALTER TYPE state RENAME TO old; CREATE TYPE other AS ENUM ('a', 'b'); DROP TYPE old",
         {"rename-in-expand", "drop-in-expand"}),
        (f"{STATE}; CREATE TYPE old AS ENUM ('x')", "DROP TYPE old; CREATE TYPE state2 AS ENUM ('a')",
         {"drop-in-expand"}),
        # Nobody writes to a materialized view. CASCADE takes the views, and their indexes.
        (MATVIEW, "CREATE UNIQUE INDEX i ON m (a)", set()),
        (f"{MATVIEW}; CREATE INDEX i ON m (a)",
         "DROP TABLE t CASCADE; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE INDEX i ON m (a)",
         {"drop-in-expand"}),
        (f"{MATVIEW}; CREATE INDEX i ON m (a)", "CREATE INDEX i ON t (a)",
         {"postgresql-refuses", "require-concurrent-index-creation"}),
        ("CREATE DOMAIN d AS int", "ALTER DOMAIN d DROP DEFAULT", set()),
        ("CREATE DOMAIN d AS int DEFAULT 1", "ALTER DOMAIN d DROP DEFAULT", {"drop-default-in-expand"}),
        ("SELECT 1", "ALTER SEQUENCE s AS smallint", {"constraint-in-expand"}),
        ("SELECT 1", "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING", set()),
        ("SELECT 1", "CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING", {"create-rule"}),
        ("SELECT 1", "GRANT manager TO app", {"cluster-wide"}),
        ("SELECT 1", "SAVEPOINT s; DROP TABLE t; ROLLBACK TO s", set()),
        ("SELECT 1", "SAVEPOINT s; DROP TABLE t; RELEASE s", {"drop-in-expand"}),
        ("SELECT 1", "SAVEPOINT s; SAVEPOINT i; DROP TABLE t; ROLLBACK TO i; DROP TABLE u", {"drop-in-expand"}),
        # Undone in the end, and everybody waited meanwhile.
        ("SELECT 1", "SAVEPOINT s; ALTER TABLE t ALTER a TYPE bigint; ROLLBACK TO s", {"changing-column-type"}),
        (MATVIEW, "CREATE INDEX i ON m (a)", set()),
        ("SELECT 1", ("DO $$ DECLARE x text; BEGIN FOR x IN SELECT 'a' LOOP"
         " EXECUTE format('ALTER TABLE %I ADD c int', x); END LOOP; END $$"),
         set()),
        ("SELECT 1", "DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP c', x); END $$", {"drop-in-expand"}),
        ("SELECT 1", "DO $$ BEGIN EXECUTE format('UPDATE %I SET a = %L', x, y); END $$", {"whole-table-update"}),
        ("SELECT 1", "DO $$ BEGIN EXECUTE format('ALTER TABLE %s ADD c int', x); END $$", {"dynamic-sql"}),
        ("SELECT 1", "DO $$ BEGIN EXECUTE format('ALTER TABLE %1$I ADD c int', x); END $$", {"dynamic-sql"}),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_no_finding(before: str, sql: str, rules: set[str]) -> None:
    assert set(broken(before, sql)) == rules


ADD = "ALTER TABLE t ADD x int"


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        # Without a lock timeout, everybody queues behind what waits.
        (f"SET lock_timeout = 0; {ADD}", {"own-timeouts", "no-lock-timeout"}),
        (f"SET LOCAL lock_timeout = '0s'; {ADD}", {"own-timeouts", "no-lock-timeout"}),
        (f"SELECT set_config('lock_timeout', '0', true); {ADD}", {"own-timeouts", "no-lock-timeout"}),
        (f"SET lock_timeout = '2s'; {ADD}", {"own-timeouts"}),
        (f"SELECT pg_catalog.set_config('lock_timeout', '2s', false); {ADD}", {"own-timeouts"}),
        # Back to what Gradual gave the session.
        (f"RESET lock_timeout; {ADD}", set()),
        (f"SET lock_timeout = 0; RESET ALL; {ADD}", {"own-timeouts"}),
        (f"SET lock_timeout = 0; SET lock_timeout TO DEFAULT; {ADD}", {"own-timeouts"}),
        (f"SET statement_timeout = 0; {ADD}", {"own-timeouts"}),
        # As pg_dump writes it, for tables that are new.
        ("SET lock_timeout = 0; CREATE TABLE n (id int); ALTER TABLE n ADD a int", {"own-timeouts"}),
        # One table is locked while another one is waited for.
        (f"{ADD}; ALTER TABLE u ADD x int", {"several-tables"}),
        (f"{ADD}; ALTER TABLE t ADD y int", set()),
        (f"{ADD}; CREATE TABLE n (id int); ALTER TABLE n ADD y int", set()),
        (f"BEGIN; {ADD}; COMMIT; BEGIN; ALTER TABLE u ADD x int; COMMIT", {"transaction-nesting"}),
        (f"LOCK TABLE t, u; {ADD}; ALTER TABLE u ADD x int", {"lock-table"}),
    ],
)
def test_what_waits_makes_others_wait(sql: str, rules: set[str]) -> None:
    assert set(broken("SELECT 1", sql)) == rules
