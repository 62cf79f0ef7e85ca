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
        "description": "The last day on which this holds.",
    },
}

PHASE: dict[str, Field] = {
    "app": {
        "type": "str",
        "pattern": r"\w+",
        "example": "social_django",
        "description": "Label of an app, all of whose migrations it is about; for django only.",
    },
    "revision": {
        "type": "str",
        "pattern": REVISION,
        "example": '"0003"',
        "description": "Or one revision, by its name.",
    },
    "pattern": {
        "type": "str",
        "pattern": r"\S(.*\S)?",
        "example": '"auth.*"',
        "description": "Or revisions by a pattern of their names, with *, ? and […].",
    },
    "phase": {
        "type": "str",
        "required": True,
        "choices": ["expand", "contract"],
        "description": "Their phase, where the file does not name one.",
    },
    "reason": {
        "type": "str",
        "required": True,
        "example": "only adds a nullable column",
        "description": "Why, as a sentence. It is in the plan and in the report.",
    },
}

BACKFILL: dict[str, Field] = {
    "name": {
        "type": "str",
        "required": True,
        "pattern": NAME,
        "example": "total-in-cents",
        "description": "By which its progress is kept.",
    },
    "table": {
        "type": "str",
        "required": True,
        "pattern": r"[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?",
        "example": "orders",
        "description": "The table, with its schema where that is not the owner's first one.",
    },
    "key": {
        "type": "str",
        "pattern": r"[A-Za-z_]\w{0,62}",
        "example": "id",
        "description": "Column by which the batches go, NOT NULL and the first of an index; id without it.",
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
        "description": "Which rows are still to do; false once a row is done.",
    },
    "batch": {
        "type": "int",
        "least": 1,
        "most": 100000,
        "description": "Rows of the first batch, 1000 without it; the later ones follow the time they take.",
    },
    "pause_ms": {
        "type": "int",
        "least": 0,
        "description": "Milliseconds after each batch at the least, 100 without it.",
    },
}

MIGRATIONS: dict[str, Field] = {
    "adapter": {
        "type": "str",
        "default": "alembic",
        "choices": list(READERS),
        "description": "What runs them.",
    },
    "path": {
        "type": "str",
        "default": "migrations",
        "pattern": r"(?!/)(?!(.*/)?\.\.(/|$))[^\s]+",
        "example": "migrations",
        "description": "Where they are in the artifact.",
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
        "description": "Phases of revisions whose files are not yours to edit; the first entry that matches counts.",
    },
    "by_lint": {
        "type": "bool",
        "description": "Whether a revision without a phase counts as expand when migration_lint finds no error"
        " in it, and as contract when it does; without it, a revision without a phase stops the rollout.",
    },
    "waivers": {
        "type": "list",
        "elements": "dict",
        "options": WAIVER,
        "description": "Findings of migration_lint that somebody has looked at.",
    },
    "backfills": {
        "type": "list",
        "elements": "dict",
        "options": BACKFILL,
        "description": ("Rows that playbooks/backfill.yml fills in after the rollout, all of them before contract."),
    },
}
