"""Faults of receipts: of what a migration takes on trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.goings_on import columns
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import Shop, revision, until

from .fault import Seen, fault
from .stage import Stage, Watch

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")


def refused(shop: Shop, given: Any, said: str, **changes: Any) -> Seen:
    """Migrate with that receipt; it has to be refused, with the database as it was."""
    watch, release = Watch(shop), shop.release(FIRST, COLUMN)
    watch.struck()
    with pytest.raises(MigrationFailed, match=said) as failed:
        shop.migrate(release, given, **changes)
    assert "note" not in columns(shop)
    seen = watch.safe(failed.value, "0001")
    # Control: with a receipt that fits, the same migration is done.
    assert shop.migrate(release, receipt(shop))["to"] == "0002"
    return seen


@fault(5, "the level in the receipt of a backup that was only taken is edited to `restored`", "tampered")
def tampered(stage: Stage) -> Seen:
    with stage.shop() as shop:
        path = Path(shop.back_up()["path"])
        found = json.loads((path / "receipt.json").read_text())
        assert found["level"] == "taken"
        (path / "receipt.json").write_text(json.dumps({**found, "level": "restored"}))
        with pytest.raises(DatabaseError, match="changed after it was sealed"):
            shop.prove(str(path))
        return refused(shop, str(path), "changed after it was sealed")


@fault(5, "the receipt of a proven backup of another database of the same cluster is given", "of another database")
def foreign(stage: Stage) -> Seen:
    with stage.shop() as other, stage.shop() as shop:
        return refused(shop, other.proven(), f"it is of the database '{other.name}', this one is '{shop.name}'")


@fault(5, "the receipt of a proven backup is given whose cluster has another system identifier", "of another cluster")
def another_cluster(stage: Stage) -> Seen:
    with stage.shop() as shop:
        return refused(
            shop,
            receipt(shop, system_identifier="7123456789012345678"),
            "it is of the cluster 7123456789012345678, this cluster is ",
        )


@fault(5, "a proven receipt is given two seconds after its backup, where one second is allowed", "stale")
def stale(stage: Stage) -> Seen:
    with stage.shop() as shop:
        given = receipt(shop)
        until(lambda: receipts.age(given) > 1.1)
        return refused(shop, given, r"it is \d+ s old, at most 1 s are allowed", max_age=1)


@fault(5, "a file of the backup is removed after it was proven; the receipt is as it was", "of a backup that is gone")
def gone(stage: Stage) -> Seen:
    with stage.shop() as shop:
        given = shop.proven()
        (Path(given["path"]) / "database.dump").unlink()
        return refused(shop, given, r"database\.dump is missing, expected")
