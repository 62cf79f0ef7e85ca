# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""An unpacked release for the tests of migration_lint."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def release() -> Iterator[Path]:
    """An unpacked release. Not in pytest's own folder, which nobody but its owner can enter, while the revisions are
    run by nobody."""
    with tempfile.TemporaryDirectory(prefix="lint-") as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "migrations/versions").mkdir(parents=True)
        yield Path(folder)
