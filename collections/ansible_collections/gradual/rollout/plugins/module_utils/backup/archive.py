# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The entries of an archive that pg_dump wrote, and the SQL of some of them, by pg_restore."""

from __future__ import annotations

import contextlib
import re
import tempfile
from typing import Callable, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly

# "2; 1262 16384 DATABASE - shop shop_owner", and what belongs to the database.
_OF_DATABASE = re.compile(r"\d+; \d+ \d+ (DATABASE|DATABASE PROPERTIES|(ACL|COMMENT|SECURITY LABEL) - DATABASE) ")
_REFRESH = re.compile(r"\d+; \d+ \d+ MATERIALIZED VIEW DATA ")

Wanted = Callable[[str], object]


def of_database(line: str) -> bool:
    """Whether the entry is the database, or its settings, grants and comment."""
    return bool(_OF_DATABASE.match(line))


def refreshes(line: str) -> bool:
    """Whether the entry computes a materialized view."""
    return bool(_REFRESH.match(line))


def entries(pg_restore: str, archive: str) -> list[str]:
    """One line for each entry, as pg_restore --list prints it."""
    listed = run([pg_restore, "--create", "--list", archive])
    strictly(listed)
    # Not splitlines(): a name may hold other ends of lines.
    return listed.output.split("\n")


def sql(pg_restore: str, archive: str, wanted: Wanted) -> str:
    """The statements of these entries; "" when there are none."""
    if not any(wanted(line) for line in entries(pg_restore, archive)):
        return ""
    with only(pg_restore, archive, wanted) as options:
        made = run([pg_restore, "--create", "--no-tablespaces", *options, "--file", "-", archive])
    strictly(made)
    return made.output


@contextlib.contextmanager
def only(pg_restore: str, archive: str, wanted: Wanted) -> Iterator[list[str]]:
    """Options that make pg_restore restore these entries only."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in entries(pg_restore, archive) if wanted(line)))
        file.flush()
        yield ["--use-list", file.name]
