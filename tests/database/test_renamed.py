"""SQL files that another release brings under other names, on a real server."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.reverting import Reverter

from .goings_on import receipt_by_hand
from .releases import COLUMN, FIRST, PATHS, release
from .server import Shop
from .test_adapters import applied, apply, columns, steps


def test_a_renamed_sql_file_is_the_migration_that_was_applied(empty: Shop) -> None:
    folder = release(empty, "sql", FIRST, COLUMN)
    apply(empty, "sql", folder)
    for ending in ("sql", "down.sql"):
        (folder / f"migrations/0002_step.{ending}").rename(folder / f"migrations/0002_note.{ending}")
    again = apply(empty, "sql", folder, receipt=None)
    assert (again["applied"], again["pending"], again["to"]) == ([], [], "0002_note")
    assert steps(empty, "sql") == [("0001_step", True), ("0002_note", True)]
    with Reverter(
        empty.request(target="0002_note", receipt=receipt_by_hand(empty)), adapters.of("sql", str(folder), PATHS["sql"])
    ) as back:
        assert applied(back.apply()) == ["0002_note"]
    assert columns(empty) == {"id", "extra"}
    assert applied(apply(empty, "sql", folder)) == ["0002_note"]
