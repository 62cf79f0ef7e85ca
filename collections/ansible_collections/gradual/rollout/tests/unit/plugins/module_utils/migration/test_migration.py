"""What a revision file says, what may be applied now, and what an operator gets to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.alembic import HOOK, Alembic, parse, sentence
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import (
    environment,
    lock_timed_out,
    merged,
    settings,
    transient,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.indexes import Builds, Index, of_revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def source(revision: str, down: str | None, phase: str | None = "expand", body: str = "pass") -> str:
    told = f'phase = "{phase}"\n' if phase else ""
    return (
        f'"""What {revision} does\n\nand why"""\nrevision: str = "{revision}"\ndown_revision = {down!r}\n{told}\n\ndef'
        f" upgrade() -> None:\n    {body}\n"
    )


def release(folder: Path, *sources: str) -> Alembic:
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    for number, text in enumerate(sources):
        (versions / f"{number}_some.py").write_text(text)
    return Alembic(str(folder), "migrations")


@pytest.mark.parametrize(
    ("text", "phase", "concurrent"),
    [
        (source("a", None), "expand", False),
        (source("a", None, "contract"), "contract", False),
        (source("a", None, " Data "), "data", False),
        (source("a", None, None), "unknown", False),
        (source("a", None, body="op.execute('CREATE INDEX CONCURRENTLY i ON t (c)')"), "expand", True),
        (source("a", None, body="op.execute('create unique index\\n concurrently i on t (c)')"), "expand", True),
        (source("a", None, body="op.create_index('i', 't', ['c'], postgresql_concurrently=True)"), "expand", True),
        (source("a", None, body="op.create_index('i', 't', ['c'], postgresql_concurrently=False)"), "expand", False),
        (source("a", None, body="'We CREATE nothing CONCURRENTLY here'"), "expand", False),
        (source("a", None, body="pass  # CREATE INDEX CONCURRENTLY"), "expand", False),
    ],
)
def test_a_revision_is_read_as_text(text: str, phase: str, concurrent: bool) -> None:
    found = parse(text.encode(), "some.py")
    assert found is not None
    assert (found.revision, found.parents, found.description, found.phase, found.concurrent) == (
        "a",
        (),
        "What a does",
        phase,
        concurrent,
    )


def test_nothing_in_a_revision_file_is_run() -> None:
    assert parse(f"{source('a', None)}raise SystemExit(1)\n".encode(), "some.py") is not None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(source("a", None, "expnad"), "expected one of expand, data, contract"), ("def (", "is not Python")],
)
def test_a_file_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        parse(text.encode(), "some.py")


def test_pending_is_in_order_and_one_by_one(tmp_path: Path) -> None:
    adapter = release(tmp_path, source("c", "b"), source("b", "a"), source("a", None))
    assert [one.revision for one in adapter.pending([], "head")] == ["a", "b", "c"]
    assert [one.revision for one in adapter.pending(["b"], "head")] == ["c"]
    assert [one.revision for one in adapter.pending([], "b")] == ["a", "b"]
    assert adapter.pending(["c"], "a") == []
    assert adapter.ancestors(["b"]) == {"a", "b", None}


def test_a_merge_comes_after_both_of_its_parents(tmp_path: Path) -> None:
    merge = source("m", None).replace("down_revision = None", "down_revision = ('b', 'c')")
    adapter = release(tmp_path, merge, source("c", "a"), source("b", "a"), source("a", None))
    assert [one.revision for one in adapter.pending(["c"], "head")] == ["b", "m"]
    assert [one.revision for one in adapter.pending(["b", "c"], "head")] == ["m"]


@pytest.mark.parametrize(
    ("sources", "recorded", "target", "complaint"),
    [
        ((source("a", None),), ["z"], "head", "database is at revision z, which is none of the 1"),
        ((source("a", None),), [], "zzzz", "target: got 'zzzz', which is no revision"),
        ((source("a", None), source("b", "a"), source("c", "a")), [], "head", r"several heads \(b, c\)"),
    ],
)
def test_a_target_or_state_that_does_not_fit_is_an_error(
    tmp_path: Path, sources: tuple[str, ...], recorded: list[str], target: str, complaint: str
) -> None:
    adapter = release(tmp_path, *sources)
    with pytest.raises(DatabaseError, match=complaint):
        adapter.pending(recorded, target)


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        ((source("a", "gone"),), "depends on revision 'gone'"),
        ((source("a", None), source("a", None)), "the same revision 'a'"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path: Path, sources: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        release(tmp_path, *sources)


def test_a_release_without_migrations_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no folder"):
        Alembic(str(tmp_path), "migrations")


def test_a_step_is_a_command_without_secrets(tmp_path: Path) -> None:
    adapter = release(tmp_path, source("a", None), source("b", "a"))
    second = adapter.pending([], "head")[1]
    assert adapter.apply(second).argv == (f"{tmp_path}/.venv/bin/python", "-c", HOOK, "upgrade", "b")
    assert adapter.revert(second).argv[-2:] == ("downgrade", "a")
    assert adapter.apply(second).folder == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (source("b", None), "b@base"),
        (source("b", None) + "depends_on = 'a'\n", "b@base"),
        (source("b", "c") + "depends_on = 'a'\n", "c"),
        (source("b", "c") + "depends_on = ('a', 'd')\n", "c"),
    ],
)
def test_a_revert_leaves_the_other_branches_alone(tmp_path: Path, text: str, target: str) -> None:
    """`downgrade base` reverts every branch; a dependency is no revision before this one."""
    adapter = release(tmp_path, source("a", None), source("c", None), source("d", None), text)
    assert adapter.revert(adapter.revisions["b"]).argv[-2:] == ("downgrade", target)


def test_the_settings_of_a_session_are_sent_in_a_form_that_every_driver_takes() -> None:
    """psycopg wants %s, asyncpg $1, pg8000 both: so there are no parameters. tests/database runs it on psycopg."""
    sent: list[tuple[str, ...]] = []

    class Driver:
        def cursor(self) -> Any:
            return self

        def execute(self, *given: str) -> None:
            sent.append(given)

        def close(self) -> None: ...
        def commit(self) -> None: ...

    space: dict[str, Any] = {}
    begin, end = HOOK.index("@event"), HOOK.index("# Loaded once")
    exec(f"import json, os\n{HOOK[begin:end].split(chr(10), 1)[1]}", space)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADUAL_SETTINGS", '{"application_name": "it\'s", "lock_timeout": 50}')
        space["settle"](Driver(), None)
    assert sent == [
        ("SELECT set_config('application_name', 'it''s', false)",),
        ("SELECT set_config('lock_timeout', '50', false)",),
    ]


def test_the_timeouts_come_last_so_that_nothing_loosens_them() -> None:
    made = environment({"PGOPTIONS": "-c lock_timeout=0", "PGAPPNAME": "mine", "X": "1"}, settings(50, 3600000, 150000))
    assert made["PGOPTIONS"].startswith("-c lock_timeout=0 -c lock_timeout=50 ")
    assert "client_connection_check_interval=1000" in made["PGOPTIONS"]
    assert (made["PGAPPNAME"], made["X"]) == ("gradual-migration", "1")
    assert json.loads(made["GRADUAL_SETTINGS"])["lock_timeout"] == 50
    assert "client_connection_check_interval" not in settings(50, 1, 130000)
    assert settings(None, 1, 150000)["lock_timeout"] == 0


TRACEBACK = """Traceback (most recent call last):
  File "x", line 1
psycopg.errors.DuplicateColumn: column "x" exists

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
sqlalchemy.exc.ProgrammingError: (psycopg.errors.DuplicateColumn) column "x" of relation "orders" already exists
[SQL: alter table orders add column x text]
(Background on this error at: https://sqlalche.me/e/20/f405)
"""
INTEGRITY = """sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) could not create unique index "u"
DETAIL:  Key (a)=(1) is duplicated.

[SQL: create unique index u on t (a)]
"""


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (TRACEBACK, 'column "x" of relation "orders" already exists'),
        (INTEGRITY, 'could not create unique index "u" DETAIL:  Key (a)=(1) is duplicated.'),
        (
            "INFO  [alembic.runtime.migration] Context impl.\nFAILED: Can't locate revision identified by 'x'\n",
            "Can't locate revision identified by 'x'",
        ),
        ("Traceback\nKeyError: 'DATABASE_URL'\n", "'DATABASE_URL'"),
        ("No module named alembic", "No module named alembic"),
        ("", "it printed nothing"),
    ],
)
def test_the_database_speaks_for_itself(output: str, said: str) -> None:
    assert sentence(output) == said


@pytest.mark.parametrize(
    ("output", "lock", "again"),
    [
        ("(psycopg.errors.LockNotAvailable) Abbruch der Anweisung wegen Zeitüberschreitung einer Sperre", True, False),
        ("canceling statement due to lock timeout", True, False),
        ("(psycopg2.errors.DeadlockDetected) deadlock detected", False, True),
        ("(psycopg.OperationalError) consuming input failed: server closed the connection unexpectedly", False, True),
        ("(psycopg.errors.AdminShutdown) terminating connection due to administrator command", False, True),
        # Of psycopg, and of libpq: nothing was begun.
        ("(psycopg.errors.ConnectionTimeout) connection timeout expired", False, True),
        (
            "(psycopg2.OperationalError) connection to server at 10.0.0.1, port 5432 failed: timeout expired",
            False,
            True,
        ),
        ("(psycopg.errors.DuplicateColumn) column exists", False, False),
    ],
)
def test_only_what_may_pass_is_tried_again(output: str, lock: bool, again: bool) -> None:
    assert (lock_timed_out(output), transient(output)) == (lock, again)


def test_a_blocker_is_named_once_as_last_seen() -> None:
    assert merged(["pid 1 (a, for 1 s)", "pid 2 (b)"], ["pid 1 (a, for 2 s)"]) == ["pid 1 (a, for 2 s)", "pid 2 (b)"]


def test_only_what_a_step_began_is_its_own() -> None:
    one = parse(
        source("a", None, body="op.create_index('ix_note', 't', ['c'], postgresql_concurrently=True)").encode(), "f"
    )
    assert one is not None
    named, again, built, printed, theirs, before = found = [
        Index(number, "public", name, "t")
        for number, name in enumerate(("ix_note", "ix_note_ccnew1", "ix_built", "ix printed", "ix_theirs", "ix_before"))
    ]
    assert of_revision(found, one) == [named, again]
    said = 'ERROR: could not create unique index "ix printed", not "ix_before"'
    builds = Builds([before.oid], {built.oid}, said)
    assert builds.own(found, one) == [named, again, built, printed]
    assert builds.foreign(found, one) == [theirs]
