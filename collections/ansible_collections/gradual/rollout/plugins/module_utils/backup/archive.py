# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The entries of an archive that pg_dump wrote, and the SQL of some of them, by pg_restore."""

from __future__ import annotations

import contextlib
import re
import tempfile
from typing import Callable, Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import run, strictly
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import quote

# "2; 1262 16384 DATABASE - shop shop_owner", and what belongs to the database.
_OF_DATABASE = re.compile(r"\d+; \d+ \d+ (DATABASE|DATABASE PROPERTIES|(ACL|COMMENT|SECURITY LABEL) - DATABASE) ")
_REFRESH = re.compile(r"\d+; \d+ \d+ MATERIALIZED VIEW DATA ")
_CONNECT = re.compile(r"^\\connect .*$", re.MULTILINE)
_EMPTY_LIST = re.compile(r"^(ALTER (?:DATABASE|ROLE) .* SET \"?\w+\"? TO );$", re.MULTILINE)

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
    """The statements of these entries; bytes that are not UTF-8 as surrogates."""
    with only(pg_restore, archive, wanted) as options, tempfile.NamedTemporaryFile("rb") as file:
        strictly(run([pg_restore, "--create", "--no-tablespaces", *options, "--file", file.name, archive]))
        # In the encoding of the database, which the first statement says.
        return file.read().decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def only(pg_restore: str, archive: str, wanted: Wanted) -> Iterator[list[str]]:
    """Options that make pg_restore restore these entries only."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in entries(pg_restore, archive) if wanted(line)))
        file.flush()
        yield ["--use-list", file.name]


def database_sql(pg_restore: str, archive: str, old: str, new: str) -> tuple[str, str]:
    """The statements that create the archive's database `old` under the name `new`, for a session in another database;
    and those of its settings, grants and comment, for a session in it, whose encoding they have."""
    create, *rest = _CONNECT.split(sql(pg_restore, archive, of_database), maxsplit=1)
    return renamed(create, old, new), mended(renamed("".join(rest), old, new))


def mended(statements: str) -> str:
    """pg_dump writes a list that is empty (search_path) without a value, which is no SQL."""
    return _EMPTY_LIST.sub(r"\1'';", statements)


def renamed(statements: str, old: str, new: str) -> str:
    """pg_restore's statements on the database `old`, as statements on the database `new`."""
    name = "(?:" + re.escape(old) + "|" + re.escape(quote(old)) + ")"
    heads = (
        r"(?:CREATE|ALTER|COMMENT ON|SECURITY LABEL .*? ON) DATABASE |(?:GRANT|REVOKE) .*? ON DATABASE |ALTER ROLE .*?"
        r" IN DATABASE "
    )
    return re.sub(rf"^({heads}){name}(?= )", lambda found: found.group(1) + quote(new), statements, flags=re.MULTILINE)
