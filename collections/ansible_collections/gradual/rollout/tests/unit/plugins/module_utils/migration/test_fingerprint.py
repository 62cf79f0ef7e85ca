"""What counts as an edit of a revision that was applied, and what does not."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import fingerprint, sql_text, steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sql_files import SqlFiles
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

SQL = "CREATE TABLE t (a int, b text DEFAULT 'x  y');\nSELECT 1;\n"
PYTHON = '''"""First.

Create Date: 2026-01-01
"""
from alembic import op

revision = "0001"
phase = "expand"


def upgrade():
    op.add_column("t", Column("a", Text(), nullable=True))
    op.execute(f"COMMENT ON TABLE t IS {text!r:>{width}}")
'''


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (SQL, True),
        (f"-- A comment\n\n/* and\n another */{SQL}", True),
        ("CREATE TABLE t (\n  a int,   b text\tDEFAULT 'x  y'\n);SELECT 1", True),
        (SQL.replace("a int", "a bigint"), False),
        (SQL.replace("'x  y'", "'x y'"), False),
        (SQL.replace("SELECT 1;", ""), False),
        (SQL.replace("a int", "a in t"), False),
        ("CREATE TABLE \"t\" (a int, b text DEFAULT 'x  y'); SELECT 1;", False),
        (SQL + "DO $$ BEGIN -- text of the function\n END $$;", False),
    ],
)
def test_sql(text: str, same: bool) -> None:
    def read(one: str) -> str:
        return fingerprint.of_sql(sql_text.statements(one, "some.sql"))

    assert (read(text) == read(SQL)) is same


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (PYTHON, True),
        (PYTHON.replace("2026-01-01", "2026-01-02"), True),
        (PYTHON.replace('phase = "expand"', "# no phase yet"), True),
        (PYTHON.replace('"', "'").replace("'''", '"""'), True),
        (
            PYTHON.replace('"t", Column(', '\n        "t",  # the table\n        Column(').replace(
                "))\n", "),\n    )\n"
            ),
            True,
        ),
        (PYTHON.replace("Text()", "Text(50)"), False),
        (PYTHON.replace("nullable=True", "nullable=False"), False),
        (PYTHON.replace('"0001"', '"0002"'), False),
        (PYTHON + "    op.execute('SELECT 1')\n", False),
    ],
)
def test_python(text: str, same: bool) -> None:
    assert (fingerprint.of_python(ast.parse(text)) == fingerprint.of_python(ast.parse(PYTHON))) is same


MIGRATION = """\
class Migration(migrations.Migration):
    replaces = [("shop", "0001_initial"), ("shop", "0002_note")]
    initial = True
    dependencies = [("auth", "0001_initial")]
    operations = [migrations.AddField("order", "note", models.TextField())]
"""


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (MIGRATION.replace('    replaces = [("shop", "0001_initial"), ("shop", "0002_note")]\n', ""), True),
        (MIGRATION.replace("0001_initial", "0001_squashed_0002_note"), True),
        (MIGRATION.replace("    initial = True\n", '    gradual_phase = "expand"\n'), True),
        (MIGRATION.replace("TextField", "CharField"), False),
    ],
)
def test_the_place_of_a_migration_of_django_is_no_part_of_it(text: str, same: bool) -> None:
    """Django's manual has it edited in applied files."""
    assert (fingerprint.of_django(ast.parse(text)) == fingerprint.of_django(ast.parse(MIGRATION))) is same


def test_a_checksum_of_python_does_not_depend_on_the_version_of_python() -> None:
    """As versions 3.9 to 3.13 compute it; a host with another Python must not take the file for an edited one."""
    assert fingerprint.of_python(ast.parse(PYTHON)).endswith(
        ":4b27379058ba36ef0e4fb484e8e983cb886e4f118d7d76ba4561adfbe86b4d28"
    )


@pytest.mark.parametrize(
    ("record", "now", "edited"),
    [
        ("statements", SQL, False),
        ("statements", "-- A comment\n" + SQL, False),
        ("statements", SQL + "SELECT 2;", True),
        # A record of an earlier version of Gradual is the checksum of the file's bytes.
        ("file", SQL, False),
        ("file", "-- A comment\n" + SQL, True),
        ("file", SQL + "SELECT 2;", True),
    ],
)
def test_an_edit_is_found_by_the_record_that_there_is(tmp_path: Path, record: str, now: str, edited: bool) -> None:
    (tmp_path / "1_t.sql").write_text(SQL)
    was = SqlFiles(str(tmp_path), ".").revisions["1_t"]
    (tmp_path / "1_t.sql").write_text(now)
    adapter = SqlFiles(str(tmp_path), ".")
    known = {"1_t": was.sha256 if record == "statements" else was.file_sha256, "0_gone": "statements:0"}
    if not edited:
        steps.refuse_edited(known, adapter)
        return
    with pytest.raises(DatabaseError, match=rf"1_t\.sql was edited after it was applied: its {record} had SHA-256"):
        steps.refuse_edited(known, adapter)
    adapter.revisions = {"1_t": replace(adapter.revisions["1_t"], sha256=was.sha256, file_sha256=was.file_sha256)}
    steps.refuse_edited(known, adapter)
