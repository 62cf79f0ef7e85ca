"""pgBackRest in its own repository, believed no further than its text, its JSON and a restore go."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import base, registry, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup.repository import Repository
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import as_user

from .conftest import fill
from .goings_on import writing
from .server import RUN_AS, Server, Shop, run_as, throwaway

SCHEMA = json.loads(
    (
        Path(__file__).parents[2] / "collections/ansible_collections/gradual/rollout/schemas/receipt.schema.json"
    ).read_text()
)
CONFIG = """
[global]
repo1-path={folder}/repository
log-path={folder}/repository-log
lock-path={folder}/repository-lock
spool-path={folder}/repository-spool
repo1-retention-full=1
start-fast=y
compress-type=gz
compress-level=1
[shop]
pg1-path={folder}/data
pg1-port={port}
pg1-socket-path={folder}
"""


@pytest.fixture(scope="module")
def archiving() -> Iterator[Server]:
    """A cluster with checksums whose archive is a repository of pgBackRest."""
    if shutil.which("pgbackrest") is None:
        pytest.fail("these tests need pgBackRest: apt-get install pgbackrest")
    with throwaway("--data-checksums") as server:
        config = server.folder / "pgbackrest.conf"
        config.write_text(CONFIG.format(folder=server.folder, port=server.port))
        command = f"pgbackrest --config={config} --stanza=shop --log-level-file=off archive-push %p"
        server.run("ALTER SYSTEM SET archive_mode = on", f"ALTER SYSTEM SET archive_command = '{command}'")
        server.pg_ctl("-m", "fast", "restart")
        run_as(["pgbackrest", f"--config={config}", "--stanza=shop", "--log-level-file=off", "stanza-create"])
        yield server


@pytest.fixture
def shop(archiving: Server, environment: Path) -> Iterator[Shop]:
    shop = Shop(archiving, "shop", environment)
    archiving.run("CREATE DATABASE shop OWNER shop_owner")
    yield fill(shop)
    archiving.run("DROP DATABASE shop WITH (FORCE)")
    shutil.rmtree(shop.backups, ignore_errors=True)


def options(shop: Shop) -> dict[str, str]:
    return {"stanza": "shop", "config": str(shop.server.folder / "pgbackrest.conf")}


def test_a_backup_and_one_that_builds_upon_it_are_proven_while_users_write(shop: Shop) -> None:
    with writing(shop, 2050):
        first = shop.back_up("pgbackrest", options=options(shop), deadline=30)
        second = shop.back_up("pgbackrest", options=options(shop), type="incr", deadline=30)
    assert first["receipt"]["restore"]["type"] == "full"
    assert second["receipt"]["restore"]["labels"] == [
        first["receipt"]["restore"]["label"],
        second["receipt"]["restore"]["label"],
    ]
    receipt = shop.prove(second["path"], "sound")
    jsonschema.validate(receipt, SCHEMA)
    assert receipt["level"] == "sound"
    assert 2050 < receipt["tables"]["public.orders"]["rows"] < shop.value("SELECT count(*) FROM orders")


def of_label(shop: Shop, ending: str) -> Path:
    """The largest file of the newest backup with such an ending."""
    label = max(
        path for path in (shop.server.folder / "repository/backup/shop").iterdir() if path.name.startswith("20")
    )
    return max((path for path in label.rglob(f"*{ending}") if path.is_file()), key=lambda path: path.stat().st_size)


def needed_segment(shop: Shop) -> Path:
    last = store.survey(shop.backups)[0][-1]["restore"]["last_segment"]
    (path,) = (shop.server.folder / "repository/archive/shop").rglob(f"{last}-*")
    return path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


DAMAGE: dict[str, tuple[Callable[[Shop], Path], Callable[[Path], object], str]] = {
    "a file flipped": (lambda shop: of_label(shop, ".gz"), flip, "is not intact: backup/.* was changed since"),
    "a file cut": (
        lambda shop: of_label(shop, ".gz"),
        lambda path: os.truncate(path, 100),
        "is not intact: backup/.* has 100 bytes",
    ),
    "a file missing": (lambda shop: of_label(shop, ".gz"), Path.unlink, "is not intact: backup/.* is missing"),
    "a needed segment missing": (
        needed_segment,
        Path.unlink,
        r"is not intact: the archive has no 0000\w+, which .* needs to reach its restore point",
    ),
    "a needed segment flipped": (needed_segment, flip, "is not intact: archive/.* was changed since"),
}


def test_no_damage_to_the_repository_is_accepted(shop: Shop) -> None:
    path = shop.back_up("pgbackrest", options=options(shop), deadline=30)["path"]
    for what, (find, change, complaint) in DAMAGE.items():
        target = find(shop)
        kept = target.read_bytes()
        change(target)
        with pytest.raises(DatabaseError, match=complaint):
            shop.prove(path)
        assert receipts.read(path)["level"] == "taken", what
        target.write_bytes(kept)
        shutil.chown(target, RUN_AS)
    assert shop.prove(path, "readable")["level"] == "readable"
    # Where the sums fit the damage, pgBackRest's own are left.
    target = of_label(shop, ".gz")
    flip(target)
    sums = Path(path, "repository.json")
    told = json.loads(sums.read_text())
    told[str(target.relative_to(shop.server.folder / "repository"))]["sha256"] = store.sum_of(str(target))
    sums.write_text(json.dumps(told, indent=0, sort_keys=True))
    receipts.write(path, {**receipts.read(path), "files": store.summed(path)})
    with pytest.raises(DatabaseError, match=r"is not readable: .*pgbackrest"):
        shop.prove(path)


def test_a_segment_counts_when_it_is_finished(shop: Shop) -> None:
    """pgBackRest writes it under another name, which may be gone a moment later."""
    receipt = shop.back_up("pgbackrest", options=options(shop), deadline=30)["receipt"]
    archive, last = receipt["restore"]["archive"], receipt["restore"]["last_segment"]
    segment = needed_segment(shop)
    seen = [as_user(RUN_AS, lambda: Repository.of(options(shop)).segments(archive, [last]))]
    segment.rename(f"{segment}.pgbackrest.tmp")
    seen.append(as_user(RUN_AS, lambda: Repository.of(options(shop)).segments(archive, [last])))
    assert [list(one) for one in seen] == [[last], []]
    assert seen[0][last].endswith(segment.name)


def call_proven(path: str) -> None:
    """What a proof writes at its end; retention asks for no more."""
    receipts.write(path, {**receipts.read(path), "level": "restored"})


def test_the_newest_proven_backup_is_not_expired(shop: Shop) -> None:
    first = shop.back_up("pgbackrest", options=options(shop), deadline=30)
    call_proven(first["path"])
    second = shop.back_up("pgbackrest", options=options(shop), deadline=30)
    assert any(
        first["receipt"]["restore"]["label"] in one and "nothing was expired" in one for one in second["warnings"]
    )
    assert Path(first["path"]).exists()
    call_proven(second["path"])
    third = shop.back_up("pgbackrest", options=options(shop), type="incr", deadline=30)
    assert third["warnings"] == []
    assert not Path(first["path"]).exists()
    assert Path(second["path"]).exists()


def test_a_corrupt_page_of_the_source_is_no_backup(shop: Shop) -> None:
    shop.back_up("pgbackrest", options=options(shop), deadline=30)
    shop.run(
        "CREATE TABLE notes AS SELECT g AS id, repeat('x', 100) AS note FROM generate_series(1, 3000) g", "CHECKPOINT"
    )
    with (shop.server.folder / "data" / shop.value("SELECT pg_relation_filepath('notes')")).open("r+b") as file:
        file.seek(3 * 8192 + 5000)
        file.write(bytes(range(120)))
    with pytest.raises(
        DatabaseError,
        match=(
            r"has pages with a wrong checksum in base/\d+/\d+: these files of the live cluster are damaged\. It was"
            r" removed"
        ),
    ):
        shop.back_up("pgbackrest", options=options(shop), deadline=30)
    assert len(store.survey(shop.backups)[0]) == 1


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "is the name of a pgBackRest stanza, got ''"),
        ({"stanza": "shop", "config": "/nonexistent"}, "cannot read pgBackRest's configuration /nonexistent"),
        ({"stanza": "other"}, "no such stanza|stanza .other."),
    ],
)
def test_what_is_not_configured_is_told_plainly(shop: Shop, given: dict[str, str], complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        shop.back_up("pgbackrest", options={"config": options(shop)["config"], **given})


def test_the_stanza_of_another_cluster_is_refused(shop: Shop, server: Server) -> None:
    request = base.Request(
        application="shop",
        database="postgres",
        destination=str(server.folder / "foreign"),
        socket_directory=str(server.folder),
        port=server.port,
        keep=5,
        reserve_mib=10,
        deadline=3,
        options=options(shop),
    )
    with pytest.raises(DatabaseError, match=r"the stanza 'shop' belongs to the cluster \d+, this cluster is \d+"):
        as_user(RUN_AS, lambda: registry.of("pgbackrest").plan(request))


def test_without_a_quiet_moment_there_is_no_receipt_and_the_label_is_told(shop: Shop) -> None:
    with shop.session() as writer:
        writer.run("BEGIN")
        writer.run("UPDATE orders SET total = 0 WHERE id = 1")
        with pytest.raises(
            DatabaseError,
            match=r"could not be locked against writes within 2 s.*The backup \d{8}-\d{6}F stays in the repository",
        ):
            shop.back_up("pgbackrest", options=options(shop), deadline=2)
    assert store.survey(shop.backups) == ([], [])
