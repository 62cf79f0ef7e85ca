# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The key `migrations` of a release manifest."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.revisions import READERS
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.fields import NAME, REVISION, Field

WAIVER: dict[str, Field] = {
    "revision": {
        "type": "str",
        "required": True,
        "pattern": REVISION,
        "example": '"0003"',
        "description": "The revision that the finding is about.",
    },
    "rule": {
        "type": "str",
        "required": True,
        "pattern": r"[a-z][a-z-]*",
        "example": "create-trigger",
        "description": "The rule of migration_lint.",
    },
    "reason": {
        "type": "str",
        "required": True,
        "example": "the table has 60 rows",
        "description": "Why it does no harm here, as a sentence.",
    },
    "until": {
        "type": "str",
        "required": True,
        "pattern": r"\d{4}-\d{2}-\d{2}",
        "example": '"2027-03-31"',
        "description": "The last day of the waiver.",
    },
}

PHASE: dict[str, Field] = {
    "app": {
        "type": "str",
        "pattern": r"\w+",
        "example": "social_django",
        "description": "Label of an app. The entry is for all of its migrations. For django only.",
    },
    "revision": {
        "type": "str",
        "pattern": REVISION,
        "example": '"0003"',
        "description": "Name of one revision.",
    },
    "pattern": {
        "type": "str",
        "pattern": r"\S(.*\S)?",
        "example": '"auth.*"',
        "description": "Pattern of the names of revisions, with *, ? and […].",
    },
    "phase": {
        "type": "str",
        "required": True,
        "choices": ["expand", "contract"],
        "description": "Phase of these revisions, if the file does not name one.",
    },
    "reason": {
        "type": "str",
        "required": True,
        "example": "only adds a nullable column",
        "description": "Why, as a sentence. The plan and the report show it.",
    },
}

BACKFILL: dict[str, Field] = {
    "name": {
        "type": "str",
        "required": True,
        "pattern": NAME,
        "example": "total-in-cents",
        "description": "Name under which the progress is kept.",
    },
    "table": {
        "type": "str",
        "required": True,
        "pattern": r"[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?",
        "example": "orders",
        "description": "The table, with its schema unless it is in the owner's search path.",
    },
    "key": {
        "type": "str",
        "pattern": r"[A-Za-z_]\w{0,62}",
        "example": "id",
        "description": (
            "Column that orders the batches. It must be NOT NULL and the first column of an index. The default is id."
        ),
    },
    "set": {
        "type": "str",
        "required": True,
        "pattern": r"[^;]*[^;\s][^;]*",
        "example": "cents = total * 100",
        "description": "Assignments of an UPDATE.",
    },
    "where": {
        "type": "str",
        "required": True,
        "pattern": r"[^;]*[^;\s][^;]*",
        "example": "cents IS NULL",
        "description": ("Condition of the rows that still need the change. It must be false for a row that is done."),
    },
    "batch": {
        "type": "int",
        "least": 1,
        "most": 100000,
        "description": (
            "Rows of the first batch. The default is 1000. The size of the later batches follows their duration."
        ),
    },
    "pause_ms": {
        "type": "int",
        "least": 0,
        "description": "Minimum pause after each batch in milliseconds. The default is 100.",
    },
}

MIGRATIONS: dict[str, Field] = {
    "adapter": {
        "type": "str",
        "default": "alembic",
        "choices": list(READERS),
        "description": "The migration tool.",
    },
    "path": {
        "type": "str",
        "default": "migrations",
        "pattern": r"(?!/)(?!(.*/)?\.\.(/|$))[^\s]+",
        "example": "migrations",
        "description": "Path of the migrations in the artifact.",
    },
    "target": {
        "type": "str",
        "required": True,
        "pattern": REVISION,
        "example": '"0003"',
        "description": "Revision to migrate to.",
    },
    "phases": {
        "type": "list",
        "elements": "dict",
        "options": PHASE,
        "description": (
            "Phases of revisions whose files are not yours to edit. The first entry that matches "
            "counts. Each entry has one of app, revision and pattern."
        ),
    },
    "by_lint": {
        "type": "bool",
        "description": (
            "If true, a revision without a phase counts as expand if migration_lint finds no error in "
            "it, and as contract if it does. Otherwise a revision without a phase stops the rollout."
        ),
    },
    "waivers": {
        "type": "list",
        "elements": "dict",
        "options": WAIVER,
        "description": "Findings of migration_lint that are accepted.",
    },
    "backfills": {
        "type": "list",
        "elements": "dict",
        "options": BACKFILL,
        "description": (
            "Updates of existing rows by playbooks/backfill.yml, after the rollout. All of them must be"
            " complete before contract."
        ),
    },
}
