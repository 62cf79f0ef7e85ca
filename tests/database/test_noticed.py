"""Whatever is changed in a restored copy is noticed: each row is a statement, and what the comparison says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import compare, registry
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import facts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import OWNER, RUN_AS, Server, Shop
from .test_healthy import OBJECTS, database

DATABASE = '"Noticed"'
OWN = (
    # Else no table without a key could be updated.
    "ALTER PUBLICATION dbz SET (publish = 'insert')",
    "CREATE TABLE j (id int PRIMARY KEY, b jsonb)",
    "INSERT INTO j VALUES (1, '[[1],2]')",
    "CREATE MATERIALIZED VIEW full_view AS SELECT 1 a",
    "CREATE MATERIALIZED VIEW empty_view AS SELECT 1 a WITH NO DATA",
    f"ALTER DATABASE {DATABASE} SET app.jwt_secret = 'hush'",
    f"ALTER ROLE shop_app IN DATABASE {DATABASE} SET work_mem = '5MB'",
    f"GRANT CONNECT ON DATABASE {DATABASE} TO shop_app",
    f"COMMENT ON DATABASE {DATABASE} IS 'a shop'",
    f"ALTER LARGE OBJECT 4711 OWNER TO {OWNER}",
    "GRANT SELECT ON LARGE OBJECT 4711 TO shop_app",
    "COMMENT ON LARGE OBJECT 4711 IS 'a scan'",
)
# (statement, the statement that takes it back, what is said of it).
CHANGES = [
    (
        "ALTER SEQUENCE r_id_seq RESTART WITH 1",
        "ALTER SEQUENCE r_id_seq RESTART WITH 1000000",
        "sequence public.r_id_seq continues at 1 in the restored copy, expected 1000000",
    ),
    (
        "SELECT setval('down', -1, false)",
        "SELECT setval('down', -1)",
        "sequence public.down continues at -1 in the restored copy, expected -4",
    ),
    (
        "SELECT setval('last', 9223372036854775807, false)",
        "SELECT setval('last', 9223372036854775807)",
        "sequence public.last continues at 9223372036854775807 in the restored copy, expected 9223372036854775808",
    ),
    ("UPDATE j SET b = '[[1,2]]'", "UPDATE j SET b = '[[1],2]'", "public.j has 1 rows as expected, but other contents"),
    (
        'UPDATE a."b.c" SET x = 4 WHERE x = 3',
        'UPDATE a."b.c" SET x = 3 WHERE x = 4',
        'a."b.c" has 2 rows as expected, but other contents',
    ),
    (
        "UPDATE child SET b = 3, z = 2",
        "UPDATE child SET b = 2, z = 3",
        "public.child has 1 rows as expected, but other contents",
    ),
    (
        "SELECT lo_put(4711, 2999990, 'x')",
        "SELECT lo_put(4711, 2999990, '\\x00')",
        "large objects has 1 rows as expected, but other contents",
    ),
    (
        "SELECT lo_put(4711, 3000004, '\\x00')",
        "SELECT lo_truncate(lo_open(4711, 131072), 3000004)",
        "large objects has 1 rows as expected, but other contents",
    ),
    *[
        (change, back, "owners, grants and comments of large objects: the restored copy has another value")
        for change, back in (
            ("ALTER LARGE OBJECT 4711 OWNER TO shop_app", f"ALTER LARGE OBJECT 4711 OWNER TO {OWNER}"),
            ("REVOKE SELECT ON LARGE OBJECT 4711 FROM shop_app", "GRANT SELECT ON LARGE OBJECT 4711 TO shop_app"),
            ("COMMENT ON LARGE OBJECT 4711 IS NULL", "COMMENT ON LARGE OBJECT 4711 IS 'a scan'"),
        )
    ],
    (
        f"ALTER DATABASE {DATABASE} OWNER TO shop_app",
        f"ALTER DATABASE {DATABASE} OWNER TO {OWNER}; GRANT CONNECT ON DATABASE {DATABASE} TO shop_app",
        f"owner of the database: the restored copy has 'shop_app', expected '{OWNER}'",
    ),
    (
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM shop_app",
        f"GRANT CONNECT ON DATABASE {DATABASE} TO shop_app",
        "grants on the database: the restored copy has '=Tc/",
    ),
    (
        f"COMMENT ON DATABASE {DATABASE} IS NULL",
        f"COMMENT ON DATABASE {DATABASE} IS 'a shop'",
        "comment on the database: the restored copy has none, expected 'a shop'",
    ),
    (
        f"ALTER DATABASE {DATABASE} CONNECTION LIMIT 7",
        f"ALTER DATABASE {DATABASE} CONNECTION LIMIT -1",
        "connection limit of the database: the restored copy has '7', expected '-1'",
    ),
    (
        f"ALTER DATABASE {DATABASE} SET app.jwt_secret = 'louder'",
        f"ALTER DATABASE {DATABASE} SET app.jwt_secret = 'hush'",
        "setting app.jwt_secret of the database: the restored copy has another value, expected another value",
    ),
    (
        f"ALTER DATABASE {DATABASE} RESET app.jwt_secret",
        f"ALTER DATABASE {DATABASE} SET app.jwt_secret = 'hush'",
        "setting app.jwt_secret of the database: the restored copy has none",
    ),
    (
        f"ALTER ROLE shop_app IN DATABASE {DATABASE} SET work_mem = '6MB'",
        f"ALTER ROLE shop_app IN DATABASE {DATABASE} SET work_mem = '5MB'",
        "setting work_mem of role shop_app in the database: the restored copy has another value",
    ),
    (
        "ALTER ROLE shop_app CREATEDB",
        "ALTER ROLE shop_app NOCREATEDB",
        "role shop_app: the restored copy has 'inherit, createdb, login, connection limit -1', expected",
    ),
    (
        "CREATE ROLE intruder",
        "DROP ROLE intruder",
        "role intruder: the restored copy has 'inherit, connection limit -1', expected none",
    ),
    (
        f"GRANT {OWNER} TO shop_app",
        f"REVOKE {OWNER} FROM shop_app",
        f"role shop_app as a member of {OWNER}: the restored copy has 'without admin option', expected none",
    ),
    (
        "COMMENT ON ROLE shop_app IS 'new'",
        "COMMENT ON ROLE shop_app IS NULL",
        "comment on role shop_app: the restored copy has 'new', expected none",
    ),
    (
        "ALTER ROLE shop_app SET work_mem = '1MB'",
        "ALTER ROLE shop_app RESET work_mem",
        "setting work_mem of role shop_app: the restored copy has another value, expected none",
    ),
    (
        "REFRESH MATERIALIZED VIEW full_view WITH NO DATA",
        "REFRESH MATERIALIZED VIEW full_view",
        "materialized view public.full_view: the restored copy has 'not populated', expected 'populated'",
    ),
]
SCHEMA = (
    "CREATE TABLE s (id int PRIMARY KEY, a text, b int, c point)",
    "COMMENT ON COLUMN s.a IS 'a name'",
    "CREATE STATISTICS s_stats ON a, b FROM s",
    "ALTER STATISTICS s_stats SET STATISTICS 7",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO shop_app",
    "CREATE PUBLICATION of_s FOR TABLE s WHERE (id > 1)",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER noted BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION note()",
    "CREATE RULE nothing AS ON DELETE TO s DO INSTEAD NOTHING",
    "CREATE EXTENSION postgres_fdw",
    "CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h')",
    "CREATE USER MAPPING FOR shop_app SERVER other OPTIONS (user 'u', password 'hush')",
    "CREATE FUNCTION far() RETURNS text LANGUAGE sql AS $$ SELECT 'host=h password=hush' $$",
    "CREATE POLICY mine ON s USING (a = current_user)",
    "ALTER TABLE s ENABLE ROW LEVEL SECURITY",
    "CREATE VIEW v WITH (security_barrier) AS SELECT a FROM s",
    "GRANT SELECT (a) ON s TO shop_app",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TYPE shade AS ENUM ('light')",
)
# (statement, a line of the comparison after it).
SCHEMA_CHANGES = [
    ("COMMENT ON COLUMN s.a IS 'another name'", "+COMMENT ON COLUMN public.s.a IS 'another name';"),
    ("ALTER STATISTICS s_stats SET STATISTICS 8", "+ALTER STATISTICS public.s_stats SET STATISTICS 8;"),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE tester IN SCHEMA public REVOKE SELECT ON TABLES FROM shop_app",
        "-ALTER DEFAULT PRIVILEGES FOR ROLE",
    ),
    (
        "ALTER PUBLICATION of_s SET TABLE s WHERE (id > 2)",
        "+ALTER PUBLICATION of_s ADD TABLE ONLY public.s WHERE ((id > 2));",
    ),
    ("ALTER SUBSCRIPTION sub CONNECTION 'dbname=elsewhere'", "+CREATE SUBSCRIPTION sub CONNECTION 'dbname=elsewhere'"),
    ("ALTER TABLE s DISABLE TRIGGER noted", "+ALTER TABLE public.s DISABLE TRIGGER noted;"),
    ("ALTER TABLE s DISABLE RULE nothing", "+ALTER TABLE public.s DISABLE RULE nothing;"),
    ("ALTER EVENT TRIGGER no_extension DISABLE", "+ALTER EVENT TRIGGER no_extension DISABLE;"),
    ("ALTER SERVER other OPTIONS (SET host 'i')", "+    host 'i'"),
    ("ALTER USER MAPPING FOR shop_app SERVER other OPTIONS (SET user 'w')", "+    \"user\" 'w'"),
    ("ALTER USER MAPPING FOR shop_app SERVER other OPTIONS (SET password 'loud')", "+    password ********,"),
    ("ALTER SERVER other OPTIONS (ADD passfile '/loud')", "+    passfile ********"),
    (
        "CREATE OR REPLACE FUNCTION far() RETURNS text LANGUAGE sql AS $$ SELECT 'host=h password=loud' $$",
        "+    AS $$ SELECT 'host=h password=********' $$;",
    ),
    ("ALTER POLICY mine ON s USING (true)", "+CREATE POLICY mine ON public.s USING (true);"),
    ("ALTER TABLE s FORCE ROW LEVEL SECURITY", "+ALTER TABLE ONLY public.s FORCE ROW LEVEL SECURITY;"),
    ("ALTER TABLE s REPLICA IDENTITY FULL", "+ALTER TABLE ONLY public.s REPLICA IDENTITY FULL;"),
    ("ALTER TABLE s ALTER a SET STORAGE EXTERNAL", "+ALTER TABLE ONLY public.s ALTER COLUMN a SET STORAGE EXTERNAL;"),
    ("ALTER TABLE s ALTER a SET COMPRESSION pglz", "+ALTER TABLE ONLY public.s ALTER COLUMN a SET COMPRESSION pglz;"),
    ("ALTER TABLE s ALTER b SET STATISTICS 9", "+ALTER TABLE ONLY public.s ALTER COLUMN b SET STATISTICS 9;"),
    ("ALTER TABLE s ALTER b SET (n_distinct = 5)", "+ALTER TABLE ONLY public.s ALTER COLUMN b SET (n_distinct=5);"),
    ("ALTER TABLE s CLUSTER ON s_pkey", "+ALTER TABLE public.s CLUSTER ON s_pkey;"),
    ("ALTER VIEW v RESET (security_barrier)", "+CREATE VIEW public.v AS"),
    ("REVOKE SELECT (a) ON s FROM shop_app", "-GRANT SELECT(a) ON TABLE public.s TO shop_app;"),
    ("ALTER DOMAIN positive DROP CONSTRAINT positive_check", "+CREATE DOMAIN public.positive AS integer;"),
    ("ALTER TYPE shade ADD VALUE 'dark'", "+    'dark'"),
    (f"ALTER TABLE j OWNER TO {OWNER}", f"+ALTER TABLE public.j OWNER TO {OWNER};"),
    ("ALTER TABLE j SET UNLOGGED", "+CREATE UNLOGGED TABLE public.j ("),
]


@pytest.fixture(scope="module")
def noticed(server: Server) -> Iterator[Shop]:
    everything = (*SCHEMA, *(one for kind in OBJECTS.values() for one in kind), *OWN)
    # Roles are the cluster's, and the statements above name this database.
    with database(server, "Noticed", *everything) as shop:
        yield shop


def said(receipt: dict[str, Any], scratch: Scratch) -> list[str]:
    """What a proof says of the copy, but of its schema."""
    with Session(scratch.parameters(receipt["database"])) as session:
        return [*compare.content_differences(receipt, session), *compare.object_differences(receipt, session)]


def change(scratch: Scratch, *statements: str) -> None:
    """In one transaction, as large objects need it, and past the event triggers."""
    with Session({**scratch.parameters("Noticed"), "options": "-c session_replication_role=replica"}) as session:
        for statement in statements:
            session.run(statement)


def test_every_change_of_a_copy_is_noticed_and_no_change_is_none(noticed: Shop) -> None:
    taken = noticed.back_up()

    def work() -> dict[str, Any]:
        path, receipt = taken["path"], noticed.digested(taken)
        with registry.of("dump").restored_copy(path, receipt, str(noticed.server.folder), 60) as scratch:
            found: dict[str, Any] = {"before": compare.differences(path, receipt, scratch, True, 60)}
            for statement, back, _sentence in CHANGES:
                change(scratch, statement)
                found[statement] = said(receipt, scratch)
                change(scratch, "BEGIN", back, "COMMIT")
            found["taken back"] = said(receipt, scratch)
            change(scratch, "ALTER EVENT TRIGGER no_drop DISABLE", *(one[0] for one in SCHEMA_CHANGES))
            found["schema"] = compare.schema_differences(path, receipt, scratch, 60)
        return found

    found = as_user(RUN_AS, work)
    assert (found["before"], found["taken back"]) == ([], [])
    for statement, _back, sentence in CHANGES:
        assert any(one.startswith(sentence) for one in found[statement]), (statement, found[statement])
    unseen = [line for _statement, line in SCHEMA_CHANGES if not any(one.startswith(line) for one in found["schema"])]
    assert unseen == [], "\n".join(found["schema"])
    shown = str(list(found.values()))
    assert "loud" not in shown
    assert "hush" not in shown


def test_the_locale_of_icu_is_noticed_and_unknown_to_older_receipts(server: Server) -> None:
    names = {
        "libc_one": "",
        "icu_one": "LOCALE_PROVIDER icu ICU_LOCALE 'de'",
        "icu_two": "LOCALE_PROVIDER icu ICU_LOCALE 'fr'",
    }
    found = {}
    try:
        for name, locale in names.items():
            server.run(f"CREATE DATABASE {name} TEMPLATE template0 {locale}")
            with server.session(name) as session:
                found[name] = facts.read(session, "database")
                older = facts.read(session, "database", version=2)
            assert "locale provider of the database" not in older
        receipt = Shop(server, "icu_one", Path("/nonexistent")).proven()
    finally:
        server.run(*(f"DROP DATABASE IF EXISTS {name}" for name in names))
    assert receipt["objects"]["database"]["locale provider of the database"] == "icu, de"
    assert "locale provider of the database" not in found["libc_one"]
    assert facts.differences(found["icu_one"], found["icu_two"]) == [
        "locale provider of the database: the restored copy has 'icu, fr', expected 'icu, de'"
    ]


def test_the_page_lists_what_is_compared_and_what_is_not() -> None:
    page = (Path(__file__).parents[2] / "docs/backups.md").read_text()
    section = page.partition("## What is compared\n")[2].partition("\n## ")[0]
    everywhere = len(registry.METHODS)
    missing = [
        one.words if len(one.methods) == everywhere else f"{one.words} [{', '.join(one.methods)}]"
        for one in facts.NOT_COMPARED
    ]
    assert re.findall(r"^- (.*)$", section, re.MULTILINE) == [*(fact.words for fact in facts.FACTS), *missing]
