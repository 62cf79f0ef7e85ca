# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Proving a backup, level by level, up to a restore into a throwaway cluster that is compared with the dump's snapshot."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.backup import dump, store
from ansible_collections.gradual.rollout.plugins.module_utils.backup import receipt as receipts
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import contents, server
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import Scratch, scratch_cluster
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# An empty cluster, its write-ahead log and what a restore's sorts need for a moment.
OVERHEAD = 400 * store.MIB
_SMALL = 64 * store.MIB


@dataclass(frozen=True)
class Drill:
    """What to prove and where."""

    path: str
    level: str
    scratch: str
    reserve_mib: int
    jobs: int
    timeout: float


def plan(drill: Drill) -> dict[str, Any]:
    """What a verification would do; reads only."""
    receipt = receipts.read(drill.path)
    needed = receipt["database_bytes"] + OVERHEAD if drill.level == "restored" else 0
    if needed:
        store.need_space(drill.scratch, needed, drill.reserve_mib, "the restored copy")
    return {
        "receipt": receipt, "estimated_bytes": needed,
        "message": f"would prove {receipt['id']} to the level {drill.level!r}, now at {receipt['level']!r}"
                   + (f", by a restore below {drill.scratch} of about {needed / store.MIB:.0f} MiB" if needed else ""),
    }


def prove(drill: Drill) -> dict[str, Any]:
    """Prove the backup to the level and write the receipt; the receipt says no more than what was seen when it fails."""
    receipt = plan(drill)["receipt"]
    begun = time.monotonic()
    # A level counts for what is on the disk now, so it is earned anew each time.
    state = {**receipt, "level": "taken", "levels": {"taken": receipt["levels"]["taken"]}}
    state.pop("problem", None)
    steps = {"intact": _intact, "readable": _readable, "restored": _restored}
    try:
        for level in receipts.LEVELS[1:receipts.LEVELS.index(drill.level) + 1]:
            at = time.monotonic()
            noted = steps[level](drill, receipt)
            state["durations"] = {**state["durations"], **noted, level: round(time.monotonic() - at, 3)}
            state["level"] = level
            state["levels"] = {**state["levels"], level: receipts.now()}
    except DatabaseError as error:
        wanted = receipts.LEVELS[receipts.LEVELS.index(str(state["level"])) + 1]
        state["problem"] = f"not {wanted}: {error}"
        receipts.write(drill.path, state)
        raise DatabaseError(
            f"the backup {drill.path} is not {wanted}: {error}. Nothing may rest on it; older backups are as they were. Take a new one."
        ) from None
    seconds = round(time.monotonic() - begun, 3)
    return {"receipt": receipts.write(drill.path, state), "seconds": seconds, "tables": len(receipt["tables"])}


def _intact(drill: Drill, receipt: Mapping[str, Any]) -> dict[str, float]:
    """Every file is there with the bytes that were written."""
    _none_of(store.file_differences(receipt["files"], store.summed(drill.path)))
    return {}


def _readable(drill: Drill, receipt: Mapping[str, Any]) -> dict[str, float]:
    """Every byte of the dump can be decoded."""
    strictly(run([_program(receipt, "pg_restore"), "--file", "/dev/null", _archive(drill, receipt)], timeout=drill.timeout))
    return {}


def _restored(drill: Drill, receipt: Mapping[str, Any]) -> dict[str, float]:
    """A throwaway cluster holds the same schema, revision, rows and contents as the snapshot of the dump."""
    clock = [time.monotonic()]
    laps: dict[str, float] = {}

    def lap(name: str) -> None:
        clock.append(time.monotonic())
        laps[name] = round(clock[-1] - clock[-2], 3)

    with scratch_cluster(drill.scratch, os.path.dirname(_program(receipt, "initdb")), receipt["bootstrap_role"]) as scratch:
        lap("drill_start")
        _restore_roles(drill, receipt, scratch)
        jobs = ["--jobs", str(drill.jobs)] if receipt["database_bytes"] > _SMALL else []
        # The database `postgres` is there already; any other one is made by the dump itself, with its settings and grants.
        create = [] if receipt["database"] == "postgres" else ["--create"]
        strictly(run([scratch.program("pg_restore"), *scratch.address(), "--exit-on-error", "--no-tablespaces", *create, *jobs, "--dbname", "postgres",
                      _archive(drill, receipt)], timeout=drill.timeout))
        lap("drill_restore")
        with Session(scratch.parameters(receipt["database"]), "gradual-drill") as session:
            contents.fix_text(session)
            found = contents.differences(receipt["tables"], contents.tables(session))
            ranges = receipt["sequences"]
            found += contents.sequence_differences({name: ends[0] for name, ends in ranges.items()}, {name: ends[1] for name, ends in ranges.items()},
                                                   contents.sequences(session))
            revision = ",".join(server.revisions(session)) or None
        if revision != receipt["revision"]:
            found.append(f"the restored copy is at revision {revision}, the snapshot was at {receipt['revision']}")
        found += _schema_differences(drill, receipt, scratch)
        lap("drill_compare")
        _none_of(found)
    return laps


def _restore_roles(drill: Drill, receipt: Mapping[str, Any], scratch: Scratch) -> None:
    """All roles of the source, but the one that every cluster is born with."""
    born = f"CREATE ROLE {receipt['bootstrap_role']};", f"CREATE ROLE {quote(receipt['bootstrap_role'])};"
    with open(os.path.join(drill.path, dump.ROLES), "rb") as file:
        statements = b"".join(line for line in file if line.decode(errors="replace").strip() not in born)
    strictly(run([scratch.program("psql"), *scratch.address(), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", "postgres", "--file", "-"],
                 send=statements, timeout=drill.timeout))


def _schema_differences(drill: Drill, receipt: Mapping[str, Any], scratch: Scratch) -> list[str]:
    """Compare the schemas as pg_dump writes them.

    PostgreSQL writes some expressions otherwise after they went through a dump once (x IN ('a') on varchar). So where the texts
    differ, the live schema's text goes through a database of its own first, and the two are compared again.
    """
    restored = _schema(scratch, receipt["database"])
    if contents.fingerprint(restored) == receipt["schema_fingerprint"]:
        return []
    path = os.path.join(drill.path, dump.SCHEMA)
    again = "gradual_schema"
    with Session(scratch.parameters("postgres"), "gradual-drill") as session:
        session.run(f"CREATE DATABASE {again} TEMPLATE template0 ENCODING '{receipt['encoding']}' LC_COLLATE 'C' LC_CTYPE 'C'")
    strictly(run([scratch.program("psql"), *scratch.address(), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", again, "--output",
                  "/dev/null", "--file", path], timeout=drill.timeout))
    wanted = _schema(scratch, again)
    if contents.fingerprint(wanted) == contents.fingerprint(restored):
        return []
    return ["the schema is another one: " + contents.schema_differences(wanted, restored)]


def _schema(scratch: Scratch, database: str) -> str:
    path = os.path.join(scratch.folder, "schema.sql")
    strictly(run([scratch.program("pg_dump"), *scratch.address(), "--schema-only", "--no-tablespaces", "--file", path, database]), dump.HARMLESS)
    return dump.schema_text(path)


def _none_of(found: list[str]) -> None:
    if found:
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise DatabaseError("; ".join(found[:5]) + more)


def _archive(drill: Drill, receipt: Mapping[str, Any]) -> str:
    return os.path.join(drill.path, dump.DUMP[receipt["format"]])


def _program(receipt: Mapping[str, Any], name: str) -> str:
    path = os.path.join(receipt["tools"]["folder"], name)
    if not os.access(path, os.X_OK):
        raise DatabaseError(f"{path} is not there any more; the backup needs the programs of PostgreSQL {receipt['server_version'] // 10000}")
    return path
