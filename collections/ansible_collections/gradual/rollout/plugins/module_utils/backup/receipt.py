# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The receipt of a backup: what it holds, how far it was proven, and whether it is one for this database, now."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from typing import Any, Collection, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

FILE = "receipt.json"
SCHEMA = 1
# Each level includes those before it.
LEVELS = ("taken", "intact", "readable", "restored", "sound")


def now() -> str:
    """This moment in UTC, as receipts write it: 2026-11-23T12:00:00Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(receipt: Mapping[str, Any], at: datetime | None = None) -> float:
    """Seconds since the backup's snapshot; negative when the receipt is from the future."""
    taken = datetime.strptime(str(receipt["taken_at"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return ((at or datetime.now(timezone.utc)) - taken).total_seconds()


def seal(receipt: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything in the receipt but the seal."""
    bare = {key: value for key, value in receipt.items() if key != "seal"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(receipt: Mapping[str, Any]) -> dict[str, Any]:
    return {**receipt, "seal": seal(receipt)}


def reached(receipt: Mapping[str, Any], level: str) -> bool:
    """Whether the receipt's level is at least that one."""
    seen = receipt.get("level")
    return seen in LEVELS and LEVELS.index(str(seen)) >= LEVELS.index(level)


def write(folder: str, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Seal it and put it into the backup's folder: whole or not at all, and on the disk."""
    finished = sealed(receipt)
    path = os.path.join(folder, FILE)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(finished, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(folder)
    return finished


def sync_folder(folder: str) -> None:
    """Make a folder's new or renamed entries last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str) -> dict[str, Any]:
    """The receipt in that file or backup folder, its seal checked."""
    file_path = os.path.join(path, FILE) if os.path.isdir(path) else path
    try:
        with open(file_path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise DatabaseError(f"there is no receipt to read at {file_path}: {error.strerror}") from None
    except ValueError:
        raise DatabaseError(f"{file_path} is not JSON; it is no receipt any more, take a new backup") from None
    return checked(found, file_path)


def checked(receipt: Any, origin: str) -> dict[str, Any]:
    """A receipt of the schema we know whose seal fits, or an error."""
    if not isinstance(receipt, Mapping) or receipt.get("schema") != SCHEMA:
        seen = receipt.get("schema") if isinstance(receipt, Mapping) else type(receipt).__name__
        raise DatabaseError(
            f"{origin} is not a receipt of schema {SCHEMA} (seen: {seen!r}); give what backup_verify returned"
        )
    if receipt.get("seal") != seal(receipt):
        raise DatabaseError(f"{origin} was changed after it was sealed; take a new backup and verify it")
    return dict(receipt)


def objections(
    receipt: Mapping[str, Any],
    identity: Mapping[str, Any],
    ancestors: Collection[str | None],
    level: str,
    max_age: float,
    at: datetime | None = None,
) -> list[str]:
    """Why this receipt does not allow a change of this database; an empty list when it does.

    identity: as `server.identity` tells it, just now. ancestors: the revisions that a backup may have been taken at:
    the present
    one and those that it was made from; None among them stands for a database without any revision.
    """
    found = []
    if receipt["system_identifier"] != identity["system_identifier"]:
        found.append(
            f"it is for the cluster {receipt['system_identifier']}, this one is {identity['system_identifier']}"
        )
    elif receipt["timeline"] != identity["timeline"]:
        found.append(
            f"it was taken on timeline {receipt['timeline']}, this server is on {identity['timeline']} (there was a"
            " failover or a restore since)"
        )
    if receipt["database"] != identity["database"]:
        found.append(f"it is for the database {receipt['database']!r}, this one is {identity['database']!r}")
    if receipt["revision"] not in ancestors:
        here = ", ".join(str(one) for one in ancestors if one) or "no revision"
        found.append(
            f"it was taken at revision {receipt['revision']}, which is not on the way to where this database stands"
            f" ({here})"
        )
    if not reached(receipt, level):
        found.append(f"it is proven to the level {receipt.get('level')!r} only, {level!r} is needed")
    old = age(receipt, at)
    if old > max_age:
        found.append(f"it is {_long(old)} old, {_long(max_age)} are allowed")
    elif old < -300:
        found.append(f"it is from the future ({receipt['taken_at']}); compare the clocks of the hosts")
    return found


def _long(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.0f} s"
