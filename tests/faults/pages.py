"""A damaged source: what a cluster's own disk may do to it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import Shop

from .fault import Seen, fault
from .repositories import command, options
from .stage import Stage, Watch
from .tools import passes

PAGE = 8192


def corrupt(shop: Shop, relation: str) -> None:
    """Change one byte of a row in the relation's first page, on the disk, while the server is down."""
    path = shop.server.folder / "data" / str(shop.value(f"SELECT pg_relation_filepath('{relation}')"))
    shop.server.pg_ctl("stop", "-m", "fast")
    data = bytearray(path.read_bytes())
    data[PAGE - 20] ^= 0x10
    path.write_bytes(bytes(data))
    shop.server.pg_ctl("start")
    # Control: the server itself cannot read it any more.
    with pytest.raises(DatabaseError, match="invalid page in block 0"):
        shop.value(f"SELECT count(*) FROM {relation}")


def refused(shop: Shop, said: str, **asked: Any) -> Seen:
    """A backup from a damaged source must not come to be."""
    older = shop.back_up(**asked)["path"]
    before = store.summed(older)
    watch = Watch(shop)
    corrupt(shop, "orders")
    watch.struck()
    with pytest.raises(DatabaseError, match=said) as failed:
        shop.back_up(**asked)
    assert (store.leftovers(shop.backups), store.summed(older)) == ([], before)
    assert [one["path"] for one in store.survey(shop.backups)[0]] == [older]
    return watch.safe(failed.value, "0001", "no file of it is left, and the backup from before the damage is as it was")


CAUSED = (
    "one byte of a page of `orders` is changed on the disk, in a cluster with checksums; then a backup is asked for"
)


@fault(7, CAUSED, "dump")
def page_for_dump(stage: Stage) -> Seen:
    with stage.shop(stage.archiving()) as shop:
        return refused(shop, "invalid page in block 0", method="dump")


@fault(7, CAUSED, "basebackup")
def page_for_basebackup(stage: Stage) -> Seen:
    with stage.shop(stage.archiving()) as shop:
        return refused(shop, "checksum", method="basebackup")


@fault(7, CAUSED + ", of which pgbackrest ends with 0", "pgbackrest")
def page_for_pgbackrest(stage: Stage) -> Seen:
    with stage.shop(stage.archiving()) as shop:
        seen = refused(
            shop, "has pages with a wrong checksum", method="pgbackrest", options=options(shop.server), deadline=30
        )
        # Control: pgBackRest itself is content.
        assert passes(*command(shop.server, "backup", "--type=full"))
        return seen
