"""Damages to backups, each as it happens: after the backup was sealed, or before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.backup import store


@dataclass(frozen=True)
class Damage:
    """method and format: of the backup that is damaged. fits: it was there before the checksums were made, so they
    fit."""

    name: str
    method: str
    format: str
    do: Callable[[Path], object]
    fits: bool = False


def flip(path: Path, share: float = 0.6) -> None:
    """One bit of the file, that far into it."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x10
    path.write_bytes(bytes(data))


def cut(path: Path, share: float = 0.5) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def largest(folder: Path, pattern: str) -> Path:
    """The table's file, where there is one of interest."""
    return max((path for path in folder.glob(pattern) if path.is_file()), key=lambda path: path.stat().st_size)


def one_digit(path: Path) -> None:
    """0x31 becomes 0x33 in an amount that is stored as text: one bit."""
    before = path.read_bytes()
    after = before.replace(b"\tpaid\t1.00\t", b"\tpaid\t3.00\t", 1)
    assert after != before
    path.write_bytes(after)


def reseal(folder: Path) -> None:
    """Checksums and seal as they would be had the damage been there when they were made."""
    listed = folder / "repository.json"
    if listed.exists():
        root = repository(folder)
        told = {name: root / name for name in json.loads(listed.read_text())}
        listed.write_text(
            json.dumps(
                {name: {"bytes": path.stat().st_size, "sha256": store.sum_of(str(path))} for name, path in told.items()}
            )
        )
    receipts.write(str(folder), {**receipts.read(str(folder)), "files": store.summed(str(folder))})


def segment(folder: Path) -> None:
    """The last segment that the backup needs, wherever it lies."""
    last = receipts.read(str(folder))["restore"]["last_segment"]
    found = [path for path in folder.rglob(last) if path.is_file()]
    assert found
    for path in found:
        path.unlink()


def first_segment(folder: Path) -> None:
    """The segment in which the copy begins."""
    min(path for path in folder.glob(f"{store.CLUSTER}/pg_wal/0*") if path.is_file()).unlink()


def repository(folder: Path) -> Path:
    """The repository of pgBackRest that the receipt in the folder speaks of."""
    return Path(receipts.read(str(folder))["restore"]["repository"])


def page(folder: Path) -> Path:
    """The largest file of its backup in the repository."""
    told = receipts.read(str(folder))["restore"]
    return largest(repository(folder) / "backup" / told["stanza"] / told["label"], "pg_data/base/**/*.gz")


def archived(folder: Path) -> Path:
    """The last segment that it needs, in the archive."""
    return next(repository(folder).glob(f"archive/**/{receipts.read(str(folder))['restore']['last_segment']}-*"))


DUMP = "database.dump"
# What lies beside a backup for those who put it in its place.
OTHER = "another-database.dump"
TABLE = f"{store.CLUSTER}/base/*/[0-9]*"
DAMAGES = [
    Damage("dump cut in half", "dump", "custom", lambda at: cut(at / DUMP)),
    Damage("dump cut in half, before its checksum", "dump", "custom", lambda at: cut(at / DUMP), fits=True),
    Damage("bit flipped in compressed data", "dump", "custom", lambda at: flip(at / DUMP)),
    Damage(
        "bit flipped in compressed data, before its checksum", "dump", "custom", lambda at: flip(at / DUMP), fits=True
    ),
    Damage("bit flipped in a dump without compression", "dump", "plain custom", lambda at: one_digit(at / DUMP)),
    Damage(
        "bit flipped in a dump without compression, before its checksum",
        "dump",
        "plain custom",
        lambda at: one_digit(at / DUMP),
        fits=True,
    ),
    Damage("file of one table missing", "dump", "directory", lambda at: largest(at, "database/*.dat*").unlink()),
    Damage(
        "file of one table missing, before the checksum",
        "dump",
        "directory",
        lambda at: largest(at, "database/*.dat*").unlink(),
        fits=True,
    ),
    Damage("dump truncated to nothing", "dump", "custom", lambda at: cut(at / DUMP, 0)),
    Damage("roles.sql missing", "dump", "custom", lambda at: (at / "roles.sql").unlink()),
    Damage(
        "dump of another database in its place",
        "dump",
        "custom",
        lambda at: shutil.copyfile(at.parent / OTHER, at / DUMP),
    ),
    Damage(
        "dump of another database in its place, before the checksum",
        "dump",
        "custom",
        lambda at: shutil.copyfile(at.parent / OTHER, at / DUMP),
        fits=True,
    ),
    Damage("byte flipped in a relation's file", "basebackup", "plain", lambda at: flip(largest(at, TABLE))),
    Damage("a relation's file missing", "basebackup", "plain", lambda at: largest(at, TABLE).unlink()),
    Damage(
        "a relation's file missing, before the checksums",
        "basebackup",
        "plain",
        lambda at: largest(at, TABLE).unlink(),
        fits=True,
    ),
    Damage("first WAL segment missing", "basebackup", "plain", first_segment),
    Damage("last WAL segment missing", "basebackup", "plain", segment),
    Damage("last WAL segment missing, before the checksums", "basebackup", "plain", segment, fits=True),
    Damage("file of the repository flipped", "pgbackrest", "repository", lambda at: flip(page(at))),
    Damage(
        "file of the repository flipped, before the checksums",
        "pgbackrest",
        "repository",
        lambda at: flip(page(at)),
        fits=True,
    ),
    Damage("file of the repository missing", "pgbackrest", "repository", lambda at: page(at).unlink()),
    Damage("WAL segment flipped in the archive", "pgbackrest", "repository", lambda at: flip(archived(at))),
    Damage("needed WAL segment missing in the archive", "pgbackrest", "repository", lambda at: archived(at).unlink()),
]
