"""Physical backups: taken while users write, proven by recovery to the very moment whose contents are known, and no
damage accepted."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, registry, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user

from .goings_on import writing
from .server import RUN_AS, Server, Shop, meanwhile, run_as, throwaway

SCHEMA = json.loads(
    (
        Path(__file__).parents[2] / "collections/ansible_collections/gradual/rollout/schemas/receipt.schema.json"
    ).read_text()
)


def test_a_copy_of_the_files_is_compared_at_the_moment_that_is_known(shop: Shop) -> None:
    shop.as_owner("CREATE UNLOGGED TABLE cache AS SELECT 1 a")
    with writing(shop, 2050):
        taken = shop.back_up("basebackup")
    receipt = shop.prove(taken["path"], "sound")
    jsonschema.validate(receipt, SCHEMA)
    assert receipt["level"] == "sound"
    assert 2050 < receipt["tables"]["public.orders"]["rows"] < shop.value("SELECT count(*) FROM orders")
    assert "public.cache" not in receipt["tables"]
    assert receipt["restore"]["writers_waited"] < 1
    assert receipts.reached(receipt, "sound")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a page flipped": (
        lambda folder: flip(largest(folder / "base" / "base")),
        "is not intact: base/base/.* was changed since",
    ),
    "a file cut": (
        lambda folder: os.truncate(largest(folder / "base" / "base"), 8192),
        r"is not intact: base/base/.* has 8192 bytes",
    ),
    "a file missing": (
        lambda folder: largest(folder / "base" / "base").unlink(),
        "is not intact: base/base/.* is missing",
    ),
    "a segment missing": (lambda folder: largest(folder / "wal").unlink(), "is not intact: wal/.* is missing"),
    "a segment of the copy missing": (
        lambda folder: largest(folder / "base" / "pg_wal").unlink(),
        "is not intact: base/pg_wal/.* is missing",
    ),
    "the listing edited": (
        lambda folder: (folder / "files.json").write_text("{}"),
        "is not intact: .*files.json is missing or was changed",
    ),
}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 6 // 10] ^= 0x10
    path.write_bytes(bytes(data))


def largest(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, str(path))
    )


@pytest.fixture(scope="module")
def copied(server: Server, environment: Path) -> Iterator[Shop]:
    """A shop of which there is one copy of the files; tests work on links to it."""
    shop = Shop(server, "shop_copied", environment)
    server.run(f"CREATE DATABASE {shop.name}")
    shop.run(
        "CREATE TABLE orders AS SELECT g AS id, repeat('x', 100) AS note FROM generate_series(1, 3000) g",
        "ALTER TABLE orders ADD PRIMARY KEY (id)",
    )
    shop.back_up("basebackup")
    yield shop
    server.run(f"DROP DATABASE {shop.name} WITH (FORCE)")


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_damage_to_a_copy_of_the_files_is_accepted(copied: Shop, damage: str) -> None:
    (taken,) = (path for path in Path(copied.backups).iterdir() if path.is_dir())
    work = copied.server.folder / "damaged"
    shutil.rmtree(work, ignore_errors=True)
    run_as(["cp", "--archive", str(taken), str(work)])
    change, complaint = DAMAGE[damage]
    change(work)
    with pytest.raises(DatabaseError, match=complaint):
        copied.prove(str(work))
    assert receipts.read(str(work))["level"] == "taken"


def test_damage_that_fits_its_checksums_is_seen_by_the_servers_own_sums(copied: Shop) -> None:
    (taken,) = (path for path in Path(copied.backups).iterdir() if path.is_dir())
    work = copied.server.folder / "resealed"
    run_as(["cp", "--archive", str(taken), str(work)])
    flip(largest(work / "base" / "base"))
    receipts.write(
        str(work), {**receipts.read(str(work)), "files": store.write_listing(str(work), store.summed(str(work)))}
    )
    with pytest.raises(
        DatabaseError, match=r"is not intact: pg_verifybackup ended with status 1 and said: .*checksum mismatch"
    ):
        copied.prove(str(work))


def test_a_corrupt_page_of_the_source_is_no_backup(environment: Path) -> None:
    with throwaway("--data-checksums") as server:
        shop = Shop(server, "postgres", environment)
        corrupt(shop)
        with pytest.raises(
            DatabaseError, match=r"pg_basebackup ended with status 1 and said: .*checksum verification failed"
        ):
            shop.back_up("basebackup")
        assert [path for path in Path(shop.backups).iterdir() if path.name != ".lock"] == []


def corrupt(shop: Shop) -> None:
    """Overwrite part of a page on the disk while the server has the good one in memory."""
    shop.run(
        "CREATE TABLE notes AS SELECT g AS id, repeat('x', 100) AS note FROM generate_series(1, 3000) g",
        "CREATE INDEX ON notes (id)",
        "CHECKPOINT",
    )
    with (shop.server.folder / "data" / shop.value("SELECT pg_relation_filepath('notes')")).open("r+b") as file:
        file.seek(3 * 8192 + 5000)
        file.write(bytes(range(120)))


def test_a_corrupt_page_without_checksums_is_seen_in_the_restored_copy(server: Server, environment: Path) -> None:
    shop = Shop(server, "shop_corrupt", environment)
    server.run(f"CREATE DATABASE {shop.name}")
    try:
        corrupt(shop)
        path = shop.back_up("basebackup")["path"]
        with pytest.raises(DatabaseError, match="is not restored: "):
            shop.prove(path, "sound")
        assert receipts.read(path)["level"] == "readable"
    finally:
        server.run(f"DROP DATABASE {shop.name} WITH (FORCE)")


def test_a_writer_that_does_not_end_is_named_and_nobody_waits_behind_us(shop: Shop) -> None:
    stalls: list[float] = []
    with shop.session() as writer, shop.session() as other:
        writer.run("BEGIN")
        writer.run("UPDATE orders SET total = 0 WHERE id = 1")
        ended: list[bool] = []

        def write() -> None:
            while not ended:
                begun = time.monotonic()
                other.run("UPDATE orders SET total = total + 1 WHERE id = 2")
                stalls.append(time.monotonic() - begun)
                time.sleep(0.01)

        with meanwhile(write):
            try:
                with pytest.raises(
                    DatabaseError,
                    match=(
                        r"be locked against writes within 2 s, .*: test, pid \d+, user tester, in a transaction since"
                    ),
                ):
                    shop.back_up("basebackup", deadline=2)
            finally:
                ended.append(True)
    assert store.leftovers(shop.backups) == []
    assert max(stalls) < 1


def planned(shop: Shop, method: str = "basebackup") -> dict[str, Any]:
    request = base.Request(
        application="shop",
        database=shop.name,
        destination=shop.backups,
        socket_directory=str(shop.server.folder),
        port=shop.server.port,
        keep=5,
        reserve_mib=10,
        deadline=3,
    )
    told: dict[str, Any] = as_user(RUN_AS, lambda: registry.of(method).plan(request))
    return told


def test_check_mode_tells_the_size_of_the_whole_cluster(copied: Shop) -> None:
    told = planned(copied)
    assert told["estimated_bytes"] > copied.value("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
    assert told["message"].startswith(f"would back up by basebackup {copied.name} to {copied.backups}/shop-")


def test_a_drill_of_a_copy_of_the_files_leaves_room_on_the_disk(copied: Shop) -> None:
    (taken,) = (path for path in Path(copied.backups).iterdir() if path.is_dir())
    with pytest.raises(
        DatabaseError, match=r"the restored copy needs about \d+ MiB and 1000000000 MiB have to stay free"
    ):
        copied.prove(str(taken), reserve_mib=10**9)


def test_tablespaces_and_unknown_methods_are_refused_before_anything_is_done(copied: Shop) -> None:
    folder = copied.server.folder / "elsewhere"
    run_as(["mkdir", str(folder)])
    copied.run(f"CREATE TABLESPACE elsewhere LOCATION '{folder}'")
    try:
        with pytest.raises(
            DatabaseError,
            match=r"does not copy tablespaces, and this cluster has elsewhere \(/.*\); use the",
        ):
            planned(copied)
    finally:
        copied.run("DROP TABLESPACE elsewhere")
    with pytest.raises(DatabaseError, match="backup method: got 'tar', expected one of dump, basebackup, pgbackrest"):
        planned(copied, "tar")
