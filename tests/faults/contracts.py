"""Faults of what releases agree on: files that stay as they were applied, backfills that end, hosts that run the new
code."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.migration.runner import MigrationFailed
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.goings_on import columns
from tests.database.goings_on import receipt_by_hand as receipt
from tests.database.server import PASSWORD, Shop, revision
from tests.database.test_contract import FILL, NEW, OLD, Fleet, running

from .fault import Seen, fault, shortened
from .replicas import backfill
from .stage import Stage, Watch

FIRST = revision(1)
COLUMN = revision(2, "ALTER TABLE orders ADD COLUMN note text")
NEXT = revision(3, "ALTER TABLE orders ADD COLUMN more text")


@fault(
    22,
    "revision 0002 was applied; its file in the next release adds a column of another type; revision 0003 comes"
    " after it",
)
def edited(stage: Stage) -> Seen:
    with stage.shop() as shop:
        watch, given = Watch(shop), receipt(shop)
        assert shop.migrate(shop.release(FIRST, COLUMN), given)["to"] == "0002"
        release = shop.release(FIRST, COLUMN.replace("note text", "note varchar(5)"), NEXT)
        watch.struck()
        with pytest.raises(
            (MigrationFailed, DatabaseError), match=r"0001\.py was edited after it was applied"
        ) as failed:
            shop.migrate(release, given)
        assert "more" not in columns(shop)
        seen = watch.safe(failed.value, "0002")
        # Control: with the file as it was applied, the next revision is.
        assert shop.migrate(shop.release(FIRST, COLUMN, NEXT), given)["to"] == "0003"
        return Seen(shortened(seen.did, 45), seen.state, seen.seconds)


@contextlib.contextmanager
def soaked(shop: Shop) -> Iterator[Fleet]:
    """Two hosts on which a release was finished four days ago; its contract migration drops a column, and its backfill
    is still to do."""
    shop.as_owner("ALTER TABLE orders ADD COLUMN cents bigint")
    shop.run(f"ALTER ROLE shop_app PASSWORD '{PASSWORD}'")
    folder = Path(tempfile.mkdtemp(prefix="gradual-fleet-", dir="/tmp"))
    try:
        fleet = Fleet(shop, folder)
        fleet.finished(hours_ago=96)
        yield fleet
    finally:
        shutil.rmtree(folder)


def refused(fleet: Fleet, watch: Watch, why: str) -> Seen:
    """Play contract.yml: it has to refuse for that reason alone, and change nothing."""
    before = (fleet.folder / "ledger" / "ledger.jsonl").read_bytes()
    watch.struck()
    status, said = fleet.play("contract.yml", contract_confirm="2.0.0")
    assert status != 0
    assert why in said, said[-3000:]
    assert (fleet.folder / "ledger" / "ledger.jsonl").read_bytes() == before
    assert "extra" in columns(fleet.shop)
    assert not Path(fleet.shop.backups).exists()
    told = said.partition("Action failed: ")[2].partition("\nOrigin: ")[0].split("\n- ")
    assert told[0] == "The schema is not contracted, and nothing was changed:", told
    assert len(told) == 2, f"for that reason alone: {told}"
    return watch.safe(" ".join(told), "0001", "the column and the ledger are as they were")


def let_through(fleet: Fleet) -> None:
    """Control: nothing else is in the way of contract.yml."""
    status, said = fleet.play("contract.yml", "--check", contract_confirm="2.0.0")
    assert status == 0, said[-3000:]


@fault(
    24,
    "contract.yml is played with every host on the new release, four days of soak and the version typed, before the"
    " backfill has run",
)
def unfinished(stage: Stage) -> Seen:
    with stage.shop() as shop, soaked(shop) as fleet, running(NEW) as new:
        fleet.inventory(app1=new, app2=new)
        seen = refused(fleet, Watch(shop), f"the backfill {FILL['name']} is not complete (2000 rows of orders are left")
        assert backfill(shop, 30, FILL)["finished"]
        let_through(fleet)
        return seen


@fault(
    25,
    "contract.yml is played while one of two hosts still says that it runs the release before",
    "it runs the old release",
)
def old_host(stage: Stage) -> Seen:
    with stage.shop() as shop, soaked(shop) as fleet, running(NEW) as new, running(OLD) as old:
        assert backfill(shop, 30, FILL)["finished"]
        fleet.inventory(app1=new, app2=old)
        seen = refused(fleet, Watch(shop), "app2 runs 1.0.0, not 2.0.0 as it was rolled out")
        fleet.inventory(app1=new, app2=new)
        let_through(fleet)
        return seen


@fault(25, "contract.yml is played while one of two hosts cannot be reached", "it cannot be reached")
def lost_host(stage: Stage) -> Seen:
    with stage.shop() as shop, soaked(shop) as fleet, running(NEW) as new:
        assert backfill(shop, 30, FILL)["finished"]
        fleet.inventory(app1=new, app2=new)
        inventory = yaml.safe_load((fleet.folder / "hosts.yml").read_text())
        # Nobody listens there.
        inventory["application"]["hosts"]["app2"].update(
            ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1
        )
        (fleet.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        return refused(fleet, Watch(shop), "app2 could not be looked at, so it counts as old")
