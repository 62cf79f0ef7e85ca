"""A database of thousands of small tables, each with a key and an index: what a proven backup of it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.takings import Site
from tests.database.server import Shop, throwaway

TABLES = 5000
OURS, RAW = "custom", "pg_dump-custom"
# So many tables are made in one transaction.
_BATCH = 100


def measured(tables: int, rounds: int) -> dict[str, Any]:
    """{"tables", "ours" and "raw": [seconds], "level", "proven": seconds}; the last round's backup is proven sound."""
    with throwaway() as server:
        site = Site.made(Shop(server, "many", Path("/nonexistent")), lambda session: _fill(session, tables))
        seconds: dict[str, list[float]] = {OURS: [], RAW: []}
        path = ""
        for number in range(rounds):
            for name in (OURS, RAW) if number % 2 else (RAW, OURS):
                taken = site.take(name)
                seconds[name].append(round(taken.seconds, 3))
                path = taken.path or path
        receipt = site.shop.prove(path, "sound", timeout=3600)
    proofs = ("intact", "readable", "restored", "sound")
    return {
        "tables": tables,
        "ours": seconds[OURS],
        "raw": seconds[RAW],
        "level": receipt["level"],
        "proven": round(sum(receipt["durations"][level] for level in proofs), 3),
    }


def _fill(session: Any, tables: int) -> None:
    for first in range(0, tables, _BATCH):
        session.run(f"CREATE SCHEMA s{first}")
        session.run(
            "".join(
                f"CREATE TABLE s{first}.t{number} (id bigserial PRIMARY KEY, name text, at timestamptz DEFAULT now());"
                f"CREATE INDEX ON s{first}.t{number} (name);"
                f"INSERT INTO s{first}.t{number} (name) SELECT 'row ' || i FROM generate_series(1, 5) i;"
                for number in range(first, min(first + _BATCH, tables))
            )
        )
