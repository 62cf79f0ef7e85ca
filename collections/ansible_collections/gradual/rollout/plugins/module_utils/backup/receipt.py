# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The receipt of a backup: its contents, its proven level, and whether it allows a change of this database now."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from typing import Any, Collection, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

FILE = "receipt.json"
SCHEMA = 1
# Each level includes those before it.
LEVELS = ("taken", "intact", "readable", "restored", "sound")


def now() -> str:
    """The time in UTC, as receipts have it: 2026-11-23T12:00:00Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(receipt: Mapping[str, Any], at: datetime | None = None) -> float:
    """Seconds since the backup's snapshot; negative when its time is in the future."""
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
    """Seal the receipt and write it into the backup's folder, atomically and synced."""
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
    """Sync a folder, so that new and renamed entries survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str) -> dict[str, Any]:
    """The receipt in that file or backup folder, with its seal checked."""
    file_path = os.path.join(path, FILE) if os.path.isdir(path) else path
    try:
        with open(file_path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise DatabaseError(f"the receipt {file_path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise DatabaseError(f"the receipt {file_path} is not JSON; take a new backup") from None
    return checked(found, file_path)


def checked(receipt: Any, origin: str) -> dict[str, Any]:
    """The receipt, once its schema and its seal are right."""
    if not isinstance(receipt, Mapping) or receipt.get("schema") != SCHEMA:
        seen = receipt.get("schema") if isinstance(receipt, Mapping) else type(receipt).__name__
        raise DatabaseError(
            f"{origin} is not a receipt: got schema {seen!r}, expected {SCHEMA}; give the receipt that backup_verify"
            " returned"
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

    identity: what `server.identity` returns now. ancestors: the revisions that the backup may be at: the current one
    and all before it; None stands for a database without any revision.
    """
    found = []
    if server.major(receipt) != server.major(identity):
        found.append(
            f"it is of PostgreSQL {server.major(receipt)}, this server is PostgreSQL {server.major(identity)}; after an"
            " upgrade, take a new backup: ansible-playbook playbooks/backup.yml"
        )
    elif receipt["system_identifier"] != identity["system_identifier"]:
        found.append(
            f"it is of the cluster {receipt['system_identifier']}, this cluster is {identity['system_identifier']}"
        )
    elif receipt["timeline"] != identity["timeline"]:
        found.append(
            f"it was taken on timeline {receipt['timeline']}, this server is on {identity['timeline']} (after a"
            " failover or a restore)"
        )
    if receipt["database"] != identity["database"]:
        found.append(f"it is of the database {receipt['database']!r}, this one is {identity['database']!r}")
    if receipt["revision"] not in ancestors:
        here = ", ".join(str(one) for one in ancestors if one) or "no revision"
        found.append(
            f"it was taken at revision {receipt['revision']}, which is not an ancestor of this database's revision"
            f" ({here})"
        )
    if not reached(receipt, level):
        found.append(f"it is proven to the level {receipt.get('level')!r}, expected {level!r}")
    old = age(receipt, at)
    if old > max_age:
        found.append(f"it is {_long(old)} old, at most {_long(max_age)} are allowed")
    elif old < -300:
        found.append(f"its time {receipt['taken_at']} is in the future; compare the clocks of the hosts")
    return found


def _long(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.0f} s"
