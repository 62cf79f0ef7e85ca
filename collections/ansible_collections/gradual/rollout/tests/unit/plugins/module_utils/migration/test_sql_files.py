"""Folders of SQL files as golang-migrate, Flyway, dbmate, goose and others have them: which revisions they are, in
which order, what psql runs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import phases, steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sql_files import SqlFiles
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

EXPAND = "-- gradual: phase=expand\n"
TABLE = "CREATE TABLE t (id int)"
INDEX = "CREATE INDEX CONCURRENTLY i ON t (id)"


def folder(place: Path, files: dict[str, str]) -> SqlFiles:
    (place / "sql").mkdir()
    for name, text in files.items():
        (place / "sql" / name).write_text(text)
    return SqlFiles(str(place), "sql")


@pytest.mark.parametrize(
    ("text", "phase", "transactional", "concurrent"),
    [
        (f"{EXPAND}CREATE TABLE t (id int);", "expand", True, False),
        ("CREATE TABLE t (id int);", "unknown", True, False),
        ("-- gradual: phase=contract transaction=none\nVACUUM t;", "contract", False, False),
        (
            "-- About it\n-- gradual: phase=data\n-- gradual: transaction=none\nCREATE INDEX CONCURRENTLY i ON t (c);",
            "data",
            False,
            True,
        ),
        (f"{EXPAND}COMMENT ON TABLE t IS 'CREATE nothing CONCURRENTLY';", "expand", True, False),
        (f"{EXPAND}DO $a$ BEGIN PERFORM 'REFRESH MATERIALIZED VIEW CONCURRENTLY v'; END $a$;", "expand", True, False),
        (f"{EXPAND}CREATE FUNCTION f() RETURNS int AS $$ DROP INDEX CONCURRENTLY i $$;", "expand", True, False),
        (
            f"{EXPAND}-- CREATE INDEX CONCURRENTLY i ON t (c);\nSELECT 1; ROLLBACK TO SAVEPOINT s;",
            "expand",
            True,
            False,
        ),
        ("CREATE TABLE t (id int);\n-- gradual: phase=expand\n", "unknown", True, False),
    ],
)
def test_an_sql_file_says_its_phase_in_its_first_comment(
    tmp_path: Path, text: str, phase: str, transactional: bool, concurrent: bool
) -> None:
    found = folder(tmp_path, {"0001_t.sql": text}).revisions["0001_t"]
    assert (found.phase, found.transactional, found.concurrent) == (phase, transactional, concurrent)


@pytest.mark.parametrize(
    ("names", "revisions"),
    [
        (["0002_b.sql", "9_i.sql", "0010_j.sql", "9_i.down.sql"], ["0002_b", "9_i", "0010_j"]),
        (["001_x.up.sql", "001_x.down.sql", "2_y.up.sql", "10_z.up.sql"], ["001_x", "2_y", "10_z"]),
        (["1_x.up.sql", "1_another.title.down.sql"], ["1_x"]),
        (["V1__x.sql", "V10__z.sql", "V2__y.sql", "U1__x.sql"], ["V1__x", "V2__y", "V10__z"]),
        (["V1.10__c.sql", "V1.2__b.sql", "V1_1__a.sql"], ["V1_1__a", "V1.2__b", "V1.10__c"]),
        (["V20260101120000__b.sql", "V20251231__a b.sql"], ["V20251231__a b", "V20260101120000__b"]),
        (["20260101120000_b.sql", "20251231235959_a.sql"], ["20251231235959_a", "20260101120000_b"]),
        (["20260101-b.sql", "20251231-a.sql", "1.sql"], ["1", "20251231-a", "20260101-b"]),
        ([], []),
    ],
)
def test_files_go_in_the_order_of_their_versions(tmp_path: Path, names: list[str], revisions: list[str]) -> None:
    adapter = folder(tmp_path, dict.fromkeys(names, TABLE))
    assert [one.revision for one in adapter.pending([], "head")] == revisions


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["t.sql"], r"t\.sql in .* is not named like a migration; expected a name like 0001_orders\.sql"),
        (["afterMigrate.sql", "V1__x.sql"], r"afterMigrate\.sql in .* is not named like a migration"),
        (["B2__base.sql", "V1__x.sql"], r"B2__base\.sql in .* is not named like a migration"),
        (["0001_it's.sql"], "is not named like a migration"),
        (["0001_t.sql", "1_u.sql"], r"0001_t\.sql and 1_u\.sql in .* have the same number"),
        (["V1__x.sql", "V1.0__y.sql"], "have the same number"),
        (["1_x.pg.up.sql", "1_x.mysql.up.sql"], "have the same number"),
        (
            ["0001_t.sql", "2_u.up.sql"],
            r"different forms: 0001_t\.sql \(numbered\) and 2_u\.up\.sql \(up and down\); expected one form",
        ),
        (["0001_t.sql", "V2__u.sql"], r"different forms: 0001_t\.sql \(numbered\) and V2__u\.sql \(Flyway\)"),
    ],
)
def test_names_that_cannot_be_meant_are_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        folder(tmp_path, dict.fromkeys(names, TABLE))


def test_what_the_advice_says_is_taken(tmp_path: Path) -> None:
    """Each name that a refusal tells to write."""
    for number, name in enumerate(("0001_orders.sql", "0001_orders.up.sql", "V1__orders.sql", "R__orders.sql")):
        place = tmp_path / str(number)
        place.mkdir()
        assert len(folder(place, {name: TABLE}).revisions) == 1


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no folder"):
        SqlFiles(str(tmp_path), "sql")


DBMATE = f"-- migrate:up\n{TABLE};\n\n-- migrate:down\nDROP TABLE t;\n"
GOOSE = f"""{EXPAND}-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS void AS $$ BEGIN; PERFORM 1; END $$ LANGUAGE plpgsql
-- +goose StatementEnd
{TABLE};
-- +goose Down
DROP TABLE t;
"""
FUNCTION = "CREATE FUNCTION f() RETURNS void AS $$ BEGIN; PERFORM 1; END $$ LANGUAGE plpgsql"


@pytest.mark.parametrize(
    ("file", "text", "up", "whole", "down"),
    [
        ("1_t.sql", f"{TABLE};", [TABLE], True, None),
        ("1_t.sql", f"-- gradual: transaction=none\n{INDEX};", [INDEX], False, None),
        # Its own transaction stays where Gradual begins none.
        ("1_t.sql", f"-- gradual: transaction=none\nBEGIN; {TABLE}; COMMIT;", ["BEGIN", TABLE, "COMMIT"], False, None),
        # A line feed or a carriage return ends a comment, and nothing else.
        ("1_t.sql", f"-- migrate:up\r{TABLE};\r-- migrate:down\rDROP TABLE t;\r", [TABLE], True, ["DROP TABLE t"]),
        ("1_t.sql", f"-- note\r-- gradual: transaction=none\r{INDEX};", [INDEX], False, None),
        ("1_t.sql", f"-- note\u2028-- gradual: transaction=none\n{TABLE};", [TABLE], True, None),
        ("1_t.sql", f"-- migrate:up\n-- note\u2028DROP TABLE t;\n{TABLE};\n", [TABLE], True, None),
        ("1_t.sql", "-- migrate:up\r\nSELECT 'a\x0cb';\r\n", ["SELECT 'a\x0cb'"], True, None),
        # A transaction around the whole file becomes the one that its record is in too.
        ("1_t.sql", f"{EXPAND}BEGIN;\n{TABLE};\nCOMMIT;", [TABLE], True, None),
        ("1_t.sql", f"START TRANSACTION; {TABLE}; end work", [TABLE], True, None),
        ("1_t.sql", DBMATE, [TABLE], True, ["DROP TABLE t"]),
        ("1_t.sql", DBMATE.replace("up\n", "up transaction:false\n"), [TABLE], False, ["DROP TABLE t"]),
        ("1_t.sql", GOOSE, [FUNCTION, TABLE], True, ["DROP TABLE t"]),
        ("1_t.sql", f"-- +goose NO TRANSACTION\n-- +goose Up\n{INDEX};", [INDEX], False, None),
        ("1_t.sql", f"-- +migrate Up notransaction\n{INDEX};\n-- +migrate Down\n", [INDEX], False, None),
        ("1_t.up.sql", f"BEGIN;\n{TABLE};\nCOMMIT;\n", [TABLE], True, ["DROP TABLE t"]),
        ("1_t.up.sql", INDEX, [INDEX], False, ["DROP TABLE t"]),
        ("1_t.up.sql", f"BEGIN; {TABLE}; COMMIT; {INDEX};", ["BEGIN", TABLE, "COMMIT", INDEX], False, ["DROP TABLE t"]),
        ("V1__t.sql", f"{TABLE};", [TABLE], True, ["DROP TABLE t"]),
        ("V1__t.sql", INDEX, [INDEX], False, ["DROP TABLE t"]),
        ("V1__t.sql", "VACUUM t", ["VACUUM t"], False, ["DROP TABLE t"]),
    ],
)
def test_each_part_runs_as_its_tool_runs_it(
    tmp_path: Path, file: str, text: str, up: list[str], whole: bool, down: list[str] | None
) -> None:
    files = {"1_t.up.sql": "1_t.down.sql", "V1__t.sql": "U1__t.sql"}
    undo = {files[file]: "DROP TABLE t;\n"} if file in files else {}
    adapter = folder(tmp_path, {file: text, **undo})
    (revision,) = adapter.pending([], "head")
    phases.refuse_impossible([revision])
    assert (list(adapter.files[0].up().statements), revision.transactional) == (up, whole)
    argv = adapter.apply(revision).argv
    assert ("--single-transaction" in argv) is whole
    assert "".join(f"{one};\n" for one in up) + "INSERT INTO" in adapter.apply(revision).send
    if down:
        assert "".join(f"{one};\n" for one in down) + "DELETE FROM" in adapter.revert(revision).send
    else:
        with pytest.raises(DatabaseError, match=r"cannot be reverted: there is no 1_t\.down\.sql"):
            adapter.revert(revision)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"0001_t.sql": INDEX}, "uses CONCURRENTLY.*write `-- gradual: transaction=none`"),
        ({"0001_t.sql": f"-- +goose Up\n{INDEX};"}, "uses CONCURRENTLY.*write `-- .goose NO TRANSACTION`"),
        ({"0001_t.sql": f"-- migrate:up\n{INDEX};"}, "uses CONCURRENTLY.*write `transaction:false` behind"),
        ({"0001_t.sql": "SELECT 1; COMMIT; SELECT 2;"}, "has 'COMMIT', but Gradual runs each file in one"),
        ({"0001_t.sql": "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;"}, "has 'BEGIN ISOLATION LEVEL"),
        ({"0001_t.sql": "-- gradual: phase=expnad\n"}, r"got 'phase=expnad', expected phase=\(expand"),
        ({"0001_t.sql": "SELECT 'x"}, "line 1, has a ' that is not closed"),
        ({"0001_t.sql": "\\connect other"}, "has a backslash command"),
        ({"0001_t.sql": "-- +goose Down\nSELECT 1;"}, "comments of goose, but none begins the part that applies"),
        ({"0001_t.sql": f"{TABLE};\n-- migrate:up\n"}, "has SQL before the first comment of dbmate"),
        ({"0001_t.sql": "-- migrate:up\n-- +goose Down\n"}, "has comments of dbmate and of goose"),
        ({"0001_t.sql": "-- +goose ENVSUB ON\n-- +goose Up\n"}, "puts no variables into SQL"),
        ({"V1__t.sql": "CREATE TABLE ${prefix}_t (id int);"}, r"has \$\{prefix\}, which Flyway would replace"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_only_while_it_is_pending(
    tmp_path: Path, files: dict[str, str], complaint: str
) -> None:
    last = "V2__last.sql" if "V1__t.sql" in files else "0002_last.sql"
    sister = next(iter(files.values())) if "+goose" in str(files) or "migrate:" in str(files) else ""
    mark = "-- +goose Up\n" if "+goose" in sister else "-- migrate:up\n" if sister else ""
    adapter = folder(tmp_path, {**files, last: f"{mark}{TABLE};"})
    first, second = adapter.pending([], "head")
    for asked in ("expand", "contract"):
        with pytest.raises(DatabaseError, match=complaint):
            phases.split([first, second], asked, "sql")
    assert phases.split(adapter.pending([first.revision], "head"), "contract", "sql") == ([second], [])


def test_files_with_comments_of_different_tools_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"comments of different tools.*1_a.sql \(no such comments\) and .*2_b.sql"):
        folder(tmp_path, {"1_a.sql": TABLE, "2_b.sql": DBMATE})


def test_none_comes_late_except_where_the_tool_takes_it(tmp_path: Path) -> None:
    for number, text in enumerate((TABLE, GOOSE, DBMATE)):
        place = tmp_path / str(number)
        place.mkdir()
        adapter = folder(place, {"2_b.sql": text, "9_i.sql": text})
        if text == DBMATE:
            assert [one.revision for one in adapter.pending(["9_i"], "head")] == ["2_b"]
            continue
        with pytest.raises(DatabaseError, match="9_i, which comes after it, is; give it a number after"):
            adapter.pending(["9_i"], "head")


@pytest.mark.parametrize(
    ("recorded", "pending"),
    [
        # Old files that a later release no longer has are applied, whatever they were.
        (["0001_a", "0002_b", "0003_c"], ["0004_d"]),
        (["0003_c"], ["0004_d"]),
        ([], ["0003_c", "0004_d"]),
    ],
)
def test_old_files_may_be_gone(tmp_path: Path, recorded: list[str], pending: list[str]) -> None:
    adapter = folder(tmp_path, {"0003_c.sql": TABLE, "0004_d.sql": TABLE})
    assert [one.revision for one in adapter.pending(recorded, "head")] == pending


def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    adapter = folder(tmp_path, {"0003_c.sql": TABLE, "0004_d.sql": TABLE})
    for recorded in (["0003_c", "0005_e"], ["0005_e"]):
        with pytest.raises(DatabaseError, match="an older release cannot migrate a newer database"):
            adapter.pending(recorded, "head")


@pytest.mark.parametrize(
    ("recorded", "names", "text"),
    [
        ("0001_other", ["0001_t.sql", "0002_u.sql"], TABLE),
        ("1_t", ["0001_t.sql", "0002_u.sql"], TABLE),
        ("20260101", ["20260101_t.sql", "20260102_u.sql"], DBMATE),
        ("0001_other", ["0001_t.sql", "0002_u.sql"], GOOSE),
        ("001_other", ["001_t.up.sql", "002_u.up.sql"], TABLE),
        ("V1.0__other", ["V1__t.sql", "V2__u.sql"], TABLE),
    ],
)
def test_the_version_tells_which_file_was_applied(tmp_path: Path, recorded: str, names: list[str], text: str) -> None:
    """As for dbmate, goose, golang-migrate and Flyway: a file with another title is not applied again."""
    adapter = folder(tmp_path, dict.fromkeys(names, text))
    first, second = adapter.revisions
    assert [one.revision for one in adapter.pending([recorded], "head")] == [second]
    assert adapter.current([recorded]) == {first}
    assert adapter.known_as(first) == recorded
    assert {recorded, first} <= adapter.ancestors(adapter.named([recorded]))
    assert steps.here({recorded: "statements:x"}, adapter) == {first: "statements:x"}
    if adapter.files[0].tool:
        assert f"DELETE FROM :\"gradual_schema\".gradual_sql_migration WHERE revision = '{recorded}'" in (
            adapter.revert(adapter.revisions[first]).send
        )
    with pytest.raises(DatabaseError, match=f"was edited after it was applied as {recorded}: "):
        steps.refuse_edited(steps.here({recorded: "statements:x"}, adapter), adapter)


def test_a_repeatable_file_of_flyway_runs_last_and_again_when_its_statements_change(tmp_path: Path) -> None:
    files = {"R__a view.sql": "CREATE OR REPLACE VIEW v AS SELECT 1;", "V1__t.sql": TABLE, "V2__u.sql": TABLE}
    adapter = folder(tmp_path, files)
    *versions, view = [one.revision for one in adapter.pending([], "head")]
    assert (versions, view[:10]) == (["V1__t", "V2__u"], "R__a view.")
    assert adapter.pending(["V1__t", "V2__u", view], "head") == []
    # It does not make the versions before it late.
    assert [one.revision for one in adapter.pending(["V1__t", view], "head")] == ["V2__u"]
    for text, again in (("-- A comment\n" + files["R__a view.sql"], 0), ("CREATE OR REPLACE VIEW v AS SELECT 2;", 1)):
        (tmp_path / "sql/R__a view.sql").write_text(text)
        assert len(SqlFiles(str(tmp_path), "sql").pending(["V1__t", "V2__u", view], "head")) == again


def test_flyways_script_configuration_is_read(tmp_path: Path) -> None:
    for said, whole in (("executeInTransaction=false", False), ("executeInTransaction = true", True)):
        place = tmp_path / said.replace(" ", "")
        place.mkdir()
        adapter = folder(place, {"V1__t.sql": TABLE, "V1__t.sql.conf": said})
        assert adapter.revisions["V1__t"].transactional is whole


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    adapter = folder(tmp_path, {"1_t.sql": TABLE})
    (tmp_path / "sql/1_t.sql").write_bytes("SELECT 'é';".encode("latin-1"))
    with pytest.raises(DatabaseError, match=r"1_t\.sql is not UTF-8: byte 8 is 0xe9"):
        phases.refuse_impossible(SqlFiles(str(tmp_path), "sql").pending([], "head"))
    (tmp_path / "sql/1_t.sql").write_bytes(b"\xef\xbb\xbf" + TABLE.encode())
    assert SqlFiles(str(tmp_path), "sql").revisions["1_t"].sha256 == adapter.revisions["1_t"].sha256
