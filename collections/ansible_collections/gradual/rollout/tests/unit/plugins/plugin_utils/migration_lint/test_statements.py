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
    ("ALTER INDEX orders_number_key RENAME TO uq_number", {"rename-in-expand"}),
    ("ALTER INDEX parts_i ATTACH PARTITION part1_i", set()),
    ("CREATE INDEX i ON ONLY orders (a)", {"require-concurrent-index-creation"}),
    ("CREATE TABLE new (a int); CREATE INDEX i ON new (a); DROP INDEX i", set()),
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
    ("CREATE DOMAIN d AS numeric CHECK (VALUE >= 0); ALTER TABLE orders ADD COLUMN a d", {"adding-domain-field"}),
    ("CREATE DOMAIN d AS numeric CHECK (VALUE >= 0); ALTER TABLE orders ADD a d DEFAULT 1", {"adding-domain-field"}),
    ("CREATE DOMAIN d AS numeric CHECK (VALUE >= 0); ALTER TABLE orders ADD COLUMN a d[]", set()),
    (
        "CREATE DOMAIN d AS int NOT NULL; ALTER TABLE orders ADD COLUMN a d",
        {"adding-domain-field", "adding-required-field"},
    ),
    (
        "CREATE DOMAIN c AS int CHECK (VALUE > 0); CREATE DOMAIN d AS c; ALTER TABLE orders ADD COLUMN a d",
        {"adding-domain-field"},
    ),
    ("CREATE DOMAIN d AS uuid DEFAULT gen_random_uuid(); ALTER TABLE orders ADD a d", {"adding-field-with-default"}),
    ("CREATE DOMAIN d AS numeric DEFAULT 7; ALTER TABLE orders ADD COLUMN a d", set()),
    ("CREATE DOMAIN d AS numeric CHECK (VALUE >= 0); CREATE TABLE new (a int); ALTER TABLE new ADD COLUMN b d", set()),
    ("ALTER TABLE orders ADD COLUMN a money_amount", {"unknown-type"}),
    ("ALTER TABLE orders ADD COLUMN a citext, ADD COLUMN b hstore, ADD COLUMN c timestamptz[]", set()),
    ("CREATE TYPE colour AS ENUM ('red'); ALTER TABLE orders ADD COLUMN a colour DEFAULT 'red'", set()),
    ("CREATE TYPE shop.pair AS (a int); ALTER TABLE orders ADD COLUMN a shop.pair", set()),
    ("ALTER TABLE orders ADD COLUMN a int DEFAULT nextval('s')", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a int DEFAULT number_of_us()", {"adding-field-with-default"}),
    (
        "CREATE FUNCTION n() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'; ALTER TABLE orders ADD a int DEFAULT n()",
        set(),
    ),
    (
        "ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT 0; ALTER TABLE orders ALTER COLUMN a DROP DEFAULT",
        {"drop-default-in-expand"},
    ),
    ("ALTER TABLE orders ADD COLUMN a int DEFAULT 0; ALTER TABLE orders ALTER COLUMN a DROP DEFAULT", set()),
    ("ALTER TABLE orders ALTER COLUMN a ADD GENERATED BY DEFAULT AS IDENTITY", set()),
    ("ALTER TABLE orders ALTER COLUMN a ADD GENERATED ALWAYS AS IDENTITY", {"constraint-in-expand"}),
    ("ALTER TABLE orders ADD COLUMN a bigserial", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY", {"adding-field-with-default"}),
    ("ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS (b * 2) STORED", {"adding-field-with-default"}),
    (
        "ALTER TABLE orders ADD COLUMN a bigint PRIMARY KEY",
        {"adding-required-field", "adding-serial-primary-key-field"},
    ),
    ("ALTER TABLE orders ADD COLUMN a int UNIQUE", {"disallowed-unique-constraint"}),
    ("ALTER TABLE orders ADD COLUMN a int CHECK (a > 0)", {"constraint-missing-not-valid"}),
    (
        "ALTER TABLE orders ADD COLUMN a int CHECK (a IS NOT NULL)",
        {"constraint-missing-not-valid", "constraint-in-expand"},
    ),
    (
        "ALTER TABLE orders ADD COLUMN a int; ALTER TABLE orders ADD CHECK (a IS NOT NULL AND a > 0) NOT VALID",
        {"constraint-in-expand"},
    ),
    (
        (
            "ALTER TABLE orders ADD a int, ADD COLUMN b int; ALTER TABLE orders ADD CHECK (num_nonnulls(a, b) = 1)"
            " NOT VALID"
        ),
        {"constraint-in-expand"},
    ),
    ("ALTER TABLE orders ADD COLUMN a int; ALTER TABLE orders ADD CHECK (a IS NULL OR total > a) NOT VALID", set()),
    ("ALTER TABLE orders ADD COLUMN a int DEFAULT 1; ALTER TABLE orders ADD CHECK (a IS NOT NULL) NOT VALID", set()),
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
    # The index has enforced the same since it was made.
    ("ALTER TABLE orders ADD CONSTRAINT c UNIQUE USING INDEX i", set()),
    ("ALTER TABLE orders ADD PRIMARY KEY USING INDEX i", {"adding-not-nullable-field", "constraint-in-expand"}),
    ("ALTER TABLE orders ADD EXCLUDE USING gist (a WITH &&)", {"exclusion-constraint", "constraint-in-expand"}),
    ("ALTER TABLE orders DROP CONSTRAINT c", {"dropping-unknown-constraint"}),
    ("ALTER TABLE orders DROP CONSTRAINT orders_total_check", set()),
    ("ALTER TABLE orders DROP CONSTRAINT ck_orders_key", set()),
    ("ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey", set()),
    ("ALTER TABLE orders DROP CONSTRAINT orders_number_key", {"drop-key-in-expand"}),
    ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", {"drop-key-in-expand"}),
    ("ALTER TABLE orders DROP CONSTRAINT uq_orders_number", {"drop-key-in-expand"}),
    ("ALTER TABLE orders DROP CONSTRAINT shop_order_number_1a2b3c_uniq", {"drop-key-in-expand"}),
    ("ALTER TABLE orders RENAME CONSTRAINT orders_number_key TO uq_number", {"rename-in-expand"}),
    ("ALTER TABLE orders RENAME CONSTRAINT orders_total_check TO positive", set()),
    (
        "ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0)",
        {"ban-alter-domain-with-add-constraint", "constraint-in-expand"},
    ),
    ("ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID", {"constraint-in-expand"}),
    ("ALTER DOMAIN d VALIDATE CONSTRAINT c", {"ban-alter-domain-with-add-constraint"}),
    ("ALTER DOMAIN d SET NOT NULL", {"ban-alter-domain-with-add-constraint", "constraint-in-expand"}),
    ("ALTER DOMAIN d SET DEFAULT 1", set()),
    ("ALTER DOMAIN d DROP DEFAULT", {"drop-default-in-expand"}),
    ("CREATE DOMAIN d AS int; ALTER DOMAIN d ADD CHECK (VALUE > 0)", set()),
    (
        "CREATE DOMAIN d AS int; ALTER TABLE orders ADD COLUMN a d; ALTER DOMAIN d ADD CHECK (VALUE > 0)",
        {"ban-alter-domain-with-add-constraint", "constraint-in-expand"},
    ),
    # Rows.
    ("UPDATE orders SET a = 1", {"whole-table-update"}),
    ("UPDATE orders SET a = 1 WHERE a IS NULL", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE id > 0", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE status = 'new'", {"unbounded-write"}),
    ("UPDATE orders SET a = o.b FROM other o WHERE o.id = orders.other_id", {"unbounded-write"}),
    ("UPDATE orders SET a = o.b FROM other o WHERE o.id = 7 AND o.c = orders.c", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE id NOT IN (1, 2)", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE id = 7 OR a IS NULL", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE id BETWEEN 1 AND 9000000", {"unbounded-write"}),
    ("DELETE FROM orders WHERE at < now() - interval '1 year'", {"unbounded-write"}),
    ("DELETE FROM orders USING other WHERE orders.other_id = other.id", {"unbounded-write"}),
    ("WITH x AS (DELETE FROM orders WHERE a IS NULL RETURNING a) SELECT count(*) FROM x", {"unbounded-write"}),
    ("SELECT id FROM orders FOR UPDATE", {"whole-table-update"}),
    ("SELECT id FROM orders LIMIT 10 FOR UPDATE SKIP LOCKED", set()),
    ("SELECT id FROM orders WHERE a IS NULL FOR NO KEY UPDATE", {"unbounded-write"}),
    ("DO $$ BEGIN EXECUTE 'UPDATE orders SET a = 1 WHERE a IS NULL'; END $$", {"unbounded-write"}),
    (
        (
            "DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM orders LOOP UPDATE orders SET a = 1 WHERE id = r.id;"
            " END LOOP; END $$"
        ),
        {"unbounded-write"},
    ),
    (
        (
            "DO $$ BEGIN LOOP UPDATE orders SET a = 1 WHERE id IN (SELECT id FROM orders WHERE a IS NULL LIMIT 1000);"
            " EXIT WHEN NOT FOUND; END LOOP; END $$"
        ),
        {"unbounded-write"},
    ),
    # Few rows.
    ("UPDATE orders SET a = 1 WHERE id = 7", set()),
    ("UPDATE orders AS o SET a = 1 WHERE 7 = o.id AND b IS NULL", set()),
    ("UPDATE orders SET a = 1 WHERE id IN (1, 2) OR id = ANY (ARRAY[3, 4])", set()),
    ("UPDATE orders SET a = 1 WHERE order_id = '7'::bigint", set()),
    ("UPDATE orders SET a = 1 WHERE id BETWEEN 1 AND 1000", set()),
    ("UPDATE orders SET a = 1 WHERE id IN (SELECT id FROM orders WHERE a IS NULL LIMIT 1000)", set()),
    ("UPDATE orders SET a = v.a FROM (VALUES (1, 2), (3, 4)) AS v(id, a) WHERE orders.id = v.id", set()),
    ("DO $$ DECLARE n int := 7; BEGIN UPDATE orders SET a = 1 WHERE id = n; END $$", set()),
    ("SELECT id FROM orders WHERE id = 7 FOR UPDATE", set()),
    ("CREATE TABLE new (a int); UPDATE new SET a = 1 WHERE a IS NULL; SELECT a FROM new FOR UPDATE", set()),
    # The same while the transaction holds a lock that makes others wait.
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE q IS NULL", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE id > 0", {"rows-under-lock"}),
    (
        "ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = o.b FROM other o WHERE o.id = orders.other_id",
        {"rows-under-lock"},
    ),
    ("ALTER TABLE orders ADD COLUMN q int; DELETE FROM orders WHERE at < now()", {"rows-under-lock"}),
    (
        (
            "ALTER TABLE orders ADD COLUMN q int; MERGE INTO orders USING other o ON o.id = orders.id WHEN MATCHED THEN"
            " UPDATE SET q = o.b"
        ),
        {"rows-under-lock", "insert-from-select"},
    ),
    ("ALTER TABLE orders ADD COLUMN q int; SELECT id FROM orders WHERE a > 0 FOR UPDATE", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; SELECT count(*) FROM other", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE other SET a = 1 WHERE a IS NULL", {"rows-under-lock"}),
    (
        "ALTER TABLE orders ADD COLUMN q int; CREATE TABLE new (a int); INSERT INTO new SELECT a FROM orders",
        {"rows-under-lock"},
    ),
    ("ALTER TABLE orders ADD COLUMN q int; CREATE TABLE new AS SELECT a FROM orders", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; COPY orders (q) FROM '/tmp/q'", {"rows-under-lock", "insert-from-select"}),
    (
        (
            "ALTER TABLE orders ADD COLUMN q int; WITH x AS (UPDATE orders SET q = 1 WHERE q IS NULL RETURNING q)"
            " SELECT count(*) FROM x"
        ),
        {"rows-under-lock"},
    ),
    (
        "ALTER TABLE orders ADD COLUMN q int; DO $$ BEGIN EXECUTE 'UPDATE orders SET q = 1 WHERE q IS NULL'; END $$",
        {"rows-under-lock"},
    ),
    (
        (
            "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f(); UPDATE orders SET a = 1 WHERE"
            " a IS NULL"
        ),
        {"create-trigger", "rows-under-lock"},
    ),
    ("ALTER TABLE orders ADD COLUMN q int; ALTER TABLE orders VALIDATE CONSTRAINT c", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; ALTER TABLE other VALIDATE CONSTRAINT c", {"rows-under-lock"}),
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE id = 7", set()),
    ("ALTER TABLE orders ADD COLUMN q int; INSERT INTO other VALUES (1), (2)", set()),
    ("ALTER TABLE orders ADD COLUMN q int; SELECT max(id) FROM orders", set()),
    ("ALTER TABLE orders ADD COLUMN q int; SELECT 1 FROM pg_class", set()),
    ("ALTER TABLE orders SET (fillfactor = 70); UPDATE orders SET a = 1 WHERE a IS NULL", {"unbounded-write"}),
    ("UPDATE orders SET a = 1 WHERE a IS NULL; ALTER TABLE orders ADD COLUMN q int", {"unbounded-write"}),
    ("CREATE TABLE new (id int, a int); ALTER TABLE new ADD COLUMN q int; UPDATE new SET q = a WHERE q IS NULL", set()),
    ("WITH x AS (UPDATE orders SET a = 1 RETURNING a) SELECT count(*) FROM x", {"whole-table-update"}),
    ("DELETE FROM orders", {"whole-table-delete"}),
    ("DELETE FROM orders WHERE id = 7", set()),
    ("TRUNCATE orders", {"truncate"}),
    ("TRUNCATE orders CASCADE", {"truncate"}),
    ("INSERT INTO other SELECT * FROM orders", {"insert-from-select"}),
    ("INSERT INTO other VALUES (1), (2)", set()),
    ("INSERT INTO other SELECT 1, id FROM orders WHERE id = 7", set()),
    ("MERGE INTO other USING (VALUES (1, 2)) v(id, a) ON other.id = v.id WHEN MATCHED THEN UPDATE SET a = v.a", set()),
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
    ("COMMENT ON COLUMN orders.a IS 'x'; COMMENT ON INDEX i IS 'y'", set()),
    ("ALTER TABLE orders SET (autovacuum_enabled = false); ALTER TABLE orders RESET (fillfactor)", set()),
    ("ALTER TABLE orders SET WITHOUT OIDS; ALTER TABLE orders SET WITHOUT CLUSTER", set()),
    ("ALTER TABLE orders ALTER COLUMN a SET STORAGE EXTERNAL, ALTER COLUMN a SET (n_distinct = 5)", set()),
    ("SELECT 1; SELECT set_config('search_path', '', false); RESET ALL", set()),
    ("CREATE SCHEMA archive; CREATE SEQUENCE s; CREATE TYPE pair AS (a int)", set()),
    ("LOCK TABLE orders", {"lock-table"}),
    ("LOCK orders IN SHARE MODE", {"lock-table"}),
    ("LOCK orders IN ROW EXCLUSIVE MODE", set()),
    ("REFRESH MATERIALIZED VIEW sums", {"refresh-materialized-view"}),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY sums", set()),
    ("CREATE TABLE p1 PARTITION OF orders FOR VALUES IN (1)", {"create-partition-of"}),
    ("ALTER TABLE orders ATTACH PARTITION p1 FOR VALUES IN (1)", {"attach-partition"}),
    (
        "CREATE TABLE p1 (LIKE orders); ALTER TABLE orders ATTACH PARTITION p1 FOR VALUES IN (1)",
        {"create-partition-of"},
    ),
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
    ("ALTER TABLE orders ENABLE REPLICA TRIGGER t", {"disable-trigger"}),
    ("ALTER FUNCTION f(int) SET search_path = shop", {"replace-in-expand"}),
    (
        "CREATE TABLE new (a int); ALTER TABLE new ADD FOREIGN KEY (a) REFERENCES orders",
        {"reference-to-live-table"},
    ),
    ("SET session_replication_role = replica", {"disable-trigger"}),
    ("CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING", {"create-rule"}),
    ("CREATE POLICY p ON orders USING (true)", {"row-security-in-expand"}),
    ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", {"row-security-in-expand"}),
    ("GRANT SELECT ON orders TO somebody", set()),
    ("REVOKE SELECT ON orders FROM somebody", {"revoke-in-expand"}),
    ("ALTER TYPE money_kind ADD ATTRIBUTE a int", {"alter-type"}),
    ("ALTER TYPE money_kind ALTER ATTRIBUTE a TYPE bigint CASCADE", {"alter-type"}),
    ("ALTER TYPE colour ADD VALUE 'red'", set()),
    ("ALTER TYPE colour ADD VALUE IF NOT EXISTS 'red' AFTER 'blue'; INSERT INTO other VALUES ('blue')", set()),
    (
        "ALTER TYPE colour ADD VALUE 'red'; ALTER TABLE orders ALTER c SET DEFAULT 'red'",
        {"enum-value-in-same-transaction"},
    ),
    (
        "ALTER TYPE colour ADD VALUE 'red'; INSERT INTO other VALUES (1, 'red')",
        {"enum-value-in-same-transaction"},
    ),
    (
        "CREATE TYPE colour AS ENUM (); ALTER TYPE colour ADD VALUE 'red'; CREATE TABLE new (c colour DEFAULT 'red')",
        {"enum-value-in-same-transaction"},
    ),
    ("ALTER TYPE colour RENAME VALUE 'red' TO 'crimson'", {"rename-in-expand"}),
    ("CREATE TYPE colour AS ENUM ('red')", set()),
    ("DROP FUNCTION f(int)", {"drop-in-expand"}),
    ("DROP FUNCTION f(int); CREATE FUNCTION f(a bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'", {"drop-in-expand"}),
    ("DROP FUNCTION f(int); CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'", {"replace-in-expand"}),
    (
        (
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f(int); CREATE FUNCTION"
            " f(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'; REVOKE ALL ON FUNCTION f(int) FROM PUBLIC"
        ),
        set(),
    ),
    ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; END $$", set()),
    ("DROP VIEW v; CREATE VIEW v AS SELECT 1", {"replace-in-expand"}),
    ("CREATE VIEW v AS SELECT 1 AS a; CREATE OR REPLACE VIEW v AS SELECT 1 AS a, 2 AS b; DROP VIEW v", set()),
    ("DROP VIEW v", {"drop-in-expand"}),
    ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", {"replace-in-expand"}),
    (
        (
            "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'; CREATE FUNCTION f(a int, b int"
            " DEFAULT 0) RETURNS int LANGUAGE sql AS 'SELECT 2'"
        ),
        {"replace-in-expand", "function-overload"},
    ),
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
    ("SELECT setval('orders_id_seq', 1000)", {"sequence-restart"}),
    ("SELECT setval('orders_id_seq'::regclass, 1, false)", {"sequence-restart"}),
    ("SELECT setval('orders_id_seq', (SELECT coalesce(max(id), 1) FROM orders))", set()),
    ("CREATE TABLE new (id serial); SELECT setval('new_id_seq', 1000)", set()),
    ("CREATE TABLE new (id serial); SELECT setval(pg_get_serial_sequence('new', 'id'), 1000)", set()),
    ("ALTER SEQUENCE orders_id_seq RESTART", {"sequence-restart"}),
    ("ALTER SEQUENCE orders_id_seq RESTART WITH 1", {"sequence-restart"}),
    ("ALTER SEQUENCE orders_id_seq CACHE 50", set()),
    ("ALTER TYPE colour OWNER TO somebody", set()),
    ("ALTER TABLE orders ALTER COLUMN id RESTART WITH 1", {"sequence-restart"}),
    ("ALTER SEQUENCE orders_id_seq OWNED BY orders.id", set()),
    ("ALTER SEQUENCE orders_id_seq AS bigint", set()),
    ("CREATE SEQUENCE s; ALTER SEQUENCE s RESTART WITH 9", set()),
    ("ALTER TABLE orders OWNER TO somebody", {"owner-in-expand"}),
    ("ALTER FUNCTION f(int) OWNER TO somebody", {"owner-in-expand"}),
    ("ALTER SCHEMA shop OWNER TO somebody", {"owner-in-expand"}),
    ("ALTER SEQUENCE orders_id_seq OWNER TO somebody", {"owner-in-expand"}),
    (
        (
            "CREATE TABLE new (id serial); ALTER TABLE new OWNER TO us; ALTER SEQUENCE new_id_seq OWNER TO us;"
            " CREATE VIEW v AS SELECT 1; ALTER VIEW v OWNER TO us; CREATE SCHEMA s; ALTER SCHEMA s OWNER TO us"
        ),
        set(),
    ),
    ("CALL migrate_everything()", {"unseen"}),
    ("EXPLAIN ANALYZE DELETE FROM orders", {"unseen"}),
    ("EXPLAIN DELETE FROM orders", set()),
    ("DROP STATISTICS s", set()),
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
    ("DROP INDEX CONCURRENTLY uq_orders_number", {"drop-key-in-expand"}),
    ("CREATE INDEX CONCURRENTLY ON orders (a)", {"index-name"}),
    (f"CREATE INDEX CONCURRENTLY {'i' * 64} ON orders (a)", {"index-name"}),
    (f"CREATE INDEX CONCURRENTLY {'i' * 63} ON orders (a)", set()),
    (f'CREATE INDEX CONCURRENTLY "{"ü" * 32}" ON orders (a)', {"index-name"}),
    ('CREATE INDEX CONCURRENTLY "By A" ON orders (a)', set()),
    (
        "CREATE TABLE parts (a int) PARTITION BY LIST (a); CREATE INDEX CONCURRENTLY i ON parts (a)",
        {"concurrently-on-partitioned", "concurrently-not-alone"},
    ),
    ("ALTER TYPE colour ADD VALUE 'red'; ALTER TABLE orders ALTER c SET DEFAULT 'red'", set()),
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE q IS NULL", {"unbounded-write"}),
    (
        "DO $$ BEGIN ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE q IS NULL; END $$",
        {"rows-under-lock"},
    ),
    (
        (
            "DO $$ BEGIN LOOP UPDATE orders SET a = 1 WHERE id IN (SELECT id FROM orders WHERE a IS NULL LIMIT 1000);"
            " EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$"
        ),
        set(),
    ),
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
    ("ALTER TABLE orders DROP CONSTRAINT orders_number_key", set()),
    ("ALTER TABLE orders OWNER TO somebody", set()),
    ("ALTER TABLE orders ADD COLUMN q int; UPDATE orders SET q = a WHERE q IS NULL", {"rows-under-lock"}),
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
    # These two are about files, not about statements: test_migration_sources.py has them.
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
