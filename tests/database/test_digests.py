"""A table's digest changes with whatever its text would show, and with nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, digests
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

from .server import Shop

NEWEST = 180000


def digest(session: Session, name: str, version: int = digests.VERSION) -> dict[str, Any]:
    return contents.tables(session, NEWEST, version=version)[f"public.{name}"]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numeric", "1.0", "1.00"),
        ("numeric(10, 2)", "1.00", "1.01"),
        ("numeric(10, 2)", "'NaN'", "NULL"),
        ("float8", "0", "'-0'"),
        ("interval", "'1 day'", "'24 hours'"),
        ("jsonb", "'{\"a\": 1}'", '\'{"a": "1"}\''),
        ("jsonb", "'{\"a\": null}'", "'{}'"),
        ("jsonb", "'null'", "NULL"),
        ("jsonb", "'[[1],2]'", "'[[1,2]]'"),
        ("jsonb", "'1'", "'[1]'"),
        ("jsonb", "'{}'", "'[]'"),
        ("jsonb", "'[]'", "'[[]]'"),
        ("jsonb", "'[[], 1]'", "'[1, []]'"),
        ("jsonb", '\'{"a": {"b": 1}, "c": 2}\'', '\'{"a": {"b": 1, "c": 2}}\''),
        ("jsonb", '\'{"a": ["b"]}\'', '\'["a", "b"]\''),
        ("jsonb", "'1.0'", "'1.00'"),
        ("jsonb", "'true'", "'\"true\"'"),
        ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
        ("text", "''", "NULL"),
        ("text", "'a'", "'a '"),
        ("varchar(9)", "'A'", "'a'"),
        ("text[]", "'{NULL}'", "'{\"\"}'"),
        ("xml", "'<a/>'", "'<a />'"),
        ("bytea", "'\\x00'", "'\\x0000'"),
        ("timestamptz", "'2026-01-01 00:00:00+00'", "'2026-01-01 00:00:00.000001+00'"),
        ("shade", "'light'", "'dark'"),
        ("folded", "'Straße'", "'strasse'"),
        ("point", "'(1,2)'", "'(2,1)'"),
        ("oid", "4294967295", "0"),
    ],
)
def test_a_value_that_reads_otherwise_digests_otherwise(empty: Shop, kind: str, one: str, other: str) -> None:
    empty.run(
        "CREATE TYPE shade AS ENUM ('light', 'dark')",
        "CREATE DOMAIN folded AS text",
        f"CREATE TABLE a (v {kind}, w int)",
        "CREATE TABLE b (LIKE a)",
        "CREATE TABLE c (LIKE a)",
        f"INSERT INTO a VALUES ({one}, 1)",
        f"INSERT INTO b VALUES ({other}, 1)",
        f"INSERT INTO c VALUES ({one}, 1)",
    )
    with empty.session() as session:
        contents.fix_text(session)
        assert digest(session, "a") != digest(session, "b")
        assert digest(session, "a") == digest(session, "c")


def test_the_order_does_not_matter_but_the_place_and_the_number_do(empty: Shop) -> None:
    empty.run(
        "CREATE TABLE a (v text, w text)",
        "CREATE TABLE b (LIKE a)",
        "CREATE TABLE c (LIKE a)",
        "CREATE TABLE d (LIKE a)",
        "INSERT INTO a VALUES ('1', '2'), ('3', '4')",
        "INSERT INTO b VALUES ('3', '4'), ('1', '2')",
        "INSERT INTO c VALUES ('2', '1'), ('3', '4')",
        "INSERT INTO d VALUES ('1', '2'), ('3', '4'), ('3', '4')",
    )
    with empty.session() as session:
        found = {name: digest(session, name) for name in "abcd"}
    assert found["a"] == found["b"]
    assert len({one["digest"] for one in found.values()}) == 3
    assert found["d"]["rows"] == 3


def test_two_rows_that_exchange_a_value_digest_otherwise(empty: Shop) -> None:
    """PostgreSQL's hash of a row is a sum over its columns, so a sum of these hashes stays the same for most pairs."""
    empty.run(
        "CREATE TABLE a (id int, balance numeric(10, 2), labels text[])",
        "INSERT INTO a SELECT i, i * 7 % 50, ARRAY['label ' || i] FROM generate_series(1, 50) i",
    )
    swap = "UPDATE public.a SET {0} = (SELECT b.{0} FROM public.a b WHERE b.id = %s - a.id) WHERE id IN (%s, %s - %s)"
    with empty.session() as session:
        before = digest(session, "a")
        for column in ("balance", "labels"):
            for number in range(1, 25):
                session.run("BEGIN")
                session.run(swap.format(column), (51, number, 51, number))
                assert digest(session, "a") != before, (column, number)
                session.run("ROLLBACK")
        assert digest(session, "a") == before


def test_pages_of_a_large_object_that_exchange_their_contents_digest_otherwise(empty: Shop) -> None:
    parts = [f"repeat('{number}', 2048)" for number in range(8)]
    with empty.session() as session:
        query = digests.of_large_objects()
        seen = set()
        for order in (parts, [parts[1], parts[0], *parts[2:]], [*parts[:6], parts[7], parts[6]], parts):
            session.run("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
            session.run(f"SELECT lo_from_bytea(4711, convert_to({' || '.join(order)}, 'UTF8'))")
            seen.add(session.rows(query)[0])
    assert len(seen) == 3


def test_a_type_of_the_users_own_is_not_taken_for_the_servers_and_a_cast_of_theirs_is_not_called(empty: Shop) -> None:
    empty.run(
        "CREATE TYPE pair AS (x int, y int)",
        "CREATE FUNCTION hidden(pair) RETURNS text LANGUAGE sql AS $$ SELECT 'same' $$",
        "CREATE CAST (pair AS text) WITH FUNCTION hidden(pair)",
        "CREATE SCHEMA own",
        "CREATE TYPE own.numeric AS ENUM ('1', '2')",
        "CREATE TABLE a (v pair, w own.numeric)",
        "CREATE TABLE b (LIKE a)",
        "CREATE TABLE c (LIKE a)",
        "INSERT INTO a VALUES ((1, 2), '1')",
        "INSERT INTO b VALUES ((1, 3), '1')",
        "INSERT INTO c VALUES ((1, 2), '2')",
    )
    with empty.session() as session:
        assert len({digest(session, name)["digest"] for name in "abc"}) == 3


def test_tables_without_rows_or_columns_and_strange_names(empty: Shop) -> None:
    empty.run(
        "CREATE TABLE none ()",
        "INSERT INTO none DEFAULT VALUES",
        "CREATE TABLE bare (v int)",
        'CREATE TABLE "odd ""name" ("gradual whole row" int, "a ""b" text, gone int)',
        'ALTER TABLE "odd ""name" DROP COLUMN gone',
        'INSERT INTO "odd ""name" VALUES (1, \'x\')',
    )
    with empty.session() as session:
        contents.fix_text(session)
        found = contents.tables(session, NEWEST)
    assert found['public."none"']["rows"] == 1
    assert found["public.bare"] == {"rows": 0, "digest": "0"}
    assert found['public."odd ""name"']["rows"] == 1


def test_a_receipt_of_a_server_without_hashes_of_rows_is_compared_by_their_text(empty: Shop) -> None:
    empty.run("CREATE TABLE a AS SELECT 1 v, 'x' w", "CREATE TABLE b AS SELECT 'x' w, 1 v")
    with empty.session() as session:
        contents.fix_text(session)
        old, new = (contents.tables(session, version) for version in (130022, 140000))
    # The first 64 bits of the MD5 of (1,x), by any other program.
    assert old["public.a"]["digest"] == str(int.from_bytes(hashlib.md5(b"(1,x)").digest()[:8], signed=True))
    assert old["public.a"] == old["public.b"]
    assert new["public.a"] != old["public.a"]
