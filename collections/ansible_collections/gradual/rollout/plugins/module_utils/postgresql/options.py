# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The options by which every database module reaches the server (doc fragment `database`)."""

from __future__ import annotations

import typing as t

Arguments = t.Dict[str, t.Dict[str, t.Any]]

ARGUMENTS: Arguments = {
    "run_as": {"type": "str", "default": "postgres"},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "port": {"type": "int", "default": 5432},
}
# How a module that works as the schema's owner finds it (doc fragment `database.owner`).
OWNER_ARGUMENTS: Arguments = {
    "database": {"type": "str"},
    "environment_file": {"type": "path"},
    "database_url": {"type": "str", "no_log": True},
}
