"""Each migration tool, played against the same table of cases on a real server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import APPLICATION_NAME
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed, Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from .releases import COLUMN, FIRST, GOODBYE, INDEX, PATHS, Step, file, name, release
from .server import PASSWORD, Shop, meanwhile, until

TOOLS = sorted(adapters.ADAPTERS)
pytestmark = pytest.mark.parametrize("tool", TOOLS)


def receipt(shop: Shop) -> dict[str, Any]:
    """What a proven backup of the empty database would have."""
    with shop.session() as session:
        identity = live.identity(session)
    kept = {key: identity[key] for key in ("database", "system_identifier", "timeline")}
    return receipts.sealed({"schema": 1, "id": "by-hand", "host": "elsewhere", "path": "/nowhere", "revision": None, "level": "restored",
                            "taken_at": receipts.now(), "files": {}, **kept})


def migrator(shop: Shop, tool: str, folder: Path, **changes: Any) -> Migrator:
    return Migrator(shop.request(**{"receipt": receipt(shop), **changes}), adapters.of(tool, str(folder), PATHS[tool]))


def apply(shop: Shop, tool: str, folder: Path, **changes: Any) -> dict[str, Any]:
    with migrator(shop, tool, folder, **changes) as run:
        return run.apply()


def applied(told: dict[str, Any]) -> list[str]:
    return [one["revision"] for one in told["applied"]]


def columns(shop: Shop) -> set[str]:
    with shop.session() as session:
        return {row[0] for row in session.rows("SELECT column_name::text FROM information_schema.columns WHERE table_name = 'items'")}


def steps(shop: Shop, tool: str) -> list[tuple[str, bool]]:
    with shop.session() as session:
        return [(row[0], row[1]) for row in session.rows(
            "SELECT revision, applied_at IS NOT NULL FROM gradual.migration_step WHERE adapter = %s ORDER BY 1", (tool,))]


def test_expand_now_contract_later_and_each_step_is_recorded(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, COLUMN, GOODBYE)
    with migrator(empty, tool, folder, variables={}) as looking:
        told = looking.info()
        assert [(one["revision"], one["phase"]) for one in told["pending"]] == [
            (name(tool, 1), "expand"), (name(tool, 2), "expand"), (name(tool, 3), "contract")]
        assert told["current"] is None
    done = apply(empty, tool, folder)
    assert applied(done) == [name(tool, 1), name(tool, 2)]
    assert (done["from"], done["to"]) == (None, name(tool, 2))
    assert [one["revision"] for one in done["left"]] == [name(tool, 3)]
    assert columns(empty) == {"id", "extra", "note"}
    assert steps(empty, tool) == [(name(tool, 1), True), (name(tool, 2), True)]
    with empty.session() as session:
        # What a receipt of a backup taken now would name.
        assert live.revisions(session) == [name(tool, 2)]
    again = apply(empty, tool, folder, receipt=None)
    assert (again["applied"], again["to"]) == ([], name(tool, 2))
    assert apply(empty, tool, folder, phase="contract")["to"] == name(tool, 3)
    assert columns(empty) == {"id", "note"}


def test_a_target_is_no_further_than_it_says(empty: Shop, tool: str) -> None:
    assert apply(empty, tool, release(empty, tool, FIRST, COLUMN), target=name(tool, 1))["to"] == name(tool, 1)


def test_what_fails_leaves_nothing_and_the_mended_release_goes_on(empty: Shop, tool: str) -> None:
    broken = release(empty, tool, FIRST, Step(2, "ALTER TABLE items ADD COLUMN note text; ALTER TABLE items ADD COLUMN extra text"))
    with pytest.raises(MigrationFailed, match=r'failed: column "extra" of relation "items" already exists.*nothing of it is left') as seen:
        apply(empty, tool, broken)
    assert seen.value.result["to"] == name(tool, 1)
    assert PASSWORD not in str(seen.value)
    assert columns(empty) == {"id", "extra"}
    assert applied(apply(empty, tool, release(empty, tool, FIRST, COLUMN))) == [name(tool, 2)]


def test_a_concurrent_index_needs_no_transaction(empty: Shop, tool: str) -> None:
    assert applied(apply(empty, tool, release(empty, tool, FIRST, INDEX))) == [name(tool, 1), name(tool, 2)]
    assert empty.value("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('items_extra')") is True


def test_a_file_without_a_phase_is_not_run(empty: Shop, tool: str) -> None:
    with pytest.raises(DatabaseError, match="does not say its phase"):
        apply(empty, tool, release(empty, tool, FIRST, Step(2, "DROP TABLE items", phase=None)))
    assert columns(empty) == set()


def test_a_file_edited_after_it_was_applied_is_refused_before_anything_changes(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, COLUMN)
    apply(empty, tool, folder, target=name(tool, 1))
    first = file(folder, tool, FIRST)
    text = first.read_text()
    first.write_text(text.replace("extra text", "extra json"))
    with pytest.raises(DatabaseError, match=f"{first.name} was edited after it was applied.*Put the file back as it was"):
        apply(empty, tool, folder)
    with pytest.raises(DatabaseError, match="was edited after it was applied"), migrator(empty, tool, folder) as looking:
        looking.plan()
    assert columns(empty) == {"id", "extra"}
    first.write_text(text)
    assert apply(empty, tool, folder)["to"] == name(tool, 2)


def test_a_step_that_was_applied_and_not_recorded_is_recorded_by_the_next_run(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, COLUMN)
    apply(empty, tool, folder)
    empty.run(f"DELETE FROM gradual.migration_step WHERE revision = '{name(tool, 1)}'",
              f"UPDATE gradual.migration_step SET applied_at = NULL, seconds = NULL WHERE revision = '{name(tool, 2)}'")
    assert apply(empty, tool, folder)["applied"] == []
    assert steps(empty, tool) == [(name(tool, 1), True), (name(tool, 2), True)]


def test_a_backend_killed_in_the_middle_is_tried_again(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, Step(2, "ALTER TABLE items ADD COLUMN note text; SELECT pg_sleep(0.7)"))

    def kill() -> None:
        working = (f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{APPLICATION_NAME}'"
                   " AND wait_event = 'PgSleep'")
        empty.run(f"SELECT pg_terminate_backend({until(lambda: empty.value(working))})")

    apply(empty, tool, folder, target=name(tool, 1))
    with meanwhile(kill):
        step = apply(empty, tool, folder)["applied"][0]
    assert step["attempts"] == 2
    assert "note" in columns(empty)


def test_its_session_has_our_name_and_limits_and_no_argument_has_the_password(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, Step(2, "CREATE TABLE seen AS SELECT current_setting('application_name') AS name,"
                                                 " current_setting('lock_timeout') AS limit; SELECT pg_sleep(0.5)"))
    arguments: list[str] = []

    def watch() -> None:
        until(lambda: empty.value(f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{APPLICATION_NAME}' AND wait_event = 'PgSleep'"))
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                arguments.append(Path("/proc", process, "cmdline").read_text())
            except OSError:
                continue

    with meanwhile(watch):
        apply(empty, tool, folder)
    assert any(str(folder) in one or tool in one or "psql" in one for one in arguments)
    assert not [one for one in arguments if PASSWORD in one]
    with empty.session() as session:
        assert session.rows("SELECT name, \"limit\" FROM seen") == [(APPLICATION_NAME, "50ms")]


def test_an_older_release_does_not_touch_a_newer_database(empty: Shop, tool: str) -> None:
    apply(empty, tool, release(empty, tool, FIRST, COLUMN))
    with pytest.raises(DatabaseError, match=f"at revision {name(tool, 2)}, which is none of the 1"):
        apply(empty, tool, release(empty, tool, FIRST))


def test_a_lock_that_is_never_free_ends_with_the_name_of_who_holds_it(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, COLUMN)
    apply(empty, tool, folder, target=name(tool, 1))
    with empty.session() as reader:
        reader.run("BEGIN")
        reader.run("SELECT 1 FROM items")
        pid = reader.value("SELECT pg_backend_pid()")
        with pytest.raises(MigrationFailed, match=rf"did not get its lock in \d+ attempts within 1 s, held by pid {pid} "):
            apply(empty, tool, folder, deadline=1)
    assert columns(empty) == {"id", "extra"}
