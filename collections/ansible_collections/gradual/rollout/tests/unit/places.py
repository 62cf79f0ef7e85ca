"""Where things lie that a test reads besides what it imports."""

from __future__ import annotations

from pathlib import Path

import pytest

COLLECTION = Path(__file__).resolve().parents[2]
COLLECTIONS = COLLECTION.parents[2]
PROJECT = COLLECTIONS.parent
# In the archive the roles stand in the collection, in a checkout at the project's top.
ROLES = next((folder for folder in (COLLECTION / "roles", PROJECT / "roles") if folder.is_dir()), PROJECT / "roles")
SCHEMA = COLLECTION / "schemas" / "report.schema.json"

needs_checkout = pytest.mark.skipif(
    not (PROJECT / "deploy.yml").is_file(), reason="reads docs/, releases/ or examples/, which are not in the archive"
)
