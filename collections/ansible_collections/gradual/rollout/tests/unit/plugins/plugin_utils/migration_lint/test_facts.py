# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint learned is forgotten when a later statement takes it away, follows a rename, and is not believed
when it only may have happened."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source

MADE = "CREATE TABLE orders (id int PRIMARY KEY, a int, b text UNIQUE, c varchar(50), d int NOT NULL)"
PROOF = f"{MADE}; ALTER TABLE orders ADD CONSTRAINT ck CHECK (a IS NOT NULL)"
SCAN = {"adding-not-nullable-field", "not-null-in-expand"}
INDEX = {"require-concurrent-index-creation"}


def broken(before: str, sql: str, phase: str = "expand", transaction: int | None = 1) -> set[str]:
    """Rules of a revision, after an applied one."""
    files = [
        Source(name, phase, f"{name}.sql", (Piece(text, 1, transaction),)) for name, text in (("1", before), ("2", sql))
    ]
    return {one["rule"] for one in judge.judge(files, State(frozenset("2"))) if one["revision"] == "2"}


SET = "ALTER TABLE orders ALTER a SET NOT NULL"


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("", set()),
        # The proof itself.
        ("ALTER TABLE orders DROP CONSTRAINT ck", SCAN),
        ("ALTER TABLE orders DROP CONSTRAINT IF EXISTS ck", SCAN),
        ("ALTER TABLE orders RENAME CONSTRAINT ck TO kc; ALTER TABLE orders DROP CONSTRAINT kc", SCAN),
        ("ALTER TABLE orders RENAME CONSTRAINT ck TO kc", set()),
        ("DO $$ BEGIN IF x THEN ALTER TABLE orders DROP CONSTRAINT ck; END IF; END $$", SCAN),
        # A second proof remains.
        ("ALTER TABLE orders ADD CHECK (a IS NOT NULL); ALTER TABLE orders DROP CONSTRAINT ck", set()),
        # Its name is PostgreSQL's own.
        (
            (
                "ALTER TABLE orders DROP CONSTRAINT ck; ALTER TABLE orders ADD CHECK (a IS NOT NULL);"
                " ALTER TABLE orders DROP CONSTRAINT orders_a_check"
            ),
            SCAN,
        ),
        # The column.
        ("ALTER TABLE orders DROP COLUMN a; ALTER TABLE orders ADD COLUMN a int", SCAN),
        ("ALTER TABLE orders RENAME a TO z; ALTER TABLE orders ADD COLUMN a int", SCAN),
        ("ALTER TABLE orders RENAME a TO z; ALTER TABLE orders RENAME z TO a", set()),
        ("ALTER TABLE orders ALTER a TYPE text", SCAN),
        ("ALTER TABLE orders ALTER a SET NOT NULL; ALTER TABLE orders DROP CONSTRAINT ck", set()),
        ("ALTER TABLE orders ALTER a SET NOT NULL, DROP CONSTRAINT ck; ALTER TABLE orders ALTER a DROP NOT NULL", SCAN),
        # The table.
        ("DROP TABLE orders; CREATE TABLE orders (a int)", SCAN),
        ("ALTER TABLE orders RENAME TO old; CREATE TABLE orders (a int)", SCAN),
        ("ALTER TABLE orders SET SCHEMA old; CREATE TABLE orders (a int)", SCAN),
        ("ALTER TABLE orders RENAME TO old; ALTER TABLE old RENAME TO orders", set()),
        # What was rolled back.
        ("BEGIN; ALTER TABLE orders DROP CONSTRAINT ck; ROLLBACK", set()),
        ("SAVEPOINT s; ALTER TABLE orders DROP CONSTRAINT ck; ROLLBACK TO s", set()),
        ("SAVEPOINT s; ALTER TABLE orders DROP CONSTRAINT ck; RELEASE s", SCAN),
    ],
)
def test_a_proof_is_believed_only_while_it_is_there(before: str, wanted: set[str]) -> None:
    assert broken(f"{PROOF}; {before}", SET) == wanted


def test_one_alter_table_drops_first() -> None:
    found = broken(PROOF, "ALTER TABLE orders ALTER a SET NOT NULL, DROP CONSTRAINT ck")
    assert found == SCAN


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("SAVEPOINT s; ALTER TABLE orders ADD CONSTRAINT ck CHECK (a IS NOT NULL); ROLLBACK TO s", SCAN),
        ("DO $$ BEGIN IF x THEN ALTER TABLE orders ADD CONSTRAINT ck CHECK (a IS NOT NULL); END IF; END $$", SCAN),
        ("DO $$ BEGIN ALTER TABLE orders ALTER a SET NOT NULL; EXCEPTION WHEN others THEN NULL; END $$", SCAN),
        ("CREATE TABLE IF NOT EXISTS orders (a int NOT NULL)", SCAN),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS a int NOT NULL DEFAULT 0", SCAN),
        # The column was certainly not there.
        ("ALTER TABLE orders DROP COLUMN a; ALTER TABLE orders ADD COLUMN IF NOT EXISTS a int NOT NULL", set()),
    ],
)
def test_what_only_may_have_happened_is_not_believed(before: str, wanted: set[str]) -> None:
    assert broken(f"{MADE}; {before}", SET) == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("", set()),
        ("ALTER TABLE orders DROP CONSTRAINT orders_b_key", {"unbounded-write"}),
        ("ALTER TABLE orders DROP COLUMN b; ALTER TABLE orders ADD COLUMN b text", {"unbounded-write"}),
        ("CREATE UNIQUE INDEX i ON orders (b); ALTER TABLE orders DROP CONSTRAINT orders_b_key", set()),
        (
            "CREATE UNIQUE INDEX i ON orders (b); ALTER TABLE orders DROP CONSTRAINT orders_b_key; DROP INDEX i",
            {"unbounded-write"},
        ),
        (
            (
                "CREATE UNIQUE INDEX i ON orders (b); ALTER INDEX i RENAME TO j; DROP INDEX j;"
                " ALTER TABLE orders DROP CONSTRAINT orders_b_key"
            ),
            {"unbounded-write"},
        ),
    ],
)
def test_a_key_bounds_an_update_only_while_it_is_there(before: str, wanted: set[str]) -> None:
    assert broken(f"{MADE}; {before}", "UPDATE orders SET a = 1 WHERE b = 'x'") == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("", set()),
        ("CREATE INDEX i ON orders (lower(c))", {"changing-column-type"}),
        ("CREATE INDEX i ON orders (lower(c)); DROP INDEX i", set()),
        ("ALTER TABLE orders ADD CHECK (c <> '')", {"changing-column-type"}),
        ("ALTER TABLE orders ADD CHECK (c <> ''); ALTER TABLE orders DROP CONSTRAINT orders_c_check", set()),
        ("DO $$ BEGIN IF x THEN CREATE INDEX i ON orders (lower(c)); END IF; END $$", {"changing-column-type"}),
        (
            "CREATE INDEX i ON orders (lower(c)); DO $$ BEGIN IF x THEN DROP INDEX i; END IF; END $$",
            {"changing-column-type"},
        ),
        ("DO $$ BEGIN IF x THEN ALTER TABLE orders ALTER c TYPE int; END IF; END $$", {"changing-column-type"}),
        ("ALTER TABLE orders RENAME TO old; CREATE TABLE orders (c int)", {"changing-column-type"}),
    ],
)
def test_what_makes_a_new_type_slow_is_known_while_it_is_there(before: str, wanted: set[str]) -> None:
    assert broken(f"{MADE}; {before}", "ALTER TABLE orders ALTER c TYPE varchar(80)") == wanted


@pytest.mark.parametrize(
    ("before", "sql", "wanted"),
    [
        ("CREATE INDEX i ON orders (a)", "CREATE INDEX IF NOT EXISTS i ON orders (a)", set()),
        ("CREATE INDEX i ON orders (a); DROP INDEX i", "CREATE INDEX IF NOT EXISTS i ON orders (a)", INDEX),
        (
            "CREATE INDEX i ON orders (a); ALTER INDEX i RENAME TO j",
            "CREATE INDEX IF NOT EXISTS i ON orders (a)",
            INDEX,
        ),
        ("CREATE INDEX i ON orders (a); DROP TABLE orders", "CREATE INDEX IF NOT EXISTS i ON orders (a)", INDEX),
        (
            "CREATE INDEX i ON orders (a); ALTER TABLE orders DROP COLUMN a; ALTER TABLE orders ADD COLUMN a int",
            "CREATE INDEX IF NOT EXISTS i ON orders (a)",
            INDEX,
        ),
        ("CREATE INDEX IF NOT EXISTS i ON orders (a)", "CREATE INDEX IF NOT EXISTS i ON orders (a)", INDEX),
        # Indexes of two schemas.
        ("CREATE INDEX i ON app.orders (a)", "CREATE INDEX IF NOT EXISTS i ON orders (a)", INDEX),
        ("CREATE INDEX i ON orders (a)", "CREATE INDEX IF NOT EXISTS i ON app.orders (a)", INDEX),
        ("CREATE INDEX i ON app.orders (a)", "CREATE INDEX IF NOT EXISTS i ON app.orders (a)", set()),
        (
            "CREATE INDEX i ON orders (a); ALTER TABLE orders SET SCHEMA app",
            "CREATE INDEX IF NOT EXISTS i ON app.orders (a)",
            set(),
        ),
        ("CREATE UNIQUE INDEX i ON app.orders (a)", "DROP INDEX CONCURRENTLY app.i", {"drop-key-in-expand"}),
        ("CREATE UNIQUE INDEX i ON app.orders (a)", "DROP INDEX CONCURRENTLY i", set()),
        ("SELECT 1", "DROP INDEX CONCURRENTLY app.uq_orders_number", {"drop-key-in-expand"}),
        ("SELECT 1", "ALTER INDEX app.orders_number_key RENAME TO x", {"rename-in-expand"}),
        ("SELECT 1", "ALTER TABLE app.orders DROP CONSTRAINT uq_orders_number", {"drop-key-in-expand"}),
        (
            "CREATE TABLE app.o (a int, CONSTRAINT one UNIQUE (a))",
            "ALTER INDEX app.one RENAME TO x",
            {"rename-in-expand"},
        ),
    ],
)
def test_an_index_is_known_by_its_schema_and_while_it_is_there(before: str, sql: str, wanted: set[str]) -> None:
    assert broken(f"{MADE}; {before}", sql, transaction=None) == wanted


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        # A temporary table hides a live one, which its full name still means.
        ("CREATE TEMP TABLE orders (a int); CREATE INDEX i ON orders (a)", set()),
        ("CREATE TEMP TABLE orders (a int); CREATE INDEX i ON public.orders (a)", INDEX),
        ("CREATE TEMP TABLE orders AS SELECT 1 AS a; CREATE INDEX i ON public.orders (a)", INDEX),
        ("SELECT 1 AS a INTO TEMP orders; CREATE INDEX i ON public.orders (a)", INDEX),
        ("CREATE TEMP TABLE orders (a int); DROP TABLE orders; CREATE INDEX i ON orders (a)", INDEX),
        ("CREATE TABLE pg_temp.orders (a int); CREATE INDEX i ON public.orders (a)", INDEX),
        # search_path.
        ("SET search_path TO app; CREATE TABLE orders (a int); CREATE INDEX i ON orders (a)", set()),
        ("SET search_path TO app; CREATE TABLE orders (a int); CREATE INDEX i ON app.orders (a)", set()),
        ("SET search_path TO app; CREATE TABLE orders (a int); CREATE INDEX i ON public.orders (a)", INDEX),
        ("SET LOCAL search_path = app, public; CREATE TABLE x (a int); CREATE INDEX i ON public.x (a)", INDEX),
        (
            "SELECT set_config('search_path', 'app', false); CREATE TABLE x (a int); CREATE INDEX i ON public.x (a)",
            INDEX,
        ),
        ("CREATE TABLE x (a int); SET search_path TO app; CREATE INDEX i ON x (a)", INDEX),
        ("CREATE TABLE x (a int); SET search_path TO app; SET search_path TO public; CREATE INDEX i ON x (a)", set()),
        ("SET search_path TO app; RESET search_path; CREATE TABLE x (a int); CREATE INDEX i ON x (a)", set()),
        # Renamed and dropped.
        ("CREATE TABLE x (a int); ALTER TABLE x RENAME TO y; CREATE INDEX i ON y (a)", set()),
        ("CREATE TABLE x (a int); ALTER TABLE x RENAME TO y; CREATE INDEX i ON x (a)", INDEX),
        ("CREATE TABLE x (a int); DROP TABLE x; CREATE INDEX i ON x (a)", INDEX),
        ("CREATE TABLE x (a int); ALTER TABLE x SET SCHEMA app; CREATE INDEX i ON app.x (a)", set()),
        ("CREATE TABLE x (a int); ALTER TABLE x SET SCHEMA app; CREATE INDEX i ON x (a)", INDEX),
        ("CREATE SCHEMA app; CREATE TABLE app.x (a int); DROP SCHEMA app; CREATE INDEX i ON app.x (a)", INDEX),
        (
            "CREATE TABLE x (a int); ALTER TABLE x RENAME TO y; ALTER TABLE z RENAME TO x; CREATE INDEX i ON x (a)",
            {*INDEX, "rename-in-expand"},
        ),
        ("SAVEPOINT s; CREATE TABLE x (a int); ROLLBACK TO s; CREATE INDEX i ON x (a)", INDEX),
        # A name alone says nothing of a sequence's table.
        ("CREATE TABLE web (id int); UPDATE web_orders_seq SET a = 1", {"whole-table-update"}),
        ("CREATE TABLE web (id serial); SELECT setval('web_orders_seq', 1)", {"sequence-restart"}),
        ("CREATE TABLE web (id serial); SELECT setval('web_id_seq', 1)", set()),
        ("CREATE TABLE app.web (id serial); SELECT setval('app.web_id_seq', 1)", set()),
        ("CREATE TABLE app.web (id serial); SELECT setval('web_id_seq', 1)", {"sequence-restart"}),
        ("CREATE TABLE web (id int); CREATE VIEW live AS SELECT 1; UPDATE live_seq SET a = 1", {"whole-table-update"}),
        # Columns that are new.
        ("ALTER TABLE orders ADD x int; ALTER TABLE orders RENAME x TO y; ALTER TABLE orders DROP y", set()),
        (
            "ALTER TABLE orders ADD x int; ALTER TABLE orders DROP x; ALTER TABLE orders DROP x",
            {"drop-in-expand"},
        ),
    ],
)
def test_a_table_is_new_only_if_this_rollout_made_it(sql: str, wanted: set[str]) -> None:
    assert broken(MADE, sql) == wanted


def test_a_temporary_table_of_another_session_is_none() -> None:
    road = [
        Source("1", "expand", "1.sql", (Piece("CREATE TEMP TABLE x (a int)", 1, 1),)),
        Source("2", "expand", "2.sql", (Piece("CREATE INDEX i ON x (a)", 1, 1),)),
    ]
    assert [one["rule"] for one in judge.judge(road, State(frozenset(("1", "2"))))] == [*INDEX]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("CREATE TEMP TABLE x (a int) ON COMMIT DROP; CREATE INDEX i ON x (a)", set()),
        ("BEGIN; CREATE TEMP TABLE x (a int) ON COMMIT DROP; COMMIT; CREATE INDEX i ON x (a)", INDEX),
        ("BEGIN; SET LOCAL search_path = app; COMMIT; CREATE TABLE x (a int); CREATE INDEX i ON public.x (a)", set()),
        ("BEGIN; SET search_path = app; COMMIT; CREATE TABLE x (a int); CREATE INDEX i ON public.x (a)", INDEX),
    ],
)
def test_what_ends_with_a_transaction(sql: str, wanted: set[str]) -> None:
    assert broken("SELECT 1", sql, transaction=1 if "BEGIN" not in sql else None) == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("CREATE TABLE p (at int, b int); ALTER TABLE p ADD CONSTRAINT c CHECK (at = 1)", {"create-partition-of"}),
        ("CREATE TABLE p (at int, b int); ALTER TABLE p ADD CONSTRAINT c CHECK (b = 1)", {"attach-partition"}),
        (
            "CREATE TABLE p (at int, b int, CONSTRAINT c CHECK (at = 1)); ALTER TABLE p DROP CONSTRAINT c",
            {"attach-partition"},
        ),
        (
            "CREATE TABLE p (at int, CONSTRAINT c CHECK (at = 1)); DROP TABLE p; CREATE TABLE p (at int)",
            {"attach-partition"},
        ),
    ],
)
def test_a_check_proves_the_bounds_of_a_partition_while_it_is_there(before: str, wanted: set[str]) -> None:
    made = "CREATE TABLE parts (at int, b int) PARTITION BY LIST (at)"
    assert broken(f"{made}; {before}", "ALTER TABLE parts ATTACH PARTITION p FOR VALUES IN (1)") == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("CREATE TABLE rest PARTITION OF parts DEFAULT", {"attach-partition"}),
        ("CREATE TABLE rest PARTITION OF parts DEFAULT; DROP TABLE rest", {"create-partition-of"}),
        (
            "CREATE TABLE rest PARTITION OF parts DEFAULT; ALTER TABLE parts DETACH PARTITION rest",
            {"create-partition-of"},
        ),
    ],
)
def test_a_default_partition_is_read_while_it_is_there(before: str, wanted: set[str]) -> None:
    made = "CREATE TABLE parts (at int) PARTITION BY LIST (at)"
    assert broken(f"{made}; {before}", "CREATE TABLE p PARTITION OF parts FOR VALUES IN (1)") == wanted
