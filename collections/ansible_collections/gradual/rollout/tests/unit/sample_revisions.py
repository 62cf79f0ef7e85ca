# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Revisions of Alembic in a release, and what migration_lint finds in a release."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge


def revision(release: Path, name: str, body: str, before: str | None = None, head: str = 'phase = "expand"') -> None:
    """Write a revision of Alembic whose upgrade() is `body`."""
    text = (
        f'import sqlalchemy as sa\nfrom alembic import op\nrevision = "{name}"\ndown_revision ='
        f" {before!r}\n{head}\n\n\ndef upgrade():\n"
    )
    (release / f"migrations/versions/{name}.py").write_text(
        text + textwrap.indent(textwrap.dedent(body), "    "), encoding="utf-8"
    )


def rules(release: Path, adapter: str = "alembic", path: str = "migrations", **more: Any) -> list[tuple[str, str]]:
    """(revision, rule) of every finding."""
    return [
        (one["revision"], one["rule"]) for one in judge.lint(adapter, str(release), path, "head", **more)["findings"]
    ]
