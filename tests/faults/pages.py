"""A damaged source: what a cluster's own disk may do to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from tests.database.server import Shop, throwaway

from .fault import Seen, fault
from .stage import Stage, Watch

PAGE = 8192


@contextlib.contextmanager
def checked(stage: Stage) -> Iterator[Shop]:
    """A shop on a cluster with data checksums."""
    with throwaway("--data-checksums") as server, Stage(server, stage.environment).shop() as shop:
        yield shop


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


def refused(stage: Stage, method: str, said: str) -> Seen:
    """A backup of that method from a damaged source must not come to be."""
    with checked(stage) as shop:
        older = shop.back_up()["path"]
        before = store.summed(older)
        watch = Watch(shop)
        corrupt(shop, "orders")
        watch.struck()
        with pytest.raises(DatabaseError, match=said) as failed:
            shop.back_up(method)
        assert (store.leftovers(shop.backups), store.summed(older)) == ([], before)
        return watch.safe(failed.value, "0001", "no file of it is left, and the backup from before the damage is as it was")


@fault(7, "one byte of a page of `orders` is changed on the disk, in a cluster with checksums; then a backup is asked for", "dump")
def page_for_dump(stage: Stage) -> Seen:
    return refused(stage, "dump", "invalid page in block 0")


@fault(7, "one byte of a page of `orders` is changed on the disk, in a cluster with checksums; then a backup is asked for", "basebackup")
def page_for_basebackup(stage: Stage) -> Seen:
    return refused(stage, "basebackup", "checksum")
