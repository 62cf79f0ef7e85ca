# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Gradual's own schema in the application's database, for records that must survive a crash, a restore or a failover.

It is in the database itself, so that a restored copy has the records that belong to its rows.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session

SCHEMA = "gradual"
# migration_step: the checksum of a revision that was begun; applied_at is null until it is applied.
# backfill: its progress; position is the last key as text.
TABLES = {
    "canary": (
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, written_at timestamptz NOT NULL DEFAULT"
        " now()"
    ),
    "migration_step": (
        "adapter text, revision text, sha256 text NOT NULL, phase text NOT NULL, seconds numeric, begun_at timestamptz"
        " NOT NULL DEFAULT now(), applied_at timestamptz, PRIMARY KEY (adapter, revision)"
    ),
    "backfill": (
        "name text PRIMARY KEY, sha256 text NOT NULL, position text, rows bigint NOT NULL DEFAULT 0, batches bigint NOT"
        " NULL DEFAULT 0, begun_at timestamptz NOT NULL DEFAULT now(), moved_at timestamptz, finished_at timestamptz"
    ),
}
KEPT_CANARIES = 100


def ensure(session: Session) -> None:
    """Make its missing tables. Locks no table of the application. Needs a superuser, or CREATE on the database."""
    there = {row[0] for row in session.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = %s", (SCHEMA,))}
    if not there:
        session.run(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for name, columns in TABLES.items():
        if name not in there:
            session.run(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({columns})")


def write_canary(session: Session, run: str) -> dict[str, Any]:
    """Write the canary row of this run's backup; returns {"id": int, "run": str} for its receipt."""
    ensure(session)
    session.run(f"DELETE FROM {SCHEMA}.canary WHERE id <= (SELECT max(id) - %s FROM {SCHEMA}.canary)", (KEPT_CANARIES,))
    return {"id": session.value(f"INSERT INTO {SCHEMA}.canary (run) VALUES (%s) RETURNING id", (run,)), "run": run}


def has_canary(session: Session, canary: Mapping[str, Any]) -> bool:
    """Whether the database has this canary row."""
    if session.value("SELECT to_regclass(%s)::text", (f"{SCHEMA}.canary",)) is None:
        return False
    return bool(
        session.value(
            f"SELECT EXISTS (SELECT FROM {SCHEMA}.canary WHERE id = %s AND run = %s)", (canary["id"], canary["run"])
        )
    )
