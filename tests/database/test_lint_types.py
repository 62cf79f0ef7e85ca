"""What migration_lint says a type change rewrites is what PostgreSQL rewrites: the file nodes of the table and of an
index before and after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import column_types as types
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.column_types import Domain, Type

from . import server as support

SCENE = (
    "CREATE EXTENSION citext",
    "CREATE DOMAIN free AS text",
    "CREATE DOMAIN v50 AS varchar(50)",
    "CREATE DOMAIN checked AS text CHECK (VALUE <> '')",
    "CREATE DOMAIN deep AS checked",
    # Between timestamp and timestamptz, PostgreSQL keeps the table if the session's zone is UTC.
    "SET timezone = 'Europe/Berlin'",
)
DOMAINS = {
    "free": Domain(Type("text"), False), "v50": Domain(Type("varchar", (50,)), False),
    "checked": Domain(Type("text"), True), "deep": Domain(Type("checked"), True),
}  # fmt: skip
KEPT = """varchar(50) > varchar(50); varchar(50) > varchar(200); varchar(50) > varchar; varchar(50) > text;
varchar > text; text > varchar; numeric(10,2) > numeric(12,2); decimal(10,2) > numeric(10,2); numeric(10,2) > numeric;
numeric(10,0) > numeric(12); varbit(8) > varbit(16); varbit(8) > varbit; timestamp(3) > timestamp(6);
timestamp(3) > timestamp; timestamp > timestamp(6); timestamptz(3) > timestamptz(5); time(3) > time(4); time > time(6);
timetz(3) > timetz; interval(3) > interval(6); interval(3) > interval; interval > interval(6); interval year > interval;
cidr > inet; xml > text; char(10) > bpchar; varchar(50)[] > varchar[]; numeric(10,2)[] > numeric[];
text > free; varchar(50) > free; free > text; varchar(50) > v50; varchar(40) > v50; v50 > text; checked > text"""
INDEXES = """text > citext; varchar(50) > citext; citext > text; citext > varchar; varchar(50) > bpchar; text > bpchar;
bit(8) > varbit; int > oid; oid > int"""
REWRITTEN = """varchar(50) > varchar(20); text > varchar(50); varchar > varchar(50); varchar(50) > char(50);
char(10) > text; char(10) > varchar; char(10) > char(20); numeric(10,2) > numeric(12,3); numeric(10,2) > numeric(8,2);
numeric > numeric(10,2); varbit(16) > varbit(8); varbit > varbit(8); bit(8) > varbit(8); timestamp > timestamp(3);
timestamp(6) > timestamp(3); timestamp > timestamptz; timestamptz > timestamp; interval > interval(3);
interval > interval year; inet > cidr; int > bigint; smallint > int; real > double precision; json > jsonb; json > text;
uuid > text; bytea > text; date > timestamp; text > checked; text > deep; free > varchar(50); v50 > varchar(80);
text > v50; varchar(50)[] > varchar(200)[]; varchar(50)[] > text[]; text[] > varchar[]; int[] > bigint[]"""
CHANGES = [
    (*pair.split(">"), wanted)
    for text, wanted in (
        (KEPT, types.KEPT),
        (INDEXES, types.INDEXES),
        (REWRITTEN, types.REWRITTEN),
    )
    for pair in text.split(";")
]


@pytest.fixture(scope="module")
def session(server: support.Server) -> Iterator[Session]:
    server.run("CREATE DATABASE types")
    with server.session("types") as opened:
        for one in SCENE:
            opened.run(one)
        yield opened
    server.run("DROP DATABASE types WITH (FORCE)")


def rewritten(session: Session, old: str, new: str) -> str:
    """KEPT, INDEXES or REWRITTEN, as the server does it."""
    session.run("BEGIN")
    try:
        session.run(f"CREATE TABLE t (c {old})")
        if old not in ("xml", "json"):
            session.run("CREATE INDEX i ON t (c)")
        nodes = "SELECT pg_relation_filenode('t'), pg_relation_filenode(to_regclass('i'))"
        before = session.rows(nodes)[0]
        session.run(f"ALTER TABLE t ALTER c TYPE {new}")
        after = session.rows(nodes)[0]
    finally:
        session.run("ROLLBACK")
    return types.REWRITTEN if before[0] != after[0] else types.INDEXES if before[1] != after[1] else types.KEPT


@pytest.mark.parametrize(("old", "new", "wanted"), CHANGES)
def test_a_type_change_rewrites_what_is_said(old: str, new: str, wanted: str, session: Session) -> None:
    before, after = types.parsed(old.strip()), types.parsed(new.strip())
    assert before is not None
    assert after is not None
    assert types.change(before, after, DOMAINS) == wanted
    assert rewritten(session, old.strip(), new.strip()) == wanted
