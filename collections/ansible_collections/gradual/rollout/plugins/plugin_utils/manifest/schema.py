# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release manifest may say: the one table that the check, its defaults and the role's argument_specs come from.

`fields.py` describes a field. The larger keys have files of their own: `gate_schema.py` and `migrations_schema.py`.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import USER_KEY
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.fields import FLAG, NAME, VERSION, Field
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.gate_schema import BAKE, GATE
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.migrations_schema import MIGRATIONS

PROBE: dict[str, Field] = {
    "name": {"type": "str", "required": True, "description": "Name of the test, for people."},
    "path": {
        "type": "str",
        "required": True,
        "pattern": r"/[^\s]*",
        "example": "/api/products",
        "description": "Path of the request, with its query.",
    },
    "method": {
        "type": "str",
        "default": "GET",
        "choices": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        "description": "Method of the request.",
    },
    "headers": {
        "type": "dict",
        "default": {},
        "description": "Headers of the request. The ledger keeps them, so they must not contain secrets.",
    },
    "body": {"type": "json", "description": "What to send: a string as it is, anything else as JSON."},
    "user": {
        "type": "str",
        "description": ("User of the request, sent as users.key says. The flags are evaluated for this user."),
    },
    "status": {"type": "int", "default": 200, "least": 100, "most": 599, "description": "The expected status."},
    "contains": {"type": "str", "description": "Text that the answer must contain."},
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
                "description": "Variant for which this is expected. Without it, for both.",
            },
        },
        "description": "Smoke tests of the feature.",
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
                "description": "URL of the tar.gz, http or https.",
            },
            "sha256": {
                "type": "str",
                "required": True,
                "pattern": r"[0-9a-fA-F]{64}",
                "example": "the 64 hex digits of: sha256sum FILE",
                "description": "Its SHA-256, as 64 hex digits.",
            },
        },
        "description": "The archive that is installed.",
    },
    "features": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": FEATURE,
        "description": "Features that are shown to users by stages.",
    },
    "users": {
        "type": "dict",
        "fill": True,
        "options": {
            "key": {
                "type": "str",
                "default": USER_KEY,
                "pattern": r"(cookie|header) [A-Za-z0-9_.-]+",
                "example": "header X-User",
                "description": "Where the application reads the user of a request: cookie NAME or header NAME.",
            },
        },
        "description": "How Gradual sends requests as a user.",
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
        "description": "Percentages of users, in rising order. The last one is 100.",
    },
    "bake": {"type": "dict", "fill": True, "options": BAKE, "description": "How long a stage is watched."},
    "approval": {
        "type": "bool",
        "default": False,
        "description": ("Whether the rollout waits for the approval of a person after each stage except the last."),
    },
    "gate": {"type": "dict", "fill": True, "options": GATE, "description": "What counts as harm."},
    "migrations": {
        "type": "dict",
        "options": MIGRATIONS,
        "description": "Migrations of the database; none without it.",
    },
    "backup": {
        "type": "dict",
        "fill": True,
        "options": {
            "method": {
                "type": "str",
                "default": "dump",
                "choices": ["dump", "basebackup", "pgbackrest", "none"],
                "description": (
                    "The backup method. `none` is for an inventory whose groups database and database_primary are"
                    " empty, and for no other."
                ),
            },
            "level": {
                "type": "str",
                "default": "restored",
                "choices": ["taken", "intact", "readable", "restored", "sound"],
                "description": "The level that the receipt of the backup must reach.",
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
                    "Number of hosts in each wave, or their percentage of all hosts. The last entry is "
                    "repeated. A wave is never larger than min_in_traffic allows. A watched canary is a wave of"
                    " its own."
                ),
            },
        },
        "description": "How the hosts get the new code.",
    },
    "on_abort": {
        "type": "str",
        "default": "release",
        "choices": ["flags", "release"],
        "description": "What is rolled back when a stage is aborted: only the flags, or the hosts too.",
    },
    "canary": {
        "type": "str",
        "description": (
            "The application host that gets the release first. The default is the first one of the inventory."
        ),
    },
    "hosts": {
        "type": "dict",
        "fill": True,
        "options": {
            name: {
                "type": "str",
                "default": name,
                "description": f"Group of the {name} hosts. It is {name}, or a group with the same hosts.",
            }
            for name in ("application", "database", "balancer", "monitoring")
        },
        "description": "Groups of the inventory. Each must have hosts.",
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
