"""Healthy databases of other people: their names, settings and objects never decide whether a backup can be proven."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import registry
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.module_utils.verify import corruption

from .server import OWNER, RUN_AS, Server, Shop, meanwhile, throwaway, until

NAMES = ("MyShop", "shop.v2", 'an "odd" $name, it\'s 100% \u00fc\\ a=b*')
# Each entry is one kind of object that a restored copy shows in another form, or that the restore mentions.
OBJECTS = {
    "a publication beside a check that a dump writes in another form": (
        "CREATE TABLE o (id int PRIMARY KEY, status varchar(10) CHECK (status IN ('new', 'paid')))",
        "INSERT INTO o VALUES (1, 'new')",
        "CREATE PUBLICATION dbz FOR ALL TABLES",
        "CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION dbz WITH (connect = false)",
    ),
    "inherited columns in another order": (
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child (b int) INHERITS (parent)",
        "ALTER TABLE parent ADD COLUMN z int",
        "INSERT INTO child (a, b, z) VALUES (1, 2, 3)",
    ),
    "a partition with other columns before its own": (
        "CREATE TABLE parts (id int, at date, note point) PARTITION BY RANGE (at)",
        "CREATE TABLE part (note point, gone int, at date, id int)",
        "ALTER TABLE part DROP COLUMN gone",
        "ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "INSERT INTO parts VALUES (1, '2026-05-01', '(1,2)')",
    ),
    "a large object with holes": (
        "SELECT lo_create(4711)",
        "SELECT lo_put(4711, 3000000, 'tail')",
        "SELECT lo_put(4711, 10, 'head')",
    ),
    "two tables whose quoted names read the same": (
        'CREATE SCHEMA "a.b"',
        "CREATE SCHEMA a",
        'CREATE TABLE "a.b".c AS SELECT 1 x',
        'CREATE TABLE a."b.c" AS SELECT 2 x UNION SELECT 3',
    ),
    "a sequence that was restarted and not called": (
        "CREATE TABLE r (id bigserial PRIMARY KEY)",
        "ALTER SEQUENCE r_id_seq RESTART WITH 1000000",
        "CREATE SEQUENCE down INCREMENT -3",
        "SELECT nextval('down')",
        "CREATE SEQUENCE last MAXVALUE 9223372036854775807 START 9223372036854775807",
        "SELECT nextval('last')",
    ),
    "names in a table's rows, beside an invalid index with an expression": (
        'CREATE SCHEMA "in"',
        'CREATE TABLE "in".named (a regclass, b regtype[], c text)',
        "SET search_path = pg_catalog",
        "INSERT INTO \"in\".named SELECT oid, ARRAY[reltype::regtype], relname FROM pg_class WHERE relname = 'named'",
        "SET search_path = public",
        'CREATE INDEX named_c ON "in".named (lower(c))',
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"in\".named_c'::regclass",
    ),
    "ends of lines that are none in SQL": (
        "CREATE TABLE lines (a int)",
        "COMMENT ON TABLE lines IS E'a\u2028b\x0bc\x85d\x1ce\r\\nf'",
    ),
    "a trigger against extensions": (
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on my watch'; END $$",
        (
            "CREATE EVENT TRIGGER no_extension ON ddl_command_start WHEN tag IN ('CREATE EXTENSION', 'DROP EXTENSION')"
            " EXECUTE FUNCTION refuse()"
        ),
        "CREATE EVENT TRIGGER no_drop ON sql_drop EXECUTE FUNCTION refuse()",
        "ALTER EVENT TRIGGER no_drop ENABLE ALWAYS",
    ),
}
# Of the database or of the roles that look at it; none may reach a session of Gradual's.
SETTINGS = {
    "default_tablespace": "elsewhere",
    "temp_tablespaces": "elsewhere",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "search_path": "nowhere",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "500",
    "row_security": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "debug1",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "temp_file_limit": "0",
    "work_mem": "64kB",
    "role": OWNER,
}
VALUES = (
    "CREATE TABLE v (a text[], f float8, b bytea, i interval, t timestamptz, e text, m money)",
    "INSERT INTO v VALUES ('{NULL,a}', 0.1, '\\x00ff', '-1 day 2:00', now(), '\u4e2d', 12.3)",
    "ALTER TABLE v ENABLE ROW LEVEL SECURITY",
    "CREATE TABLE many AS SELECT g, md5(g::text) FROM generate_series(1, 5000) g",
    "CREATE INDEX ON many (md5)",
)


@contextlib.contextmanager
def database(server: Server, name: str, *statements: str) -> Iterator[Shop]:
    """A database of that name, whatever characters it has, and its end."""
    shop = Shop(server, name, Path("/nonexistent"))
    quoted = '"' + name.replace('"', '""').replace("%", "%%") + '"'
    with server.session() as session:
        session.run(f"CREATE DATABASE {quoted} OWNER {OWNER}", ())
        try:
            shop.run(*statements)
            yield shop
        finally:
            # A database with a subscription cannot be dropped, and this one has triggers against DROP.
            session.run("DELETE FROM pg_subscription", ())
            session.run(f"DROP DATABASE {quoted} WITH (FORCE)", ())


@pytest.mark.parametrize("name", NAMES)
def test_a_database_is_proven_sound_whatever_its_name_is(server: Server, name: str) -> None:
    with database(server, name, "CREATE TABLE t AS SELECT 1 a", "CREATE INDEX ON t (a)") as shop:
        assert shop.prove(shop.back_up()["path"], "sound")["level"] == "sound"


def test_another_database_whose_name_fits_is_not_taken_for_it(server: Server) -> None:
    """pg_amcheck takes a pattern, and a copy of the files has both databases."""
    broken = "UPDATE pg_class SET relfrozenxid = '1000000' WHERE relname = 't'"
    made = ("CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT 1 a", "CREATE INDEX ON t (a)")
    with database(server, "MyShop", *made, broken) as shop, database(server, "myshop", *made):
        taken = shop.back_up("basebackup")

        def work() -> list[list[str]]:
            with registry.of("basebackup").restored_copy(
                taken["path"], taken["receipt"], str(server.folder), 60
            ) as scratch:
                sessions = [Session(scratch.parameters(name)) for name in ("MyShop", "myshop")]
                return [corruption.found_in(session, 60).corruption for session in sessions]

        bad, good = as_user(RUN_AS, work)
    assert len(bad) == 1
    assert re.match(r"public\.t: block 0, row 1: xmin \d+ precedes relation freeze threshold", bad[0])
    assert good == []


@pytest.fixture(scope="module")
def objects(server: Server) -> Iterator[Shop]:
    """All kinds of objects in one database."""
    with database(server, "Objects", *(one for kind in OBJECTS.values() for one in kind)) as shop:
        yield shop


@pytest.mark.parametrize("method", ["dump", "basebackup"])
def test_objects_that_come_back_in_another_form_are_equal(objects: Shop, method: str) -> None:
    receipt = objects.prove(objects.back_up(method)["path"], "sound")
    assert receipt["level"] == "sound"
    assert receipt["tables"]['"a.b".c']["rows"] == 1
    assert receipt["tables"]['a."b.c"']["rows"] == 2


@pytest.mark.parametrize("method", ["dump", "basebackup"])
def test_settings_of_the_database_and_its_roles_decide_nothing(server: Server, method: str) -> None:
    with database(server, "Set", *VALUES) as shop:
        changes = [f"{name} = '{value}'" for name, value in SETTINGS.items()]
        whose = ('DATABASE "Set"', f"ROLE {RUN_AS}", f'ROLE {RUN_AS} IN DATABASE "Set"')
        try:
            shop.run(*(f"ALTER {who} SET {change}" for who in whose for change in changes))
            assert shop.prove(shop.back_up(method)["path"], "sound")["level"] == "sound"
        finally:
            server.run(f"ALTER ROLE {RUN_AS} RESET ALL")


FUNCTION_WITHOUT_PATH = (
    "CREATE TABLE p (name text)",
    "INSERT INTO p VALUES ('a b')",
    "CREATE FUNCTION dash(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT replace(t, ' ', '-') $$",
    "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT dash(t) $$",
    "CREATE INDEX p_slug ON p (slug(name))",
)


def test_a_copy_of_the_files_needs_no_function_of_an_index(server: Server) -> None:
    with database(server, "paths", *FUNCTION_WITHOUT_PATH) as shop:
        assert shop.prove(shop.back_up("basebackup")["path"], "sound")["level"] == "sound"
        # A restore of a dump computes the index, with an empty search path.
        path = shop.back_up()["path"]
        wanted = r"is not restored: .*dash\(text\) does not exist.*CREATE INDEX p_slug ON public\.p .*SET search_path"
        with pytest.raises(Exception, match=wanted):
            shop.prove(path)
        shop.run("ALTER FUNCTION slug(text) SET search_path = public")
        assert shop.proven()["level"] == "restored"


# Written by SET … FROM CURRENT, which keeps a list as it was given.
LISTS = ('"$user",public', 'a,  "B" , Public', "", '""')


@pytest.mark.parametrize("value", LISTS)
def test_a_list_of_names_is_equal_however_it_is_written(server: Server, value: str) -> None:
    kept = f"SELECT set_config('search_path', '{value}', false)"
    with database(server, "Lists", kept, 'ALTER DATABASE "Lists" SET search_path FROM CURRENT') as shop:
        assert shop.proven()["level"] == "restored"


def test_an_index_is_right_by_the_search_path_that_it_was_filled_with(server: Server) -> None:
    dash = "CREATE FUNCTION {}.dash(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT replace(t, ' ', '{}') $$"
    with database(
        server,
        "Paths",
        "CREATE SCHEMA own",
        dash.format("own", "-"),
        dash.format("public", "+"),
        "CREATE FUNCTION own.slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN dash(t); END $$",
        "CREATE FUNCTION own.odd(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN dashed(t); END $$",
        "CREATE FUNCTION own.dashed(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT t $$",
        "CREATE TABLE own.p AS SELECT 'a b' AS name",
        "SET search_path = own",
        "CREATE INDEX p_slug ON own.p (own.slug(name))",
        "CREATE INDEX p_odd ON own.p (own.odd(name))",
        "DROP FUNCTION own.dashed(text)",
        'ALTER DATABASE "Paths" SET search_path = own',
    ) as shop:
        receipt = shop.prove(shop.back_up("basebackup")["path"], "sound")
    # PostgreSQL 15.18 checks p_slug by the search path that is set. In 15.20 amcheck sets its own, so nobody can.
    found = [re.match(r"index own\.(\w+) of p was not compared with its table", one) for one in receipt["unchecked"]]
    assert [one and one[1] for one in found] in (["p_odd"], ["p_slug", "p_odd"])
    assert "dashed(text)" in receipt["unchecked"][-1]


def test_the_time_to_look_for_corruption_is_of_all_queries_together(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which each query takes a second, and there are more than five."""
    shop.run(*(f"CREATE TABLE t{number} (id int PRIMARY KEY)" for number in range(2 * corruption.BATCH)))
    seconds = itertools.count()
    monkeypatch.setattr(corruption, "time", types.SimpleNamespace(monotonic=lambda: next(seconds)))
    with shop.session() as session:
        assert corruption.found_in(session, 60) == corruption.Found([], [])
        with pytest.raises(DatabaseError, match="did not check all tables and indexes within 5 s"):
            corruption.found_in(session, 5)
        assert session.value("SHOW statement_timeout") == "0"


def test_an_amcheck_that_cannot_check_tables_says_so(empty: Shop) -> None:
    """PostgreSQL 13 has version 1.2."""
    empty.run("CREATE EXTENSION amcheck VERSION '1.2'")
    with empty.session() as session:
        check = corruption.Check(session, "public", 60)
        assert not check.checks_heaps()
        assert check.indexes() == []
        assert re.match(
            r"amcheck of PostgreSQL \d+ cannot check tables .*only indexes were checked", check.unchecked[0]
        )
        session.run("ALTER EXTENSION amcheck UPDATE")
        assert check.checks_heaps()


def test_names_and_comments_in_another_encoding_come_back(server: Server) -> None:
    name = "latin"
    server.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        shop = Shop(server, name, Path("/nonexistent"))
        shop.run(
            f"COMMENT ON DATABASE {name} IS 'größer'",
            "CREATE MATERIALIZED VIEW größe AS SELECT 'ä'::text a",
            "CREATE MATERIALIZED VIEW ableitung AS SELECT * FROM größe",
            "CREATE MATERIALIZED VIEW leer AS SELECT * FROM größe WITH NO DATA",
        )
        assert shop.proven()["unchecked"] == []
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


# Databases from public reports, of which no dump can be restored: (statements, what the message ends with, the remedy).
NOT_RESTORED = {
    # github.com/supabase/cli/issues/3921
    "a generated column whose function calls another": (
        (
            "CREATE FUNCTION dash(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT replace(t, ' ', '-') $$",
            "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN dash(t); END $$",
            "CREATE TABLE g (name text, slug text GENERATED ALWAYS AS (slug(name)) STORED)",
            "INSERT INTO g VALUES ('a b')",
        ),
        r"dash\(text\) does not exist.*ALTER FUNCTION … SET search_path = …",
        "ALTER FUNCTION slug(text) SET search_path = public",
    ),
    # github.com/dimitri/pgcopydb/issues/484
    "a materialized view with a query in a text": (
        (
            "CREATE TABLE d AS SELECT to_tsvector('simple', 'a b') words",
            "CREATE MATERIALIZED VIEW w AS SELECT word FROM ts_stat('SELECT words FROM d')",
        ),
        r"public\.w cannot be computed: .*\"d\" does not exist.*function or query that uses it must say the schema",
        "DROP MATERIALIZED VIEW w; CREATE MATERIALIZED VIEW w AS SELECT * FROM ts_stat('SELECT words FROM public.d')",
    ),
    # github.com/constructive-io/constructive/pull/1675
    "a trigger that compares values of an extension's type": (
        (
            "CREATE SCHEMA extensions",
            "CREATE EXTENSION hstore SCHEMA extensions",
            "CREATE TABLE h (a extensions.hstore)",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "SET search_path = public, extensions",
            "CREATE TRIGGER t AFTER UPDATE ON h FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION f()",
        ),
        r"operator does not exist: extensions\.hstore = extensions\.hstore.*write OPERATOR\(schema\.=\)",
        (
            "DROP TRIGGER t ON h; CREATE TRIGGER t AFTER UPDATE ON h FOR EACH ROW"
            " WHEN (NOT OLD.a OPERATOR(extensions.=) NEW.a) EXECUTE FUNCTION f()"
        ),
    ),
    # github.com/dimitri/pgcopydb/issues/264
    "a check that reads another table": (
        (
            "CREATE TABLE words (val text)",
            "INSERT INTO words VALUES ('a')",
            "CREATE FUNCTION known(t text) RETURNS bool LANGUAGE sql AS 'SELECT t IN (SELECT val FROM public.words)'",
            "CREATE TABLE checked (val text CONSTRAINT is_known CHECK (known(val)))",
            "INSERT INTO checked VALUES ('a')",
        ),
        r"violates check constraint \"is_known\".*NOT VALID is restored after all rows",
        "ALTER TABLE checked DROP CONSTRAINT is_known, ADD CONSTRAINT is_known CHECK (known(val)) NOT VALID",
    ),
}


@pytest.mark.parametrize(("statements", "told", "remedy"), NOT_RESTORED.values(), ids=NOT_RESTORED)
def test_what_no_dump_brings_back_is_told_with_a_remedy_that_helps(
    empty: Shop, statements: tuple[str, ...], told: str, remedy: str
) -> None:
    empty.run(*statements)
    with pytest.raises(DatabaseError, match=f"is not restored: .*{told}"):
        empty.proven()
    empty.run(*remedy.split("; "))
    assert empty.proven()["level"] == "restored"


def test_many_tables_fit_into_the_lock_table_of_a_small_server() -> None:
    """pg_dump locks each table; whoever reads all of them in one transaction locks each index too."""
    tables = 400
    with throwaway() as small:
        with (small.folder / "data" / "postgresql.conf").open("a") as file:
            file.write("max_connections = 10\nmax_locks_per_transaction = 20\n")
        small.pg_ctl("restart")
        part = "".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, a text); CREATE INDEX ON t{n} (a);" for n in range(20))
        parts = [f"CREATE SCHEMA s{n}; SET search_path = s{n}; {part}" for n in range(tables // 20)]
        with database(small, "many", *parts) as shop:
            receipt = shop.proven()
    assert receipt["level"] == "restored"
    assert len([name for name in receipt["tables"] if re.match(r"s\d+\.t", name)]) == tables


def test_the_servers_format_of_money_goes_into_the_receipt(shop: Shop) -> None:
    shop.server.run("ALTER SYSTEM SET lc_monetary = 'C.UTF-8'", "SELECT pg_reload_conf()")
    try:
        until(lambda: shop.value("SHOW lc_monetary") == "C.UTF-8")
        assert shop.back_up()["receipt"]["settings"]["lc_monetary"] == "C.UTF-8"
    finally:
        shop.server.run("ALTER SYSTEM RESET lc_monetary", "SELECT pg_reload_conf()")


def test_a_copy_of_files_is_taken_while_the_application_writes_large_objects(shop: Shop) -> None:
    ended = threading.Event()

    def write() -> None:
        with shop.session() as session:
            while not ended.is_set():
                session.run("SELECT lo_from_bytea(0, 'x')")
                ended.wait(0.002)

    with meanwhile(write):
        try:
            assert shop.back_up("basebackup", deadline=8)["receipt"]["level"] == "taken"
        finally:
            ended.set()
