"""Where things lie that a test reads besides what it imports."""

from __future__ import annotations

from pathlib import Path

COLLECTION = Path(__file__).resolve().parents[2]
COLLECTIONS = COLLECTION.parents[2]
PROJECT = COLLECTIONS.parent
SCHEMA = COLLECTION / "schemas" / "report.schema.json"
