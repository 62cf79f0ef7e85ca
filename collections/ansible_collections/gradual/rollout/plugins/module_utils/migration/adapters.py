# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The migration adapters by name."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import phases
from ansible_collections.gradual.rollout.plugins.module_utils.migration.alembic import Alembic
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django import Django
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Adapter
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sqitch import Sqitch
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sql_files import SqlFiles
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

ADAPTERS: Mapping[str, Callable[[str, str], Adapter]] = {
    "alembic": Alembic,
    "django": Django,
    "sql": SqlFiles,
    "sqitch": Sqitch,
}


def of(name: str, directory: str, path: str, entries: Sequence[phases.Entry] = ()) -> Adapter:
    """The adapter for a staged release. path: the folder of its migrations, below directory. entries: the manifest's
    migrations.phases."""
    if name not in ADAPTERS:
        raise DatabaseError(f"migration adapter: got {name!r}, expected one of {', '.join(ADAPTERS)}")
    adapter = ADAPTERS[name](directory, path)
    adapter.revisions = phases.assigned(adapter.revisions, entries, name)
    return adapter
