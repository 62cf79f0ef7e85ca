"""Each migration tool, played against the same table of cases on a real server."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration import steps as records
from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import APPLICATION_NAME
from ansible_collections.gradual.rollout.plugins.module_utils.migration.reverting import Reverter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed, Migrator
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from .goings_on import receipt_by_hand
from .releases import COLUMN, FIRST, GOODBYE, INDEX, PATHS, Step, file, name, release
from .server import PASSWORD, Shop, meanwhile, until

TOOLS = sorted(adapters.ADAPTERS)
pytestmark = pytest.mark.parametrize("tool", TOOLS)


def migrator(shop: Shop, tool: str, folder: Path, **changes: Any) -> Migrator:
    return Migrator(
        shop.request(**{"receipt": receipt_by_hand(shop, revision=None), **changes}),
        adapters.of(tool, str(folder), PATHS[tool]),
    )


def apply(shop: Shop, tool: str, folder: Path, **changes: Any) -> dict[str, Any]:
    with migrator(shop, tool, folder, **changes) as run:
        return run.apply()


def applied(told: dict[str, Any]) -> list[str]:
    return [one["revision"] for one in told["applied"]]


def columns(shop: Shop) -> set[str]:
    with shop.session() as session:
        return {
            row[0]
            for row in session.rows(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'items'"
            )
        }


def steps(shop: Shop, tool: str) -> list[tuple[str, bool]]:
    with shop.session() as session:
        return [
            (row[0], row[1])
            for row in session.rows(
                "SELECT revision, applied_at IS NOT NULL FROM gradual.migration_step WHERE adapter = %s ORDER BY 1",
                (tool,),
            )
        ]


def working(shop: Shop) -> Any:
    """The process that waits in the revision for the table `go` to have a row."""
    return shop.value(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name ="
        f" '{APPLICATION_NAME}' AND wait_event = 'PgSleep'"
    )


# What a revision does until the test lets it go on: a wait for a state, not for a time.
WAIT = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$"


@pytest.fixture
def items(empty: Shop) -> Shop:
    """A database that has the table and was never migrated."""
    empty.as_owner(FIRST.sql, "CREATE TABLE go (id int)")
    return empty


def test_the_way_of_a_release(empty: Shop, tool: str) -> None:
    folder = release(empty, tool, FIRST, COLUMN, GOODBYE)
    first, second, third = (name(tool, number) for number in (1, 2, 3))
    with migrator(empty, tool, folder, variables={}) as looking:
        told = looking.info()
    assert [(one["revision"], one["phase"]) for one in told["pending"]] == [
        (first, "expand"),
        (second, "expand"),
        (third, "contract"),
    ]
    assert told["current"] is None

    # A target is no further than it says.
    assert apply(empty, tool, folder, target=first)["to"] == first
    refuses_an_edit(empty, tool, folder)

    done = apply(empty, tool, folder)
    assert applied(done) == [second]
    assert (done["from"], done["to"], [one["revision"] for one in done["left"]]) == (first, second, [third])
    assert columns(empty) == {"id", "extra", "note"}
    assert steps(empty, tool) == [(first, True), (second, True)]
    with empty.session() as session:
        # What a receipt of a backup taken now would name.
        assert live.revisions(session) == [second]

    # Applied and not recorded, as a crash leaves it: the next run does it, and has nothing else to do.
    empty.run(
        f"DELETE FROM gradual.migration_step WHERE revision = '{first}'",
        f"UPDATE gradual.migration_step SET applied_at = NULL, seconds = NULL WHERE revision = '{second}'",
    )
    again = apply(empty, tool, folder, receipt=None)
    assert (again["applied"], again["to"]) == ([], second)
    assert steps(empty, tool) == [(first, True), (second, True)]

    with pytest.raises(DatabaseError, match=f"at revision {second}, which is none of the 1"):
        apply(empty, tool, release(empty, tool, FIRST))
    goes_back(empty, tool, folder)
    assert apply(empty, tool, folder, phase="contract")["to"] == third
    assert columns(empty) == {"id", "note"}


def goes_back(shop: Shop, tool: str, folder: Path) -> None:
    """One step, from what the release's own run applied, and forward again."""
    adapter = adapters.of(tool, str(folder), PATHS[tool])
    first, second = name(tool, 1), name(tool, 2)
    with (
        pytest.raises(DatabaseError, match=f"{second} depends on {first}"),
        Reverter(shop.request(target=first), adapter) as looking,
    ):
        looking.plan()
    shop.run(f"UPDATE gradual.migration_step SET seconds = NULL WHERE revision = '{second}'")
    with (
        pytest.raises(DatabaseError, match="was not applied by Gradual"),
        Reverter(shop.request(target=second), adapter) as looking,
    ):
        looking.plan()
    shop.run(f"UPDATE gradual.migration_step SET seconds = 1 WHERE revision = '{second}'")
    with Reverter(shop.request(target=second, receipt=receipt_by_hand(shop, revision=None)), adapter) as back:
        done = back.apply()
        assert (applied(done), done["to"]) == ([second], first)
        assert back.apply()["to"] == first
    assert columns(shop) == {"id", "extra"}
    assert steps(shop, tool) == [(first, True)]
    assert applied(apply(shop, tool, folder)) == [second]


def refuses_an_edit(shop: Shop, tool: str, folder: Path) -> None:
    """Nothing is applied or planned while the text of what was applied is another one."""
    first = file(folder, tool, FIRST)
    text = first.read_text()
    first.write_text(text.replace("extra text", "extra json"))
    with pytest.raises(DatabaseError, match=f"{first.name} was edited after it was applied.*Restore the file"):
        apply(shop, tool, folder)
    with pytest.raises(DatabaseError, match="was edited after it was applied"), migrator(shop, tool, folder) as looking:
        looking.plan()
    assert columns(shop) == {"id", "extra"}
    first.write_text(text)


def test_what_fails_leaves_nothing_and_the_mended_release_goes_on(items: Shop, tool: str) -> None:
    broken = release(
        items, tool, Step(1, "ALTER TABLE items ADD COLUMN note text; ALTER TABLE items ADD COLUMN extra text")
    )
    with pytest.raises(
        MigrationFailed, match=r'failed: column "extra" of relation "items" already exists.*nothing of it is left'
    ) as seen:
        apply(items, tool, broken)
    assert seen.value.result["to"] is None
    assert PASSWORD not in str(seen.value)
    assert columns(items) == {"id", "extra"}
    assert applied(apply(items, tool, release(items, tool, Step(1, COLUMN.sql)))) == [name(tool, 1)]


def test_a_concurrent_index_is_run_again_from_its_beginning(items: Shop, tool: str) -> None:
    folder = release(items, tool, replace(INDEX, number=1))
    # As a run that was killed in the middle of it leaves the record.
    with migrator(items, tool, folder) as dead:
        records.begin(dead.session, dead.adapter, dead.plan()[0])
    done = apply(items, tool, folder)
    assert applied(done) == [name(tool, 1)]
    assert "does not run in one transaction, so what that attempt did is still there" in done["applied"][0]["notes"][0]
    assert items.value("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('items_extra')") is True


def test_a_file_without_a_phase_is_not_run(items: Shop, tool: str) -> None:
    with pytest.raises(DatabaseError, match="does not name its phase"):
        apply(items, tool, release(items, tool, Step(1, "DROP TABLE items", phase=None)))
    assert columns(items) == {"id", "extra"}


def test_a_backend_killed_in_the_middle_is_tried_again_where_that_is_safe(items: Shop, tool: str) -> None:
    """Its session has our name and our limits meanwhile, and no argument of any process has the password."""
    arguments: list[str] = []
    limits: list[Any] = []

    def kill() -> None:
        pid = until(lambda: working(items), 60)
        limits.append(items.value(f"SELECT mode FROM pg_locks WHERE pid = {pid} AND relation = 'items'::regclass"))
        for process in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                arguments.append(Path("/proc", process, "cmdline").read_text())
        items.run(f"SELECT pg_terminate_backend({pid})")
        until(lambda: working(items) != pid, 60)
        items.run("INSERT INTO go VALUES (1)")

    folder = release(
        items,
        tool,
        Step(1, f"{COLUMN.sql}; CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waits; {WAIT}"),
    )
    with meanwhile(kill):
        if tool == "sqitch":
            # It records a change only after the script's own COMMIT, so nobody knows; a script that counts would count
            # twice.
            with pytest.raises(
                MigrationFailed,
                match="it may be applied without being recorded: check the schema before you run it again",
            ):
                apply(items, tool, folder, deadline=60)
            assert columns(items) == {"id", "extra"}
            with pytest.raises(
                MigrationFailed, match="It is not run again automatically, because it may do something twice"
            ):
                apply(items, tool, folder)
            items.run("DELETE FROM gradual.migration_step WHERE adapter = 'sqitch'")
            apply(items, tool, folder)
        else:
            step = apply(items, tool, folder, deadline=60)["applied"][0]
            assert step["attempts"] == 2
    assert "note" in columns(items)
    assert items.value("SELECT waits FROM seen") == "50ms"
    assert limits == ["AccessExclusiveLock"]
    assert len(arguments) > 3
    assert not [one for one in arguments if PASSWORD in one]


def test_a_lock_that_is_never_free_ends_with_the_name_of_who_holds_it(items: Shop, tool: str) -> None:
    with items.session() as reader:
        reader.run("BEGIN")
        reader.run("SELECT 1 FROM items")
        pid = reader.value("SELECT pg_backend_pid()")
        with pytest.raises(
            MigrationFailed, match=rf"did not get its lock in \d+ attempts within 1 s, held by pid {pid} "
        ):
            apply(items, tool, release(items, tool, Step(1, COLUMN.sql)), deadline=1)
    assert columns(items) == {"id", "extra"}
