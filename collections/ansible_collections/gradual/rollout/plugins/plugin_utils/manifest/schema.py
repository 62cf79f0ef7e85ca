# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release manifest may say: the one table that the check, its defaults and the role's argument_specs come from.

A field is a dictionary: type (str, int, float, bool, list, dict, json), description, and where wanted required,
default, choices, options (of a dict, or of the elements of a list of dicts), elements (of a list), least and most
(numbers), pattern and example (strings), and fill (an absent dict is filled with its own defaults).
"""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import Settings
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.revisions import READERS

Field = dict[str, Any]

NAME = r"[a-z][a-z0-9-]{0,62}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}"
# Names of revisions, as the migration tools write them: 0003, shop.0003_note, V1.2__add notes, view@v1.
REVISION = r"[\w.@+-]([\w.@+ -]*[\w.@+-])?"
FLAG = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"

# What the gate does where a manifest says nothing.
GATE_DEFAULTS = Settings()

PROBE: dict[str, Field] = {
    "name": {"type": "str", "required": True, "description": "What is probed, for people."},
    "path": {
        "type": "str",
        "required": True,
        "pattern": r"/[^\s]*",
        "example": "/api/products",
        "description": "Path to ask for, with its query.",
    },
    "method": {
        "type": "str",
        "default": "GET",
        "choices": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        "description": "How to ask.",
    },
    "headers": {
        "type": "dict",
        "default": {},
        "description": "Headers to send. They are kept in the record, so they hold no secrets.",
    },
    "body": {"type": "json", "description": "What to send: a string as it is, anything else as JSON."},
    "user": {"type": "str", "description": "Who asks, as the cookie visitor; the flags are evaluated for this user."},
    "status": {"type": "int", "default": 200, "least": 100, "most": 599, "description": "The status wanted."},
    "contains": {"type": "str", "description": "Text that the answer must hold."},
    "json": {"type": "dict", "description": "Values that the answer must have, by dotted path."},
}

FEATURE: dict[str, Field] = {
    "flag": {
        "type": "str",
        "required": True,
        "pattern": FLAG,
        "example": "search",
        "description": "Key of the feature's flag.",
    },
    "smoke": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **PROBE,
            "flag": {
                "type": "str",
                "choices": ["on", "off"],
                "description": "Under which variant this is expected; under both without it.",
            },
        },
        "description": "Smoke tests of the feature.",
    },
}

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

BAKE: dict[str, Field] = {
    "canary": {
        "type": "int",
        "default": 300,
        "least": 0,
        "description": (
            "Seconds for which users of the first host with the new code are compared with those of the others before"
            " these follow; 0 for none."
        ),
    },
    "aa": {
        "type": "int",
        "default": 300,
        "least": 0,
        "description": (
            "Seconds before the first stage in which the users of every stage are compared while the features are off;"
            " 0 for none."
        ),
    },
    "min": {
        "type": "int",
        "default": int(GATE_DEFAULTS.min),
        "least": 1,
        "description": "Seconds that a stage is watched at the least.",
    },
    "max": {
        "type": "int",
        "default": int(GATE_DEFAULTS.max),
        "least": 1,
        "description": "Seconds after which a stage that the gate cannot promote is given up.",
    },
    "look": {
        "type": "int",
        "default": int(GATE_DEFAULTS.look),
        "least": 1,
        "description": "Seconds between two looks.",
    },
    "expiry": {
        "type": "int",
        "default": 300,
        "least": 30,
        "description": "Seconds after which a stage that nobody looks at any more expires by itself.",
    },
    "deadline": {
        "type": "int",
        "least": 1,
        "description": (
            "Seconds after which a stage is given up even while the gate holds; half more than max without it."
        ),
    },
}


def _share(default: float | None, description: str) -> Field:
    field: Field = {"type": "float", "least": 0.0001, "most": 0.9999, "description": description}
    return field if default is None else {**field, "default": default}


METRIC: dict[str, Field] = {
    "name": {
        "type": "str",
        "required": True,
        "pattern": NAME,
        "example": "orders",
        "description": "What it is called; errors and slow are always there.",
    },
    "counter": {
        "type": "str",
        "pattern": r"[a-zA-Z_:][a-zA-Z0-9_:]*",
        "example": "feature_orders_total",
        "description": "The counter, with the labels feature and variant; not for errors and slow.",
    },
    "labels": {
        "type": "dict",
        "default": {},
        "description": "Further labels that count; a label feature limits the metric to this feature.",
    },
    "harm": {
        "type": "str",
        "default": "more",
        "choices": ["more", "fewer"],
        "description": "What is worse a request: more of it, or fewer.",
    },
    "role": {
        "type": "str",
        "default": "guardrail",
        "choices": ["guardrail", "signal"],
        "description": "Whether harm aborts the stage, or only holds it.",
    },
    "weight": {
        "type": "float",
        "default": 1.0,
        "least": 0.01,
        "most": 100,
        "description": "Its part of alpha, compared with the others.",
    },
}

GATE: dict[str, Field] = {
    "alpha": _share(GATE_DEFAULTS.alpha, "Chance of stopping a harmless release, however often it is looked at."),
    "certify_alpha": _share(
        GATE_DEFAULTS.certify_alpha, "Chance of promoting a release whose harm is as large as margin says."
    ),
    "tolerated_ratio": {
        "type": "float",
        "default": GATE_DEFAULTS.tolerated_ratio,
        "least": 1,
        "description": "How many times worse than control is no harm yet.",
    },
    "margin": {
        "type": "float",
        "default": GATE_DEFAULTS.margin,
        "least": 1,
        "description": "How many times worse than control must be ruled out before a stage is promoted.",
    },
    "slow_seconds": {
        "type": "float",
        "default": GATE_DEFAULTS.slow_seconds,
        "least": 0.001,
        "description": "A request that takes longer is slow; a bucket of the histogram.",
    },
    "hard_error_share": _share(
        GATE_DEFAULTS.hard_error_share, "Share of failed requests that aborts a stage whatever control does."
    ),
    "hard_slow_share": _share(
        GATE_DEFAULTS.hard_slow_share, "Share of slow requests that aborts a stage whatever control does."
    ),
    "harmless_share": _share(None, "Share of bad requests that is no harm whatever control does; none without it."),
    "low_traffic": {
        "type": "str",
        "default": "refuse",
        "choices": ["refuse", "slo", "hold"],
        "description": (
            "What to do when the traffic cannot carry the ramp: refuse it, certify by harmless_share, or begin and"
            " hold."
        ),
    },
    "min_requests": {
        "type": "int",
        "default": GATE_DEFAULTS.min_requests,
        "least": 1,
        "description": "Requests on each side before a verdict.",
    },
    "on_no_data": {
        "type": "str",
        "default": GATE_DEFAULTS.on_no_data,
        "choices": ["rollback", "manual"],
        "description": "What to do at the end of a stage that could not be judged.",
    },
    "metrics": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": METRIC,
        "description": "Counters to judge beside errors and slow answers; or role and weight of those two.",
    },
    "holdback": {
        "type": "int",
        "default": 0,
        "least": 0,
        "most": 50,
        "description": (
            "Percentage of users who are kept without the features while 100 % bakes, to compare with; 0 for none."
        ),
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

SPEC: dict[str, Field] = {
    "application": {
        "type": "str",
        "required": True,
        "pattern": NAME,
        "example": "storefront",
        "description": "Name of the application.",
    },
    "version": {
        "type": "str",
        "required": True,
        "pattern": VERSION,
        "example": "2.0.0",
        "description": "Version that is released.",
    },
    "artifact": {
        "type": "dict",
        "required": True,
        "example": "{url: https://host/storefront-2.0.0.tar.gz, sha256: the 64 hex digits of sha256sum}",
        "options": {
            "url": {
                "type": "str",
                "required": True,
                "example": "https://host/storefront-2.0.0.tar.gz",
                "description": "Where the tar.gz is, http or https.",
            },
            "sha256": {
                "type": "str",
                "required": True,
                "pattern": r"[0-9a-fA-F]{64}",
                "example": "the 64 hex digits of: sha256sum FILE",
                "description": "Its SHA-256, as 64 hex digits.",
            },
        },
        "description": "What is installed.",
    },
    "features": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": FEATURE,
        "description": "Features that are shown to users by stages.",
    },
    "smoke": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": PROBE,
        "description": "Smoke tests of the application.",
    },
    "stages": {
        "type": "list",
        "elements": "int",
        "default": [25, 50, 100],
        "description": "Percentages of users, rising, the last one 100.",
    },
    "bake": {"type": "dict", "fill": True, "options": BAKE, "description": "How long a stage is watched."},
    "approval": {
        "type": "bool",
        "default": False,
        "description": "Whether the rollout waits for a person after each stage but the last.",
    },
    "gate": {"type": "dict", "fill": True, "options": GATE, "description": "What counts as harm."},
    "migrations": {
        "type": "dict",
        "options": {
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
                "description": "Phases of revisions whose files are not yours to edit; the first entry that matches"
                " counts.",
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
                "description": (
                    "Rows that playbooks/backfill.yml fills in after the rollout, all of them before contract."
                ),
            },
        },
        "description": "Migrations of the database; none without it.",
    },
    "backup": {
        "type": "dict",
        "fill": True,
        "options": {
            "method": {
                "type": "str",
                "default": "dump",
                "choices": ["dump", "basebackup", "pgbackrest"],
                "description": "How it is taken.",
            },
            "level": {
                "type": "str",
                "default": "restored",
                "choices": ["taken", "intact", "readable", "restored", "sound"],
                "description": "How far it must be proven.",
            },
        },
        "description": "The backup before the migrations.",
    },
    "release": {
        "type": "dict",
        "fill": True,
        "options": {
            "waves": {
                "type": "list",
                "elements": "json",
                "default": [1, "100%"],
                "description": (
                    "How many hosts are switched at once, wave by wave, as numbers or percentages of all hosts; the"
                    " last one is repeated. A wave is never larger than min_in_traffic allows. A watched canary is a"
                    " wave of its own."
                ),
            },
        },
        "description": "How the hosts get the new code.",
    },
    "on_abort": {
        "type": "str",
        "default": "release",
        "choices": ["flags", "release"],
        "description": "What goes back when a stage is aborted: the flags, or the hosts as well.",
    },
    "canary": {
        "type": "str",
        "description": "The application host that goes first; the first one of the inventory without it.",
    },
    "hosts": {
        "type": "dict",
        "fill": True,
        "options": {
            name: {
                "type": "str",
                "default": name,
                "description": f"Group of the {name} hosts, {name} or one with the same hosts.",
            }
            for name in ("application", "database", "balancer", "monitoring")
        },
        "description": "Groups of the inventory; each must have hosts.",
    },
}


def argument_spec(fields: dict[str, Field] | None = None) -> dict[str, Any]:
    """The table as the `options` of a role's argument_specs. Blank answers and patterns are the check's alone."""
    options: dict[str, Any] = {}
    for name, field in (fields or SPEC).items():
        option: dict[str, Any] = {
            "type": "raw" if field["type"] == "json" else field["type"],
            "description": field["description"],
        }
        option.update({key: field[key] for key in ("required", "choices", "elements", "default") if key in field})
        if option.get("elements") == "json":
            option["elements"] = "raw"
        if "options" in field:
            option["options"] = argument_spec(field["options"])
        options[name] = option
    return options
