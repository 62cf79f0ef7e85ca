"""Faults of what releases agree on: files that stay as they were applied, backfills that end, hosts that run the new code."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import revision

from .fault import Seen, fault, shortened
from .stage import Stage, Watch, columns, receipt

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")
NEXT = revision(3, "ALTER TABLE orders ADD COLUMN more text")


@fault(22, "revision 0002 was applied; its file in the next release adds a column of another type; revision 0003 comes after it")
def edited(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        assert shop.migrate(shop.release(FIRST, COLUMN), given)["to"] == "0002"
        release = shop.release(FIRST, COLUMN.replace("note text", "note varchar(5)"), NEXT)
        watch.struck()
        with pytest.raises((MigrationFailed, DatabaseError), match=r"0001\.py was edited after it was applied") as failed:
            shop.migrate(release, given)
        assert "more" not in columns(shop)
        seen = watch.safe(failed.value, "0002")
        # Control: with the file as it was applied, the next revision is.
        assert shop.migrate(shop.release(FIRST, COLUMN, NEXT), given)["to"] == "0003"
        return Seen(shortened(seen.did, 45), seen.state, seen.seconds)
