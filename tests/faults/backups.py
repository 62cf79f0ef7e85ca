"""Faults of backups: what is written, what it is read from, and what it is restored to."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server as live
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import PREFIX

from tests.database.server import Shop, meanwhile, programs, run_as, until

from .damages import archived, flip, one_digit
from .disks import disk, fill_up
from .fault import Seen, fault
from .repositories import command, options
from .stage import Stage, Watch
from .tools import passes

BEFORE = "older backups are unchanged"


def filled_during_dump(shop: Shop, mounted: Path, form: str) -> Seen:
    """Another program fills the disk once the backup has begun, which waits for a migration so that this is so."""
    backups = str(mounted / "backups")
    older = shop.back_up(destination=backups, reserve_mib=0, format=form)["path"]
    watch, before = Watch(shop), store.summed(older)
    with shop.session() as other:
        assert live.try_lock(other, shared=False)

        def fill() -> None:
            until(lambda: store.leftovers(backups))
            fill_up(mounted)
            # Control: nobody gets even one block.
            assert os.statvfs(mounted).f_bavail * os.statvfs(mounted).f_frsize < 4096
            watch.struck()
            other.close()

        with meanwhile(fill), pytest.raises(DatabaseError) as failed:
            shop.back_up(destination=backups, reserve_mib=0, format=form, deadline=10)
    assert store.leftovers(backups) == []
    good, broken = store.survey(backups)
    assert ([one["path"] for one in good], broken, store.summed(older)) == ([older], [], before)
    return watch.safe(failed.value, "0001", f"no file of it is left, {BEFORE}")


def filled_ext4(stage: Stage, form: str) -> Seen:
    with disk("ext4", 64) as mounted, stage.shop() as shop:
        shop.as_owner(
            "CREATE TABLE noise AS SELECT gen_random_uuid() a, gen_random_uuid() b FROM generate_series(1, 50000)"
        )
        return filled_during_dump(shop, mounted, form)


@fault(3, "another program fills the ext4 disk (64 MiB) once the dump to one file has begun", "ext4, one file")
def full_ext4(stage: Stage) -> Seen:
    return filled_ext4(stage, "custom")


@fault(3, "another program fills the ext4 disk (64 MiB) once the dump to a folder has begun", "ext4, a folder")
def full_ext4_directory(stage: Stage) -> Seen:
    return filled_ext4(stage, "directory")


@fault(
    3,
    "another program fills the tmpfs (64 MiB) once the dump of a small database has begun, of which pg_dump itself"
    " makes an empty file and ends with 0",
    "tmpfs, one file",
)
def full_tmpfs(stage: Stage) -> Seen:
    with disk("tmpfs", 64) as mounted, stage.shop() as shop:
        shop.as_owner("DROP TABLE orders")
        seen = filled_during_dump(shop, mounted, "custom")
        bare = mounted / "bare.dump"
        # Control: pg_dump itself.
        run_as(
            [
                str(programs() / "pg_dump"),
                "--format",
                "custom",
                "--schema",
                "public",
                "--host",
                str(shop.server.folder),
                "--port",
                str(shop.server.port),
                "--file",
                str(bare),
                shop.name,
            ]
        )
        assert bare.stat().st_size == 0
        return seen


@fault(3, "the disk (ext4) is full before the backup begins", "ext4, from the beginning")
def full_before(stage: Stage) -> Seen:
    with disk("ext4", 64) as mounted, stage.shop() as shop:
        watch, backups = Watch(shop), str(mounted / "backups")
        older = shop.back_up(destination=backups, reserve_mib=0)["path"]
        before = store.summed(older)
        fill_up(mounted)
        watch.struck()
        with pytest.raises(DatabaseError, match="but only 0 MiB are free") as failed:
            shop.back_up(destination=backups, reserve_mib=0)
        assert store.summed(older) == before
        return watch.safe(failed.value, "0001", f"nothing was begun, {BEFORE}")


def damaged(
    stage: Stage, damage: Callable[[Path], object], level: str, form: str = "custom", fits: bool = False
) -> Seen:
    """Prove a backup, damage it, and prove it again.

    level: the one that must find it. fits: checksums and seal are made anew, as if the damage had been there when they
    were taken.
    """
    with stage.shop() as shop:
        path = shop.back_up(format=form)["path"]
        assert shop.prove(path, "restored")["level"] == "restored", "control: without the damage it is proven"
        return refound(shop, path, damage, level, fits)


def refound(shop: Shop, path: str, damage: Callable[[Path], object], level: str, fits: bool) -> Seen:
    watch, before = Watch(shop), store.summed(path)
    damage(Path(path))
    assert store.summed(path) != before, "nothing was damaged"
    if fits:
        receipts.write(path, {**receipts.read(path), "files": store.summed(path)})
    watch.struck()
    with pytest.raises(DatabaseError, match=f"is not {level}: ") as failed:
        shop.prove(path, "restored")
    receipt = receipts.read(path)
    assert receipt["level"] != "restored"
    assert re.match(f"not {level}: ", receipt["problem"])
    assert store.newest_proven(store.survey(shop.backups)[0]) is None
    return watch.safe(
        str(failed.value).partition(shop.backups)[2].partition(" is ")[2],
        shop.revision(),
        "the receipt proves nothing any more",
    )


@fault(4, "the dump is cut in half after it was proven", "cut")
def cut(stage: Stage) -> Seen:
    return damaged(
        stage,
        lambda folder: os.truncate(folder / "database.dump", (folder / "database.dump").stat().st_size // 2),
        "intact",
    )


@fault(
    4,
    "the last 3000 bytes never reached the disk, and the checksum was taken of what did",
    "cut before its checksum was taken",
)
def cut_before(stage: Stage) -> Seen:
    return damaged(
        stage,
        lambda folder: os.truncate(folder / "database.dump", (folder / "database.dump").stat().st_size - 3000),
        "readable",
        fits=True,
    )


@fault(4, "one bit of the compressed data is flipped", "bit flipped, compressed")
def flipped(stage: Stage) -> Seen:
    return damaged(stage, lambda folder: flip(folder / "database.dump"), "intact")


@fault(
    4,
    "one digit of an amount in a dump without compression is another one; checksum and seal fit, and it restores"
    " without a word",
    "bit flipped, not compressed",
)
def flipped_plain(stage: Stage) -> Seen:
    with stage.shop() as shop:
        path = shop.back_up()["path"]
        server = shop.server
        run_as(
            [
                str(programs() / "pg_dump"),
                "--format",
                "custom",
                "--compress",
                "0",
                "--host",
                str(server.folder),
                "--port",
                str(server.port),
                "--no-tablespaces",
                "--file",
                f"{path}/database.dump",
                shop.name,
            ]
        )
        receipts.write(path, {**receipts.read(path), "files": store.summed(path)})
        assert shop.prove(path)["level"] == "restored", "control: the same dump without the flip is proven"
        return refound(shop, path, lambda folder: one_digit(folder / "database.dump"), "restored", fits=True)


@fault(4, "the file of one table is taken out of a dump in a folder", "file missing")
def file_missing(stage: Stage) -> Seen:
    return damaged(
        stage,
        lambda folder: max((folder / "database").glob("*.dat*"), key=lambda file: file.stat().st_size).unlink(),
        "intact",
        "directory",
    )


@fault(4, "roles.sql is taken away", "roles missing")
def roles_missing(stage: Stage) -> Seen:
    return damaged(stage, lambda folder: (folder / "roles.sql").unlink(), "intact")


def without_wal(stage: Stage, fits: bool, level: str) -> Seen:
    """A copy of the files, and one segment of the log that it needs to become consistent is not there."""
    with stage.shop() as shop:
        path = shop.back_up("basebackup")["path"]
        assert shop.prove(path, "restored")["level"] == "restored", "control: with it, it is proven"

        def take_away(folder: Path) -> None:
            last = receipts.read(str(folder))["restore"]["last_segment"]
            found = [one for one in folder.rglob(last) if one.is_file()]
            assert found, f"{last} is not in the backup"
            for one in found:
                one.unlink()

        return refound(shop, path, take_away, level, fits)


@fault(6, "the last segment of the write-ahead log that a basebackup needs is taken away", "basebackup")
def segment_missing(stage: Stage) -> Seen:
    return without_wal(stage, fits=False, level="intact")


@fault(
    6,
    "the same, before the checksums were made: nothing in the receipt speaks of the segment's file",
    "basebackup, before its checksums",
)
def segment_never_there(stage: Stage) -> Seen:
    return without_wal(stage, fits=True, level="(intact|readable)")


@fault(
    6,
    "a segment that a backup of pgBackRest needs is taken out of the archive; pgbackrest verify ends with 0",
    "pgbackrest",
)
def segment_missing_in_archive(stage: Stage) -> Seen:
    with stage.shop(stage.archiving()) as shop:
        path = shop.back_up("pgbackrest", options=options(shop.server), deadline=30)["path"]
        assert shop.prove(path, "restored")["level"] == "restored", "control: with it, it is proven"
        watch, segment = Watch(shop), archived(Path(path))
        segment.unlink()
        assert passes(*command(shop.server, "verify")), "control: pgBackRest itself is content"
        watch.struck()
        with pytest.raises(DatabaseError, match=f"is not intact: the archive has no {segment.name[:24]}") as failed:
            shop.prove(path, "restored")
        assert receipts.read(path)["level"] == "taken"
        return watch.safe(str(failed.value).partition(" is ")[2], "0001", "the receipt proves nothing any more")


@fault(23, "the drill's disk (ext4, 300 MiB) has no room for the restored copy", "seen before")
def no_room(stage: Stage) -> Seen:
    with stage.shop() as shop, disk("ext4", 300) as mounted:
        path = shop.back_up()["path"]
        watch = Watch(shop)
        watch.struck()
        with pytest.raises(DatabaseError, match="the restored copy needs about ") as failed:
            shop.prove(path, scratch=str(mounted))
        assert not list(mounted.glob(PREFIX + "*"))
        return watch.safe(failed.value, "0001", "nothing was begun")


@fault(
    23,
    "another program fills the drill's disk (ext4, 600 MiB) before the first file is written there",
    "filled before the first file",
)
def room_lost_at_once(stage: Stage) -> Seen:
    made = tempfile.mkdtemp

    def filled(*arguments: Any, **options: Any) -> str:
        folder = str(made(*arguments, **options))
        fill_up(mounted)
        return folder

    with stage.shop() as shop, disk("ext4", 600) as mounted:
        path = shop.back_up()["path"]
        watch = Watch(shop)
        watch.struck()
        with (
            mock.patch.object(tempfile, "mkdtemp", filled),
            pytest.raises(DatabaseError, match=r"is not restored: no throwaway .*: No space left") as failed,
        ):
            shop.prove(path, scratch=str(mounted))
        assert not list(mounted.glob(PREFIX + "*"))
        assert receipts.read(path)["problem"].startswith("not restored: no throwaway cluster can be made below")
        return watch.safe(str(failed.value).partition(" is ")[2], "0001", "the throwaway cluster is gone")


@fault(
    23,
    "another program fills the drill's disk (ext4, 600 MiB) once the throwaway cluster is being made",
    "filled meanwhile",
)
def room_lost(stage: Stage) -> Seen:
    with stage.shop() as shop, disk("ext4", 600) as mounted:
        path = shop.back_up()["path"]
        watch = Watch(shop)

        def fill() -> None:
            until(lambda: list(mounted.glob(PREFIX + "*")))
            fill_up(mounted)
            watch.struck()

        with meanwhile(fill), pytest.raises(DatabaseError, match="is not restored: ") as failed:
            shop.prove(path, scratch=str(mounted))
        assert not list(mounted.glob(PREFIX + "*"))
        receipt = receipts.read(path)
        assert (receipt["level"], receipt["problem"].startswith("not restored")) == ("readable", True)
        (mounted / "somebody-elses").unlink()
        assert shop.prove(path, scratch=str(mounted))["level"] == "restored", "control: with room it is proven"
        return watch.safe(
            str(failed.value).partition(" is ")[2],
            "0001",
            "the throwaway cluster is gone, and the backup was proven when there was room again",
        )
