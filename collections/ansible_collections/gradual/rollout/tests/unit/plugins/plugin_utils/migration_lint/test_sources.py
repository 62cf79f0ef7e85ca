# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Where migration_lint gets its SQL: from Alembic itself in offline mode, from files, from Django's operations; and
what it does not see."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import (
    judge,
    sources,
    squawk,
    statements,
)
from ansible_collections.gradual.rollout.tests.unit.places import PROJECT, needs_checkout
from ansible_collections.gradual.rollout.tests.unit.sample_revisions import revision, rules

VERSIONS = PROJECT / "examples/storefront/versions"
TODAY = datetime.date(2027, 1, 15)


def test_operations_of_alembic_become_the_sql_that_alembic_writes(release: Path) -> None:
    revision(
        release,
        "1",
        """\
        op.create_table("orders", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("total", sa.Integer))
        op.create_index("by_total", "orders", ["total"])
        op.bulk_insert(sa.table("orders", sa.column("id"), sa.column("total")), [{"id": 1, "total": 2}])
        """,
    )
    revision(
        release,
        "2",
        """\
        op.add_column("orders", sa.Column("note", sa.Text, nullable=False))
        op.create_index("by_note", "orders", ["note"])
        op.alter_column("orders", "total", type_=sa.BigInteger)
        with op.get_context().autocommit_block():
            op.create_index("by_total_too", "orders", ["total"], postgresql_concurrently=True)
        """,
        "1",
    )
    found = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert [(one["revision"], one["line"], one["rule"], one["lock"]) for one in found] == [
        ("2", 9, "adding-required-field", "AccessExclusiveLock on orders"),
        ("2", 10, "require-concurrent-index-creation", "ShareLock on orders"),
        ("2", 11, "changing-column-type", "AccessExclusiveLock on orders"),
        ("2", 13, "concurrently-not-alone", "ShareUpdateExclusiveLock on orders"),
    ]


def test_only_what_is_pending_and_of_its_phase_is_told(release: Path) -> None:
    revision(release, "1", 'op.execute("UPDATE orders SET a = 1")')
    revision(release, "2", 'op.execute("DELETE FROM orders")', "1")
    revision(release, "3", 'op.execute("CREATE INDEX i ON orders (a)")', "2", 'phase = "contract"')
    assert rules(release, recorded=["1"]) == [("2", "whole-table-delete")]
    assert rules(release, recorded=["2"], phase="contract") == [("3", "require-concurrent-index-creation")]


def test_a_revision_that_says_no_phase_is_a_finding(release: Path) -> None:
    revision(release, "1", 'op.execute("SELECT 1")', head="")
    assert rules(release) == [("1", "phase-missing")]


def test_a_revision_that_asks_the_database_is_read_in_all_its_branches(release: Path) -> None:
    revision(
        release,
        "1",
        """\
        connection = op.get_bind()
        if connection.execute(sa.text("SELECT count(*) FROM orders WHERE a = :a"), {"a": 1}).scalar():
            connection.execute(sa.text("TRUNCATE orders"))
        for row in connection.execute(sa.text("SELECT 1")):
            op.execute(f"DROP TABLE {TABLE}")
        """,
        head='phase = "expand"; TABLE = "orders"',
    )
    assert rules(release) == [("1", "asks-database"), ("1", "truncate"), ("1", "drop-in-expand")]


def test_what_only_the_answer_would_have_written_is_not_seen(release: Path) -> None:
    revision(
        release,
        "1",
        """\
        for row in op.get_bind().execute(sa.text("SELECT tablename FROM pg_tables")):
            op.execute("DROP TABLE " + row.tablename)
        """,
    )
    assert sorted(rules(release)) == [("1", "asks-database"), ("1", "unseen")]


BRANCHES = {
    "an answer": (
        "if op.get_bind().execute(sa.text('SELECT 1')).scalar(): op.drop_column('orders', 'total')",
        {"asks-database", "unseen"}),
    "SQL by its name": (
        "if op.get_bind().execute(sa.text('SELECT 1')).scalar(): op.execute(sqltext='DROP TABLE orders')",
        {"asks-database", "drop-in-expand"}),
    "offline": (
        "if op.get_context().as_sql:\n    return\nop.execute('DROP TABLE orders')\nop.drop_index('i')",
        {"drop-in-expand", "unseen"}),
    "what may have been there": (
        ("if not op.get_bind().execute(sa.text('SELECT 1')).scalar():\n    op.execute('CREATE TABLE orders (a int)')\n"
         "op.execute('TRUNCATE orders')"),
        {"asks-database", "truncate"}),
    "a batch": (
        ("with op.batch_alter_table('orders') as batch_op:\n    batch_op.add_column(sa.Column('a', sa.Text))\n"
         "op.alter_column(\n  'orders', 'a')"),
        set()),
}  # fmt: skip


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_was_not_taken_is_no_pass(release: Path, name: str) -> None:
    revision(release, "1", BRANCHES[name][0])
    found = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert {one["rule"] for one in found} == BRANCHES[name][1]
    assert all("in a branch that offline mode did not take" in one["why"] for one in found if one["rule"] == "unseen")


UNPLAYABLE = {
    "inspects": ("sa.inspect(op.get_bind()).bind.no_such_thing", "no_such_thing"),
    "imports": ("import no_such_library", "No module named 'no_such_library'"),
    "connects": ("import socket; socket.create_connection(('127.0.0.1', 9))", "socket.connect"),
    "starts": ("import subprocess; subprocess.run(['true'])", "may not do this"),
    "wants": ("import os; os.environ['DATABASE_URL']", "DATABASE_URL"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "dies": ("import os; os._exit(3)", "exit status 3"),
    "too_late": ("pass", "exit status 3"),
}


def test_a_revision_that_cannot_be_played_is_no_silent_pass(release: Path) -> None:
    for before, name in zip([None, *UNPLAYABLE], UNPLAYABLE):
        revision(release, name, f"{UNPLAYABLE[name][0]}\nop.execute('DROP TABLE orders')\nop.execute(what)", before)
    found = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    for name, (_body, said) in UNPLAYABLE.items():
        assert {one["rule"] for one in found if one["revision"] == name} - {"asks-database"} == {
            "unseen",
            "drop-in-expand",
        }
        assert said in " ".join(one["why"] for one in found if one["revision"] == name)


# What upgrade() does, the statements (with whether they certainly run), and the findings about what was not read.
ORM = "class T(orm.declarative_base()):\n    __tablename__ = 't'\n    a = sa.Column(sa.Integer, primary_key=True)\n"
BIND: dict[str, tuple[str, list[tuple[str, bool]], list[str]]] = {
    "an enum": (
        "sa.Enum('a', 'b', name='state').create(op.get_bind())", [("CREATE TYPE state AS ENUM ('a', 'b')", True)], []),
    "an enum that may be there": (
        "postgresql.ENUM('a', name='state').create(op.get_bind(), checkfirst=True)",
        [("CREATE TYPE state AS ENUM ('a')", False)], []),
    "an enum that goes": (
        "sa.Enum(name='state').drop(op.get_bind(), checkfirst=True)", [("DROP TYPE state", False)], []),
    "a table": (
        "sa.Table('t', sa.MetaData(), sa.Column('a', sa.Text)).create(op.get_bind())",
        [("CREATE TABLE t ( a TEXT )", False)], []),
    "what the driver gets": (
        "op.get_bind().exec_driver_sql('UPDATE t SET a = %s', ('x',))", [("UPDATE t SET a = NULL", True)], []),
    "a text": (
        "op.get_bind().execute(sa.text('DELETE FROM t WHERE a = :a'), {'a': 1})",
        [("DELETE FROM t WHERE a = 1", True)], []),
    "a parameter that comes later": (
        "op.get_bind().execute(sa.text('DELETE FROM t WHERE a = :a'))", [("DELETE FROM t WHERE a = NULL", True)], []),
    "many rows": (
        "op.get_bind().execute(sa.table('t', sa.column('a')).insert(), [{'a': 1}, {'a': 2}])",
        [("INSERT INTO t (a) VALUES ('1')", True)], []),
    "a session": (
        "with orm.Session(bind=op.get_bind()) as s:\n    s.execute(sa.text('TRUNCATE t'))\n    s.commit()",
        [("TRUNCATE t", True)], []),
    "objects of the ORM": (
        f"{ORM}with orm.Session(op.get_bind()) as s:\n    for one in s.query(T).yield_per(5):\n        one.a = 1",
        [("SELECT t.a AS t_a FROM t", True)], ["asks-database"]),
    "objects by select()": (
        f"{ORM}for one in orm.Session(op.get_bind()).scalars(sa.select(T).where(T.a > 1)):\n    one.a = 1",
        [("SELECT t.a FROM t WHERE t.a > 1", True)], ["asks-database"]),
    "a number of objects": (
        f"{ORM}if orm.Session(op.get_bind()).query(T).filter(T.a > 1).count() != 0:\n    raise ValueError",
        [("SELECT count(*) AS count_1 FROM (SELECT t.a AS t_a FROM t WHERE t.a > 1) AS anon_1", True)],
        ["asks-database"]),
    "objects that are deleted": (
        f"{ORM}orm.Session(bind=op.get_bind()).query(T).filter(T.a == 1).delete()",
        [("DELETE FROM t WHERE t.a = 1", True)], ["asks-database"]),
    "objects that are changed": (
        f"{ORM}orm.Session(bind=op.get_bind()).execute(sa.update(T).values(a=2))",
        [("UPDATE t SET a=2", True)], []),
    "a table that is read": (
        "t = sa.Table('t', sa.MetaData(), autoload_with=op.get_bind())\nop.execute('TRUNCATE t')",
        [("TRUNCATE t", False)], ["asks-database"]),
    "its context": ("op.get_context().bind.execute(sa.text('TRUNCATE t'))", [("TRUNCATE t", True)], []),
    "after an answer": (
        "op.get_bind().execute(sa.text('SELECT 1')).scalar()\nop.execute('TRUNCATE t')",
        [("SELECT 1", True), ("TRUNCATE t", False)], ["asks-database"]),
    "a number of rows": (
        "if op.get_bind().execute(sa.text('SELECT COUNT(*) FROM t')).scalar() < 9:\n    op.execute('TRUNCATE t')",
        [("SELECT COUNT(*) FROM t", True), ("TRUNCATE t", False)], ["asks-database"]),
    "a row with a number": (
        "if not op.get_bind().execute(sa.text('SELECT count(id) FROM t')).fetchone()[0]:\n    op.execute('TRUNCATE t')",
        [("SELECT count(id) FROM t", True), ("TRUNCATE t", False)], ["asks-database"]),
    "numbers by groups": (
        "for one in op.get_bind().execute(sa.text('SELECT count(*) FROM t GROUP BY a')):\n    op.execute('TRUNCATE t')",
        [("SELECT count(*) FROM t GROUP BY a", True), ("TRUNCATE t", False)], ["asks-database"]),
    "an answer that nobody looks at": ("op.get_bind().execute(sa.text('SELECT 1'))", [("SELECT 1", True)], []),
    "an empty database": (
        "if not sa.inspect(op.get_bind()).has_table('t'):\n    op.execute('CREATE TABLE t (a int)')",
        [("CREATE TABLE t (a int)", False)], ["asks-database"]),
    "behind what fails": (
        "other = no_such_name()\nother.do()\nop.execute('TRUNCATE t')", [("TRUNCATE t", True)], ["unseen"]),
    "what fails for another reason": (
        "other = no_such_name()\nother.do()\nop.no_such_operation()\nop.execute('TRUNCATE t')",
        [("TRUNCATE t", True)], ["unseen", "unseen", "unseen"]),
}  # fmt: skip


def source(release: Path) -> statements.Source:
    """The last revision as migration_lint reads it."""
    tool = adapters.of("alembic", str(release), "migrations")
    return sources.sources("alembic", str(release), tool.pending([], "head"))[-1]


@pytest.mark.parametrize("name", BIND)
def test_what_goes_through_the_bind_is_recorded(release: Path, name: str) -> None:
    body, pieces, unseen = BIND[name]
    revision(release, "1", f"from sqlalchemy import orm\nfrom sqlalchemy.dialects import postgresql\n{body}")
    found = source(release)
    assert [(" ".join(one.sql.split()), one.certain) for one in found.pieces] == pieces
    assert [one.rule for one in found.unseen] == unseen


CHANGE = "type_=sa.Text(), existing_type=sa.String(50)"
TYPES = {
    "an operation": (f"op.alter_column('t', 'a', {CHANGE})", ("t", "a", "VARCHAR(50)")),
    "in a batch": (
        f"with op.batch_alter_table('t') as batch_op:\n    batch_op.alter_column('a', {CHANGE})",
        ("t", "a", "VARCHAR(50)")),
    "in a schema": (f"op.alter_column('t', 'a', {CHANGE}, schema='s')", ("s.t", "a", "VARCHAR(50)")),
    "in the usual schema": (f"op.alter_column('t', 'a', {CHANGE}, schema='public')", ("t", "a", "VARCHAR(50)")),
    "all by name": (
        "op.alter_column(table_name='t', column_name='a', type_=sa.Numeric(12, 2), existing_type=sa.Numeric(10, 2))",
        ("t", "a", "NUMERIC(10, 2)")),
    "a class": ("op.alter_column('t', 'a', type_=sa.BigInteger, existing_type=sa.Integer)", ("t", "a", "INTEGER")),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_a_type_change_comes_with_the_type_that_the_column_has(release: Path, name: str) -> None:
    revision(release, "1", f"{TYPES[name][0]}\nop.alter_column('t', 'a', type_=sa.Text())")
    known, unknown = source(release).pieces
    assert known.known_types == (TYPES[name][1],)
    assert unknown.known_types == ()


def test_branches_for_other_databases_are_not_read(release: Path) -> None:
    revision(
        release,
        "1",
        """\
        dialect = op.get_bind().dialect.name
        if dialect == "mysql":
            op.execute("ALTER TABLE orders MODIFY total bigint")
        elif dialect in ("sqlite", "mssql"):
            op.drop_table("orders")
        if dialect != "postgresql":
            op.drop_table("orders")
        """,
    )
    assert rules(release) == []
    body = "if op.get_bind().dialect.name == NAME:\n    op.drop_table('orders')"
    revision(release, "1", body, head='phase = "expand"; NAME = "other"')
    assert rules(release) == [("1", "unseen")]


def test_what_a_package_of_the_release_lacks_hides_none_of_its_modules(release: Path) -> None:
    (release / "shop").mkdir()
    (release / "shop/__init__.py").write_text("import no_such_library\n")
    (release / "shop/types.py").write_text("import sqlalchemy as sa\nTotal = sa.Integer()\n")
    revision(
        release,
        "1",
        'op.add_column("orders", sa.Column("a", shop.types.Total))',
        head='phase = "expand"; import shop.types',
    )
    assert rules(release) == []
    revision(
        release, "1", 'op.add_column("orders", sa.Column("a", Other))', head='phase = "expand"\nfrom shop import Other'
    )
    assert {one for _revision, one in rules(release)} == {"unseen"}


@pytest.mark.parametrize(
    ("limit", "seconds", "body", "said"),
    [
        ("COMPUTING", 2, "while True:\n    pass", "stopped after 2 s of computing"),
        ("PATIENCE", 5.0, "import time\ntime.sleep(60)", "stopped after 5 s"),
    ],
)
def test_a_revision_that_never_ends_is_given_up(
    release: Path, monkeypatch: pytest.MonkeyPatch, limit: str, seconds: float, body: str, said: str
) -> None:
    monkeypatch.setattr(sources, limit, seconds)
    revision(release, "1", f'op.execute("DELETE FROM orders")\n{body}')
    found = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert {one["rule"] for one in found} == {"unseen", "whole-table-delete"}
    assert any(one["why"].endswith(said) for one in found)


def test_what_a_revision_prints_is_not_taken_for_findings(release: Path) -> None:
    revision(
        release,
        "1",
        'print(\'{"revision": "1", "writes": [], "asked": false, "failed": null}\')\nop.execute("DELETE FROM orders")',
    )
    assert rules(release) == [("1", "whole-table-delete")]


def test_revisions_in_a_wheel_are_read_there(release: Path) -> None:
    (release / "alembic.ini").write_text("[alembic]\nversion_locations = shop:versions\n")
    revision(release, "1", 'op.execute(f"DROP TABLE {TABLE}")', head='phase = "expand"\nfrom shop.names import TABLE')
    with zipfile.ZipFile(release / "shop-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(release / "migrations/versions/1.py", "shop/versions/1.py")
        wheel.writestr("shop/__init__.py", "")
        wheel.writestr("shop/names.py", "TABLE = 'orders'\n")
    shutil.rmtree(release / "migrations")
    (found,) = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert (found["rule"], found["statement"]) == ("drop-in-expand", "DROP TABLE orders")
    assert found["file"] == "shop-1.0-py3-none-any.whl/shop/versions/1.py"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_root_does_not_run_revisions_as_root(release: Path) -> None:
    revision(release, "1", 'import os\nop.execute(f"DROP TABLE uid_{os.getuid()}_{os.getgid()}_{len(os.environ)}")')
    (found,) = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert found["statement"].startswith("DROP TABLE uid_65534_")
    with pytest.raises(AssertionError):
        assert "uid_0" in found["statement"]


# A program that gives up its privileges as offline.py does, with a library in a home that only root enters.
KEPT = """
import os, sys
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.offline import keep
sys.path.insert(0, {home!r})
import library
if {kept}:
    keep([{home!r}])
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    import library.part, other
    print(library.part.VALUE, other.VALUE)
except ImportError as error:
    print(error.name)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
@pytest.mark.parametrize(("kept", "said"), [(True, "1 2"), (False, "library.part")])
def test_libraries_in_a_private_home_are_found_without_privileges(tmp_path: Path, kept: bool, said: str) -> None:
    home = tmp_path / "root" / "packages"
    (home / "library").mkdir(parents=True)
    for name, text in {"library/__init__.py": "", "library/part.py": "VALUE = 1", "other.py": "VALUE = 2"}.items():
        (home / name).write_text(text)
    home.parent.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", KEPT.format(home=str(home), kept=kept)],
        env={"PYTHONPATH": sources.COLLECTIONS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == said, done.stderr


def test_what_a_module_of_the_release_imports_of_the_standard_library_is_there(release: Path) -> None:
    (release / "shop.py").write_text("import wsgiref.simple_server, encodings.raw_unicode_escape\nNAME = 'a'\n")
    head = 'phase = "expand"\nfrom shop import NAME'
    revision(release, "1", 'op.add_column("orders", sa.Column(NAME, sa.Text))', head=head)
    assert rules(release) == []


def test_without_alembic_the_text_is_read_and_the_rest_was_not_seen(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_has_alembic", lambda: False)
    revision(release, "1", 'op.add_column("orders", sa.Column("a", sa.Text))\nop.execute("DROP TABLE orders")')
    found = judge.lint("alembic", str(release), "migrations", "head")["findings"]
    assert [(one["line"], one["rule"]) for one in found] == [(1, "unseen"), (9, "unseen"), (10, "drop-in-expand")]
    assert "pip install alembic" in found[0]["why"]


def test_files_of_sql(release: Path) -> None:
    (release / "migrations/0001_orders.sql").write_text(
        "-- gradual: phase=expand\nCREATE TABLE orders (id bigint PRIMARY KEY);\n"
    )
    (release / "migrations/0002_total.sql").write_text(
        "-- gradual: phase=expand\nALTER TABLE orders ADD COLUMN a int;\n\nUPDATE orders\n  SET a = 1;\n"
    )
    (release / "migrations/0003_index.sql").write_text(
        "-- gradual: phase=expand transaction=none\nCREATE INDEX CONCURRENTLY i ON orders (a);\n"
    )
    (release / "migrations/0004_silent.sql").write_text("DROP TABLE orders;\n")
    found = judge.lint("sql", str(release), "migrations", "0004_silent")["findings"]
    assert [(one["revision"], one["line"], one["rule"]) for one in found] == [
        ("0002_total", 4, "whole-table-update"),
        ("0004_silent", 1, "phase-missing"),
    ]


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("1_t.up.sql", "-- gradual: phase=expand\nBEGIN;\nUPDATE orders SET a = 1;\nCOMMIT;\n", 3),
        ("V1__t.sql", "-- gradual: phase=expand\nUPDATE orders SET a = 1;\n", 2),
        (
            "1_t.sql",
            "-- gradual: phase=expand\n-- migrate:up\nUPDATE orders SET a = 1;\n-- migrate:down\nDROP TABLE orders;\n",
            3,
        ),
        (
            "1_t.sql",
            (
                "-- +goose Up\n-- gradual: phase=expand\n-- +goose StatementBegin\nUPDATE orders SET a = 1\n"
                "-- +goose StatementEnd\n-- +goose Down\nDROP TABLE orders;\n"
            ),
            4,
        ),
    ],
)
def test_only_the_part_that_is_applied_is_judged_on_its_own_lines(
    release: Path, file: str, text: str, line: int
) -> None:
    (release / "migrations" / file).write_text(text)
    found = judge.lint("sql", str(release), "migrations", "head")["findings"]
    assert [(one["line"], one["rule"]) for one in judge.stops(found)] == [(line, "whole-table-update")]


def test_sqitch_in_the_order_of_its_plan(release: Path) -> None:
    folder = release / "db"
    (folder / "deploy").mkdir(parents=True)
    (folder / "sqitch.plan").write_text(
        "%syntax-version=1.0.0\n%project=shop\n\nzebra 2026-01-01T00:00:00Z A <a@b> # first\napple [zebra]"
        " 2026-01-02T00:00:00Z A <a@b> # second\n"
    )
    (folder / "deploy/zebra.sql").write_text(
        "-- gradual: phase=expand\nBEGIN;\nCREATE INDEX i ON orders (a);\nCOMMIT;\n"
    )
    (folder / "deploy/apple.sql").write_text(
        "-- gradual: phase=expand\n\\set x 1\n\\i other.sql\nCREATE INDEX CONCURRENTLY j ON orders (a);\n"
    )
    assert rules(release, "sqitch", "db") == [("zebra", "require-concurrent-index-creation"), ("apple", "unseen")]


def test_sqitch_judges_the_rework_of_a_change_that_the_database_has(release: Path) -> None:
    folder = release / "db"
    (folder / "deploy").mkdir(parents=True)
    (folder / "sqitch.plan").write_text(
        "%syntax-version=1.0.0\n%project=shop\n\norders 2026-01-01T00:00:00Z A <a@b> # first\n@v1 2026-01-02T00:00:00Z"
        " A <a@b> # tag\norders [orders@v1] 2026-01-03T00:00:00Z A <a@b> # reworked\n"
    )
    (folder / "deploy/orders@v1.sql").write_text("-- gradual: phase=expand\nTRUNCATE o;\n")
    (folder / "deploy/orders.sql").write_text("-- gradual: phase=expand\nDROP TABLE o;\n")
    assert rules(release, "sqitch", "db", recorded=["orders"]) == [("orders", "drop-in-expand")]
    assert rules(release, "sqitch", "db", recorded=["orders", "orders"]) == []


def test_a_controller_without_the_programs_is_told_what_to_type(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision(release, "1", 'op.execute("SELECT 1")')
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DatabaseError, match="pip install squawk-cli"):
        squawk.program()
    monkeypatch.setattr(statements, "pglast", None)
    with pytest.raises(DatabaseError, match="pip install pglast"):
        judge.lint("alembic", str(release), "migrations", "head")


@needs_checkout
@pytest.mark.parametrize(("layers", "target", "wanted"), [
    (["1.0.0"], "0001", []),
    (["1.0.0", "2.0.0"], "0003", []),
    # The story of a migration that fails; its manifest waives this.
    (["1.0.0", "2.0.0", "2.0.4"], "0003b", ["constraint-in-expand"]),
])  # fmt: skip
def test_releases_of_the_storefront(layers: list[str], target: str, wanted: list[str], release: Path) -> None:
    for layer in layers:
        shutil.copytree(VERSIONS / layer, release, dirs_exist_ok=True)
    found = judge.lint("alembic", str(release), "migrations", target)["findings"]
    assert [one["rule"] for one in judge.stops(found)] == wanted
    # The trigger of 0002, and that 0003 goes on by what it finds.
    told = {one["rule"] for one in found if one["level"] == "warning"}
    later = {"create-trigger", "asks-database", "own-timeouts", "several-tables"}
    assert told == (set() if layers == ["1.0.0"] else later)


@needs_checkout
def test_no_other_release_of_the_storefront_has_migrations_of_its_own() -> None:
    assert {path.parts[-4] for path in VERSIONS.glob("*/migrations/versions/*.py")} == {"1.0.0", "2.0.0", "2.0.4"}


@pytest.mark.parametrize(
    "content", [b"SELECT '\xe9';", b"-- migrate:up\n-- +goose Down\n", b"SELECT 'x", b"SELECT 1;\0"]
)
def test_an_applied_sql_file_that_cannot_be_read_stops_nothing(release: Path, content: bytes) -> None:
    (release / "migrations/0001_a.sql").write_bytes(content)
    (release / "migrations/0002_b.sql").write_bytes(
        b"\xef\xbb\xbf-- gradual: phase=expand\nALTER TABLE t DROP COLUMN c;\n"
    )
    found = judge.lint("sql", str(release), "migrations", "head", recorded=["0001_a"])["findings"]
    assert [(one["revision"], one["line"], one["rule"]) for one in found] == [("0002_b", 2, "drop-in-expand")]
    with pytest.raises(DatabaseError, match=r"0001_a\.sql"):
        judge.lint("sql", str(release), "migrations", "head", recorded=[])
