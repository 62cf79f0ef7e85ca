# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The folder of backups: one folder per backup, complete or absent, and which may be removed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

PARTIAL = ".partial-"
# A backup of many files lists them here, to keep the receipt small; the receipt has this file's checksum.
LISTING = "files.json"
# Written after the backup was taken, see live_contents.py.
LIVE = "live.json"
CLUSTER = "base"
_LOCK = ".lock"
MIB = 1024 * 1024


def free_bytes(path: str) -> int:
    """Bytes that an unprivileged user can still write on the disk of the path, which need not exist yet."""
    while not os.path.isdir(path):
        path = os.path.dirname(path) or "/"
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def need_space(path: str, needed: int, reserve_mib: int, what: str) -> int:
    """Refuse when less than reserve_mib would stay free. Returns the free bytes."""
    free = free_bytes(path)
    if free < needed + reserve_mib * MIB:
        raise DatabaseError(
            f"{what} needs about {needed / MIB:.0f} MiB and {reserve_mib} MiB have to stay free at {path}, but only"
            f" {free / MIB:.0f} MiB are free; free disk space, write a folder on another disk, or lower reserve_mib"
        )
    return free


def prepare(path: str, uid: int, gid: int) -> None:
    """Make the folder of backups, private to its user; called as root."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(path, uid, gid)
        os.chmod(path, 0o700)
    except OSError as error:
        raise DatabaseError(f"the folder of backups {path} cannot be made: {error.strerror}") from None


@contextlib.contextmanager
def exclusively(path: str) -> Iterator[None]:
    """Allow one backup at a time in this folder; the lock ends with its process."""
    with open(os.path.join(path, _LOCK), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatabaseError(f"another backup is running in {path}; run this again when it has ended") from None
        yield


def leftovers(path: str) -> list[str]:
    """Folders of unfinished backups. Call it with the lock held, so that none of them is still being written."""
    if not os.path.isdir(path):
        return []
    return sorted(os.path.join(path, name) for name in os.listdir(path) if name.startswith(PARTIAL))


def survey(path: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """(receipts, oldest first; backups whose receipt or files are wrong, with the reason)."""
    good: list[dict[str, Any]] = []
    broken: list[dict[str, str]] = []
    if not os.path.isdir(path):
        return good, broken
    for name in sorted(os.listdir(path)):
        folder = os.path.join(path, name)
        if name.startswith(".") or not os.path.isdir(folder):
            continue
        try:
            found = receipts.read(folder)
            present_files(found, folder)
            good.append({**found, "path": folder})
        except DatabaseError as error:
            broken.append({"path": folder, "reason": str(error)})
    return sorted(good, key=lambda one: (one["taken_at"], one["id"])), broken


def newest_proven(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The newest receipt whose backup was restored."""
    proven = [one for one in found if receipts.reached(one, "restored")]
    return proven[-1] if proven else None


def removable(found: Sequence[Mapping[str, Any]], database: str, application: str, keep: int) -> list[str]:
    """Paths of this database's backups beyond the newest `keep`, oldest first; never the newest proven one."""
    ours = [one for one in found if one["database"] == database and one["application"] == application]
    proven = newest_proven(ours)
    return [one["path"] for one in ours[: max(0, len(ours) - keep)] if one is not proven]


def remove(folder: str) -> None:
    """Remove a backup. It is renamed first, so that a half-removed one never looks complete."""
    parent, name = os.path.split(folder)
    doomed = folder if name.startswith(PARTIAL) else os.path.join(parent, PARTIAL + name)
    if doomed != folder:
        os.rename(folder, doomed)
    shutil.rmtree(doomed)


def summed(folder: str, known: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """{"dump/toc.dat": {"bytes": 4711, "sha256": …}} of every file but receipt, LISTING and LIVE, read from the disk.

    known: {path: SHA-256} from a trusted source; these files are not read.
    """
    paths = [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _folders, names in os.walk(folder)
        for name in names
    ]
    wanted = sorted(path for path in paths if not path.startswith(receipts.FILE) and path not in (LISTING, LIVE))
    unknown = [path for path in wanted if path not in (known or {})]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as together:
        sums = {
            **(known or {}),
            **dict(zip(unknown, together.map(lambda path: sum_of(os.path.join(folder, path)), unknown))),
        }
    return {path: {"bytes": os.path.getsize(os.path.join(folder, path)), "sha256": sums[path]} for path in wanted}


def sum_of(path: str) -> str:
    """SHA-256 of a file on the disk."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        # Drop the page cache, to read what was really written.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for block in iter(lambda: file.read(MIB), b""):
            digest.update(block)
    return digest.hexdigest()


def write_listing(folder: str, files: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """List the cluster's files beside the receipt. Returns the files to list in the receipt."""
    path = os.path.join(folder, LISTING)
    inside = {name: told for name, told in files.items() if name.startswith(CLUSTER + "/")}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(inside, file, indent=0, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    return {
        **{name: dict(told) for name, told in files.items() if name not in inside},
        LISTING: {"bytes": os.path.getsize(path), "sha256": sum_of(path)},
    }


def expected(receipt: Mapping[str, Any], folder: str) -> dict[str, dict[str, Any]]:
    """Every file of the backup when it was taken, those of the listing included."""
    files = dict(receipt["files"])
    if LISTING in files:
        path = os.path.join(folder, LISTING)
        if not os.path.isfile(path) or sum_of(path) != files[LISTING]["sha256"]:
            raise DatabaseError(f"{path} is missing or was changed since the backup was taken; take a new backup")
        del files[LISTING]
        with open(path, encoding="utf-8") as file:
            files.update(json.load(file))
    return files


def sync(folder: str, synced: str | None = None) -> None:
    """Sync every file and folder below; a full or failing disk raises an error here at the latest.

    synced: a folder inside whose files are synced already.
    """
    done = synced and os.path.join(folder, synced)
    for parent, _folders, names in os.walk(folder):
        for name in () if done and (parent + "/").startswith(done + "/") else names:
            descriptor = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            except OSError as error:
                raise DatabaseError(f"{name} cannot be written to the disk: {error.strerror}") from None
            finally:
                os.close(descriptor)
        receipts.sync_folder(parent)


def publish(partial: str, path: str) -> None:
    """Give a finished backup its final name. Never overwrites."""
    if os.path.lexists(path):
        raise DatabaseError(f"{path} exists already, and a backup is never overwritten; run this again for a new name")
    os.rename(partial, path)
    receipts.sync_folder(os.path.dirname(path))


def file_differences(wanted: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How a backup's files differ from its receipt, one sentence per file."""
    found = []
    for name in sorted(set(wanted) | set(seen)):
        if name not in seen:
            found.append(f"{name} is missing")
        elif name not in wanted:
            found.append(f"{name} is not in the receipt")
        elif wanted[name]["bytes"] != seen[name]["bytes"]:
            found.append(f"{name} has {seen[name]['bytes']} bytes, expected {wanted[name]['bytes']}")
        elif wanted[name]["sha256"] != seen[name]["sha256"]:
            found.append(
                f"{name} was changed since the backup was taken (SHA-256 {seen[name]['sha256'][:12]}…, expected"
                f" {wanted[name]['sha256'][:12]}…)"
            )
    return found


def present_files(receipt: Mapping[str, Any], folder: str) -> None:
    """Check that every file exists with its size; cheap, but contents are not checked."""
    for name, facts in expected(receipt, folder).items():
        path = os.path.join(folder, name)
        size = os.path.getsize(path) if os.path.isfile(path) else None
        if size != facts["bytes"]:
            seen = "missing" if size is None else f"{size} bytes long"
            raise DatabaseError(f"{path} is {seen}, expected {facts['bytes']} bytes; take a new backup")
    for path in (receipt.get("restore") or {}).get("needs", ()):
        if not os.path.exists(path):
            raise DatabaseError(f"the backup needs {path}, which is missing; take a new backup")
