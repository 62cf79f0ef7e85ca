"""What a receipt allows, what is kept, what counts as the same contents, and what a program may say."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, schema_text, sequences
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    Finished,
    as_user,
    run,
    strictly,
)

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
IDENTITY = {"system_identifier": "7711", "timeline": 1, "database": "shop", "server_version": 150018}


def receipt(**changes: Any) -> dict[str, Any]:
    return receipts.sealed(
        {
            "schema": 1,
            "id": "shop-1",
            "application": "shop",
            "host": "db1",
            "database": "shop",
            "system_identifier": "7711",
            "timeline": 1,
            "server_version": 150014,
            "revision": "0002",
            "level": "restored",
            "taken_at": "2026-11-23T11:00:00Z",
            "path": "/b/shop-1",
            "files": {},
            "tables": {},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({}, None),
        ({"revision": "0001"}, None),
        ({"revision": None}, None),
        ({"revision": "0003"}, "taken at revision 0003, which is not an ancestor"),
        ({"system_identifier": "7712"}, "of the cluster 7712, this cluster is 7711"),
        ({"timeline": 2}, "timeline 2, this server is on 1"),
        (
            {"server_version": 140011, "system_identifier": "7712"},
            "of PostgreSQL 14, this server is PostgreSQL 15; after an upgrade, take a new backup",
        ),
        ({"database": "other"}, "of the database 'other', this one is 'shop'"),
        ({"level": "readable"}, "level 'readable', expected 'restored'"),
        ({"level": "excellent"}, "level 'excellent', expected"),
        ({"taken_at": "2026-11-23T09:59:59Z"}, "2.0 hours old, at most 2.0 hours are allowed"),
        ({"taken_at": "2026-11-23T10:00:00Z"}, None),
        ({"taken_at": "2026-11-23T12:06:00Z"}, "is in the future"),
    ],
)
def test_a_receipt_is_for_this_database_now_or_it_allows_nothing(
    changes: dict[str, Any], objection: str | None
) -> None:
    found = receipts.objections(receipt(**changes), IDENTITY, {"0002", "0001", None}, "restored", 7200, NOON)
    assert (found == []) if objection is None else (len(found) == 1 and objection in found[0])


def test_every_objection_is_named_at_once() -> None:
    found = receipts.objections(
        receipt(database="other", level="taken", revision="9"), IDENTITY, {"0002"}, "restored", 7200, NOON
    )
    assert len(found) == 3


@pytest.mark.parametrize(
    "given",
    [None, [], "text", {}, {"schema": 2}, {"schema": 1}, {**receipt(), "level": "sound"}, {**receipt(), "seal": "0"}],
)
def test_what_is_no_receipt_or_was_changed_is_refused(given: Any) -> None:
    with pytest.raises(DatabaseError):
        receipts.checked(given, "it")


def test_a_receipt_survives_its_way_through_a_file_and_through_json(tmp_path: Path) -> None:
    written = receipts.write(str(tmp_path), receipt(durations={"dump": 0.1, "total": 12.0}))
    assert receipts.read(str(tmp_path)) == written
    assert receipts.checked(json.loads(json.dumps(written)), "it") == written
    assert os.listdir(tmp_path) == [receipts.FILE]


def test_one_changed_byte_in_a_receipt_file_is_seen(tmp_path: Path) -> None:
    receipts.write(str(tmp_path), receipt())
    path = tmp_path / receipts.FILE
    path.write_text(path.read_text().replace('"0002"', '"0003"'))
    with pytest.raises(DatabaseError, match="was changed after it was sealed"):
        receipts.read(str(tmp_path))


def test_a_missing_or_cut_receipt_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be read"):
        receipts.read(str(tmp_path))
    (tmp_path / receipts.FILE).write_text('{"schema": 1,')
    with pytest.raises(DatabaseError, match="is not JSON"):
        receipts.read(str(tmp_path))


def kept(*levels: str) -> list[dict[str, Any]]:
    return [
        {"path": f"/b/{number}", "database": "shop", "application": "shop", "level": level}
        for number, level in enumerate(levels)
    ]


@pytest.mark.parametrize(
    ("levels", "keep", "removed"),
    [
        (["restored", "taken"], 2, []),
        (["restored", "restored", "restored"], 2, ["/b/0"]),
        (["restored", "taken", "taken"], 2, []),
        (["restored", "restored", "taken", "taken"], 1, ["/b/0", "/b/2"]),
        (["taken", "taken", "taken"], 1, ["/b/0", "/b/1"]),
        ([], 1, []),
    ],
)
def test_the_newest_proven_backup_is_never_removed(levels: list[str], keep: int, removed: list[str]) -> None:
    assert store.removable(kept(*levels), "shop", "shop", keep) == removed


def test_backups_of_another_database_or_application_are_let_alone() -> None:
    found = kept("restored", "restored")
    found[0]["database"] = "other"
    found[1]["application"] = "other"
    assert store.removable(found, "shop", "shop", 0) == []


def test_a_backup_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".partial-a").mkdir()
    (tmp_path / "a").mkdir()
    with pytest.raises(DatabaseError, match="never overwritten"):
        store.publish(str(tmp_path / ".partial-a"), str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.write_bytes(b"hellO"), "was changed"),
        (lambda path: path.write_bytes(b"hell"), "4 bytes, expected 5"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.with_name("more").write_bytes(b""), "not in the receipt"),
        (lambda path: None, None),
    ],
)
def test_every_damage_to_a_file_is_seen(tmp_path: Path, change: Any, sentence: str | None) -> None:
    folder = tmp_path / "database"
    folder.mkdir()
    (folder / "1.dat").write_bytes(b"hello")
    before = store.summed(str(tmp_path))
    change(folder / "1.dat")
    found = store.file_differences(before, store.summed(str(tmp_path)))
    assert (found == []) if sentence is None else (len(found) == 1 and sentence in found[0])


def test_a_survey_tells_good_broken_and_unfinished_apart(tmp_path: Path) -> None:
    for name in ("a", "b", ".partial-c"):
        (tmp_path / name).mkdir()
    receipts.write(str(tmp_path / "a"), receipt())
    receipts.write(str(tmp_path / "b"), receipt(files={"gone": {"bytes": 1, "sha256": ""}}))
    good, broken = store.survey(str(tmp_path))
    assert [one["id"] for one in good] == ["shop-1"]
    assert len(broken) == 1
    assert "gone is missing" in broken[0]["reason"]
    assert store.leftovers(str(tmp_path)) == [str(tmp_path / ".partial-c")]
    assert store.survey(str(tmp_path / "nowhere")) == ([], [])


def test_too_little_room_is_an_error_that_says_how_little(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"needs about 1073741824 MiB and 5 MiB have to stay free"):
        store.need_space(str(tmp_path / "not" / "there"), 1 << 50, 5, "the backup")


ONE = {"rows": 2, "digest": "7"}


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        ({"a": ONE}, None),
        ({}, "a is missing"),
        ({"a": {"rows": 1, "digest": "7"}}, "1 rows, expected 2"),
        ({"a": {"rows": 2, "digest": "8"}}, "2 rows as expected, but other contents"),
        ({"a": ONE, "b": ONE}, "b exists, but is not"),
    ],
)
def test_contents_differ_by_table_row_and_value(seen: dict[str, Any], sentence: str | None) -> None:
    found = contents.differences({"a": ONE}, seen)
    assert (found == []) if sentence is None else (len(found) == 1 and sentence in found[0])


@pytest.mark.parametrize(
    ("before", "after", "seen", "fine"),
    [
        (5, 5, 5, True),
        (5, 9, 7, True),
        (5, 9, 4, False),
        (5, 9, 10, False),
        (None, None, None, True),
        (None, 3, None, True),
        (None, 3, 2, True),
        (5, 5, None, False),
        (None, None, 1, False),
        (5, 5, "missing", False),
    ],
)
def test_a_sequence_stands_where_it_stood_during_the_dump(
    before: int | None, after: int | None, seen: Any, fine: bool
) -> None:
    restored = {} if seen == "missing" else {"s": seen}
    assert (sequences.differences({"s": [before, after]}, restored) == []) is fine


def test_the_fingerprint_leaves_out_what_differs_between_two_dumps_and_nothing_else() -> None:
    first = (
        "\\restrict abc\n-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\nCREATE TABLE a (b"
        " integer);\n\\unrestrict abc\n"
    )
    second = first.replace("abc", "xyz").replace("15.18", "15.19")
    assert schema_text.fingerprint(first) == schema_text.fingerprint(second)
    comment = "COMMENT ON TABLE a IS 'one\u2028\\restrict x\x0b\x85';\n"
    assert schema_text.plain(comment) == comment
    assert schema_text.fingerprint(first) != schema_text.fingerprint(first.replace("integer", "bigint"))
    assert schema_text.differences(first, second.replace("integer", "bigint")) == [
        "-CREATE TABLE a (b integer);",
        "+CREATE TABLE a (b bigint);",
    ]


def test_the_lines_that_differ_show_no_password() -> None:
    options = "    password 'it''s secret',\n    \"user\" 'app'\nCONNECTION 'host=h password=secret dbname=d'\n"
    assert schema_text.differences("", options) == [
        "+    password ********,",
        "+    \"user\" 'app'",
        "+CONNECTION 'host=h password=******** dbname=d'",
    ]


@pytest.mark.parametrize(
    ("status", "errors", "known", "fails"),
    [
        (0, "", [], None),
        (0, "pg_dump: warning: known thing\n", ["pg_dump: warning: known thing"], None),
        (
            0,
            "pg_dump: error: could not write to output file: No space left on device\n",
            [],
            "ended with status 0 and said: pg_dump: error: could not write",
        ),
        (1, "pg_dump: warning: known thing\n", [], "ended with status 1 and said: nothing"),
        (
            0,
            "pg_dump: warning: known thing\npg_dump: detail: orders\n",
            ["pg_dump: warning: known thing", "pg_dump: detail: orders"],
            None,
        ),
        (
            1,
            "pg_dump: warning: known thing\npg_dump: error: no result\npg_dump: detail: ERROR:  invalid page\n",
            [],
            "ended with status 1 and said: pg_dump: error: no result; pg_dump: detail: ERROR:  invalid page",
        ),
        (-9, "", [], "was killed by signal 9"),
    ],
)
def test_what_a_program_says_is_judged_as_well_as_its_status(
    status: int, errors: str, known: list[str], fails: str | None
) -> None:
    finished = Finished(("/usr/bin/pg_dump",), status, "", errors)
    harmless = ("pg_dump: warning: known", "pg_dump: detail: ")
    if fails is None:
        assert strictly(finished, harmless) == known
    else:
        with pytest.raises(DatabaseError, match=fails):
            strictly(finished, harmless)


def test_no_variable_of_the_caller_reaches_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert "PGHOST" not in run(["/usr/bin/env"]).output


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(DatabaseError, match="did not end within 0 s"):
        run(["/bin/sleep", "60"], timeout=0.2)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(DatabaseError, match="no user 'nosuch'"):
        as_user("nosuch", dict)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_work_is_done_as_the_user_and_its_errors_come_back() -> None:
    assert as_user("nobody", lambda: [os.getuid(), os.geteuid(), os.getgroups()]) == [65534, 65534, [65534]]
    assert os.geteuid() == 0

    def fail() -> None:
        raise DatabaseError("no room", "53100")

    with pytest.raises(DatabaseError, match="no room") as seen:
        as_user("nobody", fail)
    assert seen.value.sqlstate == "53100"
    with pytest.raises(
        DatabaseError, match=r"bug in Gradual.*ZeroDivisionError.*<lambda> \(.*test_backup\.py, line \d+\)"
    ):
        as_user("nobody", lambda: 1 // 0)
